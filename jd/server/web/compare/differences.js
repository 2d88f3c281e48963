// What several jobs have by name, and where they differ. Pure functions.

import {isNumber} from "../exactjson.js";
import {value as shown} from "../format.js";

/** A row for each name that one of the objects has: {name, values, same}, with undefined for what an object
 * has not. Those that differ come first, each kind in the order of `names` or of their first appearance. */
export function rows(objects, names) {
  const found = names || [...new Set(objects.flatMap((one) => Object.keys(one)))];
  const made = found.map((name) => {
    const values = objects.map((one) => (Object.hasOwn(one, name) ? one[name] : undefined));
    return {name, values, same: values.every((one) => alike(one, values[0]))};
  });
  return [...made.filter((row) => !row.same), ...made.filter((row) => row.same)];
}

// A script is given 1 or 1.0, so these are two; none is like nothing but none.
const alike = (a, b) => (a === undefined || b === undefined ? a === b : shown(a) === shown(b));

/** The places of the best of some values, where numbers differ; `less`: the lower the better. */
export function best(values, less) {
  const numbers = values.map((one) => (isNumber(one) && Number.isFinite(Number(one)) ? Number(one) : null));
  const known = numbers.filter((one) => one !== null);
  const top = less ? Math.min(...known) : Math.max(...known);
  if (known.length < 2 || known.every((one) => one === top)) return new Set();
  return new Set(numbers.flatMap((one, place) => (one === top ? [place] : [])));
}

/** The numbers of jobs in a text such as "3, 17 20", each once; null where something else stands in it. */
export function idsIn(text) {
  const words = text.split(/[\s,#]+/).filter(Boolean);
  if (words.some((word) => !/^[1-9]\d{0,14}$/.test(word))) return null;
  return [...new Set(words.map(Number))];
}
