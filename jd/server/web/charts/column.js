// A parameter or a metric as a column: a value for each job. Pure functions.

import {isNumber, stringify} from "../exactjson.js";

const NUMBER = /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i;
const collator = new Intl.Collator("en", {numeric: true});

// Whole numbers beyond 2^53, such as seeds, of which JavaScript takes several for one.
const isLong = (value) => !Number.isSafeInteger(Number(value)) && /^\s*[-+]?\d+\s*$/.test(String(value));

/** A parameter or metric as a column: `kind` is "number" (all values are, also when stored as text, and none
 * is too long for JavaScript), "category" or "constant" (fewer than two values); `values` are numbers, or
 * texts, and null where a job has none; `distinct` are the values in order, `raw` is what was given. */
export function column(name, raw) {
  const numeric = raw.every((value) => value == null
    || ((isNumber(value) || (typeof value === "string" && NUMBER.test(value))) && !isLong(value)));
  const values = raw.map((value) => {
    if (value == null) return null;
    if (numeric) return Number.isFinite(Number(value)) ? Number(value) : null;
    return typeof value === "string" ? value : stringify(value);
  });
  const distinct = [...new Set(values.filter((value) => value !== null))];
  distinct.sort(numeric ? (a, b) => a - b : collator.compare);
  const kind = distinct.length < 2 ? "constant" : numeric ? "number" : "category";
  return {name, kind, values, distinct, raw};
}

/** Up to so many values are few: each has a mark on its axis and makes a group of its own. */
export const FEW = 12;

/** Whether a column has few values that many jobs share, as a grid of values gives. */
export const repeats = ({distinct, values}) => distinct.length <= FEW && values.length >= 2 * distinct.length;
