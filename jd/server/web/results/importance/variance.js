// How much of a metric's variance a parameter explains. Pure functions.

import {FEW} from "../../charts/column.js";
import {quantile, sorted} from "../../charts/statistics.js";

const BINS = 10;

// The group of each value (an index; -1 where there is none) and how many groups there are: the distinct
// values, or when there are more than 12 numbers, ten bins that hold about as many jobs each.
function groupsOf(made) {
  if (made.kind !== "number" || made.distinct.length <= FEW) {
    const places = new Map(made.distinct.map((value, index) => [value, index]));
    const of = made.values.map((value) => (value === null ? -1 : places.get(value)));
    return {of, count: made.distinct.length};
  }
  const ordered = sorted(made.values);
  const edges = [];
  for (let bin = 1; bin < BINS; bin += 1) {
    const edge = quantile(ordered, bin / BINS);
    if (edge !== edges[edges.length - 1]) edges.push(edge);
  }
  const below = (value) => edges.filter((edge) => edge < value).length;
  const of = made.values.map((value) => (value === null ? -1 : below(value)));
  return {of, count: edges.length + 1};
}

/** Whether all finite ones of some numbers are equal: then there is nothing that could be explained. By their
 * differences from a mean that is rounded they would seem to vary. */
export function constant(metric) {
  const first = metric.find(Number.isFinite);
  return metric.every((one) => one === first || !Number.isFinite(one));
}

/** How much of a metric's variance a parameter explains alone: ε² of a one-way analysis of variance, which
 * is the correlation ratio η² less what as many random groups would explain; 0 to 1.
 * `share` is null when the values repeat too seldom to tell, and where the metric is `same` in all jobs. */
export function importance(made, metric) {
  const {of, count} = groupsOf(made);
  const sums = new Float64Array(count), counts = new Float64Array(count);
  let n = 0, total = 0;
  of.forEach((group, index) => {
    if (group < 0 || !Number.isFinite(metric[index])) return;
    sums[group] += metric[index];
    counts[group] += 1;
    total += metric[index];
    n += 1;
  });
  const centre = total / n;
  let all = 0, within = 0;
  of.forEach((group, index) => {
    if (group < 0 || !Number.isFinite(metric[index])) return;
    all += Math.pow(metric[index] - centre, 2);
    within += Math.pow(metric[index] - sums[group] / counts[group], 2);
  });
  const groups = counts.filter((size) => size > 0).length;
  const same = n > 1 && constant(metric.filter((_, index) => of[index] >= 0));
  if (groups < 2 || n < 2 * groups || same) return {share: null, n, groups, same};
  const between = all - within - (groups - 1) * within / (n - groups);
  return {share: Math.min(1, Math.max(0, between / all)), n, groups};
}
