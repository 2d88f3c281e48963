// The numbers behind the Results page. Pure functions: no document, no clock, no chance.

import {logTicks, ticks} from "../svg.js";

/** Numbers in order; Infinity and NaN stay out. */
export const sorted = (values) => Float64Array.from(values.filter(Number.isFinite)).sort();

/** The q-quantile (0..1) of numbers in order, interpolated between neighbours; NaN when there are none. */
export function quantile(ordered, q) {
  if (!ordered.length) return NaN;
  const at = (ordered.length - 1) * q, below = Math.floor(at);
  const next = ordered[Math.min(below + 1, ordered.length - 1)];
  return ordered[below] + (next - ordered[below]) * (at - below);
}

/** What a box plot shows of some numbers. The whiskers end at the last value within 1.5 boxes of the
 * box (Tukey); values beyond them are outliers. */
export function five(values) {
  const all = sorted(values);
  const [q1, median, q3] = [0.25, 0.5, 0.75].map((q) => quantile(all, q));
  const reach = 1.5 * (q3 - q1);
  const inside = all.filter((value) => value >= q1 - reach && value <= q3 + reach);
  return {n: all.length, min: all[0], max: all[all.length - 1], q1, median, q3,
    low: inside[0], high: inside[inside.length - 1]};
}

/** The arithmetic mean; NaN when there is nothing. */
export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

const NUMBER = /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i;
const collator = new Intl.Collator("en", {numeric: true});

/** A parameter or metric as a column: `kind` is "number" (all values are, also when stored as text),
 * "category" or "constant" (fewer than two values); `values` are numbers, or texts; null where a job has none.
 * `distinct` are the values in order. */
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
  return {name, kind, values, distinct, missing: values.filter((value) => value === null).length};
}

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
export const metricWantsLog = (ordered) => ordered[0] > 0
  && ordered[ordered.length - 1] / ordered[0] > TWO_DECADES && ordered[ordered.length - 1] > 10 * quantile(ordered, 0.5);

/** Whether less of such a metric is better, judged by its name. */
export function lessIsBetter(name) {
  const words = name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  if (/(^|[^a-z])(r2|accuracy|acc|score|reward|auc|f1|precision|recall|iou|map|bleu|psnr|ssim)([^a-z]|$)/.test(words))
    return false;
  return /loss|err|rmse|mse|mae|mape|nll|time|seconds|duration|latency|perplexity|ppl|cost|regret|distance|fid|wer/
    .test(words);
}

// Where powers of ten are too far apart to mark an axis, round steps do.
function logMarks(low, high, count) {
  const found = logTicks(low, high, count);
  return found.length > 1 ? found : ticks(low, high, count);
}

/** An axis of numbers: `at` gives 0..1 (NaN when there is no place), `back` the value of a place. */
export function numberAxis(low, high, log) {
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const to = log ? Math.log10 : (value) => value, from = log ? (value) => Math.pow(10, value) : (value) => value;
  const start = to(low), span = to(high) - start;
  return {kind: "number", log: Boolean(log), low, high,
    at: (value) => (value === null || (log && value <= 0) ? NaN : (to(value) - start) / span),
    back: (place) => from(start + span * place),
    ticks: (count) => (log ? logMarks : ticks)(low, high, count)};
}

/** An axis of texts, each in the middle of a slot of its own. */
export function categoryAxis(distinct) {
  const places = new Map(distinct.map((value, index) => [value, (index + 0.5) / distinct.length]));
  return {kind: "category", distinct, at: (value) => (places.has(value) ? places.get(value) : NaN),
    back: (place) => distinct[Math.max(0, Math.min(distinct.length - 1, Math.floor(place * distinct.length)))],
    ticks: (count) => {
      const every = Math.max(1, Math.ceil(distinct.length / Math.max(1, count)));
      return distinct.filter((value, index) => index % every === 0);
    }};
}

const FEW = 12, BINS = 10;

/** Whether a column has few values that many jobs share, as a grid of values gives. */
export const repeats = (made) => made.distinct.length <= FEW && made.values.length >= 2 * made.distinct.length;

/** The axis that suits a column, marked at its values when they repeat; `log` decides over what its values suggest. */
export function axisOf(made, log) {
  if (made.kind === "category" || !made.distinct.length) return categoryAxis(made.distinct);
  if (typeof made.distinct[0] !== "number") return categoryAxis(made.distinct);
  const positive = made.distinct[0] > 0;
  const axis = numberAxis(made.distinct[0], made.distinct[made.distinct.length - 1],
    positive && (log === undefined ? wantsLog(made.distinct) : log));
  return repeats(made) ? {...axis, ticks: () => made.distinct} : axis;
}

/** The group of each value (an index; -1 where there is none) and how many groups there are: the distinct
 * values, or when there are more than 12 numbers, ten bins that hold about as many jobs each. */
export function groupsOf(made) {
  if (made.kind !== "number" || made.distinct.length <= FEW) {
    const places = new Map(made.distinct.map((value, index) => [value, index]));
    return {of: made.values.map((value) => (value === null ? -1 : places.get(value))), count: made.distinct.length};
  }
  const ordered = sorted(made.values);
  const edges = [];
  for (let bin = 1; bin < BINS; bin += 1) {
    const edge = quantile(ordered, bin / BINS);
    if (edge !== edges[edges.length - 1]) edges.push(edge);
  }
  return {of: made.values.map((value) => (value === null ? -1 : edges.filter((edge) => edge < value).length)),
    count: edges.length + 1};
}

/** How much of a metric's variance a parameter explains alone: ε² of a one-way analysis of variance, which
 * is the correlation ratio η² less what as many random groups would explain; 0 to 1.
 * `share` is null when the values repeat too seldom to tell. */
export function importance(made, metric) {
  const {of, count} = groupsOf(made);
  const sums = new Float64Array(count), counts = new Float64Array(count);
  let n = 0, total = 0;
  of.forEach((group, index) => {
    if (group < 0 || !Number.isFinite(metric[index])) return;
    sums[group] += metric[index]; counts[group] += 1; total += metric[index]; n += 1;
  });
  const centre = total / n;
  let all = 0, within = 0;
  of.forEach((group, index) => {
    if (group < 0 || !Number.isFinite(metric[index])) return;
    all += Math.pow(metric[index] - centre, 2);
    within += Math.pow(metric[index] - sums[group] / counts[group], 2);
  });
  const groups = counts.filter((size) => size > 0).length;
  if (groups < 2 || n < 2 * groups) return {share: null, n, groups};
  if (all === 0) return {share: 0, n, groups};
  const between = all - within - (groups - 1) * within / (n - groups);
  return {share: Math.min(1, Math.max(0, between / all)), n, groups};
}

/** Places of a list, the best value first; equal ones by place. */
export function ranking(values, less) {
  const places = values.map((value, index) => index).filter((index) => Number.isFinite(values[index]));
  return places.sort((a, b) => (less ? values[a] - values[b] : values[b] - values[a]) || a - b);
}

/** -1..1, the same for a job each time it is drawn. */
export const noise = (id) => (Math.imul(id, 2654435761) >>> 0) / 2147483648 - 1;

/** At most `limit` of a list, from everywhere in it. */
export function evenly(list, limit) {
  if (list.length <= limit) return list;
  return Array.from({length: limit}, (_, index) => list[Math.floor(index * list.length / limit)]);
}

/** The bins of a column along its axis: `list` of {low, high}, and `of` that gives the bin of a value (-1: none).
 * There is one for each distinct value (`single`) when these are few, else `most` of equal width. Of more
 * than 24 texts the last `cut` have no bin. `axis` is that of the column. */
export function bins(made, axis, most) {
  if (axis.kind === "category" || made.distinct.length <= most) {
    const list = made.distinct.slice(0, Math.max(most, 24));
    const places = new Map(list.map((value, index) => [value, index]));
    return {single: true, cut: made.distinct.length - list.length, list: list.map((value) => ({low: value, high: value})),
      of: (value) => (places.has(value) ? places.get(value) : -1)};
  }
  const edge = (at) => (at === 0 ? axis.low : at === most ? axis.high : axis.back(at / most));
  return {single: false, cut: 0, list: Array.from({length: most}, (_, at) => ({low: edge(at), high: edge(at + 1)})),
    of: (value) => {
      const at = axis.at(value);
      return Number.isNaN(at) ? -1 : Math.max(0, Math.min(most - 1, Math.floor(at * most)));
    }};
}

/** The medians and quartiles of y in up to 20 equally full bins of x (places on an axis): a trend. */
export function trend(xs, ys, parts) {
  const order = xs.map((x, index) => index).filter((index) => Number.isFinite(xs[index]) && Number.isFinite(ys[index]));
  order.sort((a, b) => xs[a] - xs[b]);
  const size = order.length / parts, found = [];
  for (let part = 0; part < parts; part += 1) {
    const some = order.slice(Math.round(part * size), Math.round((part + 1) * size));
    if (!some.length) continue;
    const y = sorted(some.map((index) => ys[index]));
    found.push({x: quantile(sorted(some.map((index) => xs[index])), 0.5),
      q1: quantile(y, 0.25), median: quantile(y, 0.5), q3: quantile(y, 0.75)});
  }
  return found;
}

/** What the plots draw, of an answer of /web/results/columns. `columns` are the parameters that vary, `others`
 * the other metrics; `values` the metric of each job, `goodness` 0 (worst) to 1 (best) with the utmost 5 % at
 * each end as one; `range` is what it spans; `byGoodness` places of jobs, the best first.
 * `log`: the scale of the metric, undefined as its values suggest. */
export function dataOf(answer, less, log) {
  const kept = answer.values.map((value, at) => at).filter((at) => Number.isFinite(answer.values[at]));
  const some = (raw) => kept.map((at) => raw[at]);
  const own = column(answer.metric, some(answer.values)), ordered = sorted(own.values);
  const most = ordered.length > 50 ? [quantile(ordered, 0.05), quantile(ordered, 0.95)] : [ordered[0], ordered[ordered.length - 1]];
  const logarithmic = ordered[0] > 0 && (log === undefined ? metricWantsLog(ordered) : log);
  const axis = numberAxis(most[0], most[1], logarithmic);
  const goodOf = (value) => {
    const place = most[0] === most[1] ? 0.5 : Math.max(0, Math.min(1, axis.at(value)));
    return less ? 1 - place : place;
  };
  const columns = (named, prefix) => Object.entries(named)
    .map(([name, raw]) => Object.assign(column(name, some(raw)), {filterName: prefix + name}))
    .filter((made) => made.kind !== "constant");
  return {metric: answer.metric, less, total: answer.total, ids: some(answer.ids), values: own.values,
    column: Object.assign(own, {filterName: "result." + own.name}), columns: columns(answer.parameters, "param."),
    others: columns(answer.results, "result."), min: ordered[0], max: ordered[ordered.length - 1],
    range: {low: most[0], high: most[1]}, log: logarithmic, canLog: ordered[0] > 0, goodOf,
    goodness: Float32Array.from(own.values, goodOf), byGoodness: ranking(own.values, less)};
}

/** A condition of the filter language. */
export function condition(name, operator, value) {
  const text = String(value);
  const plain = /^[^\s"'\\,]+$/.test(text) ? text : '"' + text.replace(/(["\\])/g, "\\$1") + '"';
  return name + operator + plain;
}
