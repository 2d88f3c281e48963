// The filter of the jobs in a bin of an axis.

import {condition} from "../filter.js";

/** The conditions that keep the jobs of a bin: its edges are no values that anybody has given, so it is told
 * by the least and the most of its values. */
export function within({filterName}, {least, most}) {
  if (String(least) === String(most)) return [condition(filterName, "=", least)];
  return [condition(filterName, ">=", least), condition(filterName, "<=", most)];
}
