// Axes: which place a value has along a drawing, where marks stand. Pure functions.

import {logTicks, ticks} from "../svg.js";
import {repeats} from "./column.js";
import {quantile, sorted} from "./statistics.js";

const TWO_DECADES = 100;

/** Whether the values of a parameter, distinct and in order, are worth a logarithmic axis: all positive, and
 * more than two decades apart without the utmost 5 % at each end, or each a multiple of the one before. */
export function wantsLog(distinct) {
  if (distinct.length < 2 || !(distinct[0] > 0)) return false;
  if (quantile(distinct, 0.95) / quantile(distinct, 0.05) > TWO_DECADES) return true;
  const ratios = sorted(distinct.slice(1).map((value, at) => value / distinct[at]));
  return distinct.length > 3 && ratios[0] > 1.9 && ratios[ratios.length - 1] < 1.2 * ratios[0];
}

/** The same for a metric, where few that went astray decide: a loss is, an accuracy is not. */
export const metricWantsLog = ({min, median, max}) =>
  min > 0 && max / min > TWO_DECADES && max > 10 * median;

// Where few marks leave one power of ten, or none, more do; where powers are too far apart, round steps.
function logMarks(low, high, count) {
  const found = [count, 3 * count].map((n) => logTicks(low, high, n)).find((marks) => marks.length > 1);
  return found || ticks(low, high, count);
}

// The ends of an axis around a single value, which then lies in its middle.
function around(value, log) {
  if (log) return [value / 2, value * 2];
  const half = (Math.abs(value) || 1) / 2;
  return [value - half, value + half];
}

/** An axis of numbers: `at` gives 0..1 (NaN when there is no place), `back` the value of a place. */
export function numberAxis(low, high, log) {
  if (low === high) [low, high] = around(low, log);
  const to = log ? Math.log10 : (value) => value;
  const from = log ? (value) => Math.pow(10, value) : (value) => value;
  const start = to(low), span = to(high) - start;
  return {
    kind: "number", log: Boolean(log), low, high,
    at: (value) => (value === null || (log && value <= 0) ? NaN : (to(value) - start) / span),
    back: (place) => from(start + span * place),
    ticks: (count) => (log ? logMarks : ticks)(low, high, count),
  };
}

/** An axis of texts, each in the middle of a slot of its own. */
export function categoryAxis(distinct) {
  const n = distinct.length;
  const places = new Map(distinct.map((value, index) => [value, (index + 0.5) / n]));
  return {
    kind: "category", distinct,
    at: (value) => (places.has(value) ? places.get(value) : NaN),
    back: (place) => distinct[Math.max(0, Math.min(n - 1, Math.floor(place * n)))],
    ticks: (count) => {
      const every = Math.max(1, Math.ceil(n / Math.max(1, count)));
      return distinct.filter((value, index) => index % every === 0);
    },
  };
}

/** The axis that suits a column, marked at its values when they repeat. `log` decides whether it is
 * logarithmic; undefined: as its values suggest. */
export function axisOf(made, log) {
  const {kind, distinct} = made, low = distinct[0];
  if (kind === "category" || typeof low !== "number") return categoryAxis(distinct);
  const logarithmic = low > 0 && (log === undefined ? wantsLog(distinct) : log);
  const axis = numberAxis(low, distinct[distinct.length - 1], logarithmic);
  return repeats(made) ? {...axis, ticks: () => distinct} : axis;
}
