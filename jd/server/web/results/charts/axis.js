// Axes: which place a value has along a drawing, where marks stand, how an axis is cut into bins.
// Pure functions.

import {logTicks, ticks} from "../../svg.js";
import {repeats} from "../columns.js";
import {quantile, sorted} from "../statistics.js";

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
export function metricWantsLog(ordered) {
  const low = ordered[0], high = ordered[ordered.length - 1];
  return low > 0 && high / low > TWO_DECADES && high > 10 * quantile(ordered, 0.5);
}

// Where powers of ten are too far apart to mark an axis, round steps do.
function logMarks(low, high, count) {
  const found = logTicks(low, high, count);
  return found.length > 1 ? found : ticks(low, high, count);
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

const MOST_TEXTS = 24;

/** The bins of a column along its axis: `list` of {low, high}, and `of`, which gives the bin of a value
 * (-1: none). There is one for each distinct value (`single`) when these are few, else `most` of equal width.
 * Of more than 24 texts the last `cut` have no bin. `axis` is that of the column. */
export function bins(made, axis, most) {
  if (axis.kind === "category" || made.distinct.length <= most) {
    const list = made.distinct.slice(0, Math.max(most, MOST_TEXTS));
    const places = new Map(list.map((value, index) => [value, index]));
    return {
      single: true, cut: made.distinct.length - list.length,
      list: list.map((value) => ({low: value, high: value})),
      of: (value) => (places.has(value) ? places.get(value) : -1),
    };
  }
  const edge = (at) => (at === 0 ? axis.low : at === most ? axis.high : axis.back(at / most));
  return {
    single: false, cut: 0,
    list: Array.from({length: most}, (_, at) => ({low: edge(at), high: edge(at + 1)})),
    of: (value) => {
      const at = axis.at(value);
      return Number.isNaN(at) ? -1 : Math.max(0, Math.min(most - 1, Math.floor(at * most)));
    },
  };
}
