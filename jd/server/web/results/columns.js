// A parameter or a metric as a column: a value for each job. Pure functions.

const NUMBER = /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i;
const collator = new Intl.Collator("en", {numeric: true});

/** A parameter or metric as a column: `kind` is "number" (all values are, also when stored as text),
 * "category" or "constant" (fewer than two values); `values` are numbers, or texts, and null where a job has
 * none; `distinct` are the values in order. */
export function column(name, raw) {
  const numeric = raw.every((value) => value == null || typeof value === "number"
    || (typeof value === "string" && NUMBER.test(value)));
  const values = raw.map((value) => {
    if (value == null) return null;
    if (numeric) return Number.isFinite(Number(value)) ? Number(value) : null;
    return typeof value === "string" ? value : JSON.stringify(value);
  });
  const distinct = [...new Set(values.filter((value) => value !== null))];
  distinct.sort(numeric ? (a, b) => a - b : collator.compare);
  const kind = distinct.length < 2 ? "constant" : numeric ? "number" : "category";
  return {name, kind, values, distinct};
}

/** Up to so many values are few: each has a mark on its axis and makes a group of its own. */
export const FEW = 12;

/** Whether a column has few values that many jobs share, as a grid of values gives. */
export const repeats = ({distinct, values}) => distinct.length <= FEW && values.length >= 2 * distinct.length;
