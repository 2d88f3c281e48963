// The filter of the jobs in a bin of an axis.

import {condition} from "../filter.js";

/** The conditions that keep the jobs of a bin: its edges are no values that anybody has given, so it is told
 * by the least and the most of its values. */
export function within({filterName, values}, {bins, at}) {
  const {low, high} = bins.list[at];
  if (low === high) return [condition(filterName, "=", low)];
  const inside = values.filter((value) => value !== null && bins.of(value) === at);
  const ends = inside.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)],
    [Infinity, -Infinity]);
  return [condition(filterName, ">=", ends[0]), condition(filterName, "<=", ends[1])];
}
