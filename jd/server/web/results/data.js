// What the plots draw, of an answer of the server. Pure functions.

import {metricWantsLog, numberAxis} from "../charts/axis.js";
import {column} from "../charts/column.js";
import {ranking} from "../charts/statistics.js";

const MANY = 50;  // values from which the utmost 5 % at each end do not stretch the colours

/** What the plots draw, of an answer of /web/results/columns. `columns` are the parameters that vary,
 * `others` the other metrics; `values` the metric of each job; `range` what it spans, of many jobs without
 * the utmost 5 % at each end; `goodness` 0 (the worse end of the range) to 1 (the better one); `byGoodness`
 * places of jobs, the best first. `total` jobs have the metric: where they are more than `ids`, these are a
 * sample and the best and worst of all; of the sample itself are the places that are `even`. `log`: whether
 * the metric's scale is logarithmic, undefined: as its values suggest. */
export function dataOf(answer, less, log) {
  const kept = answer.values.map((value, at) => at).filter((at) => Number.isFinite(answer.values[at]));
  const some = (raw) => kept.map((at) => raw[at]);
  const own = column(answer.metric, some(answer.values)), utmost = new Set(answer.utmost);
  const {min, low, high, max} = answer.spread || {};
  const range = answer.total > MANY ? {low, high} : {low: min, high: max};
  const logarithmic = min > 0 && (log === undefined ? metricWantsLog(answer.spread) : log);
  const axis = numberAxis(range.low, range.high, logarithmic);
  const goodOf = (value) => {
    const place = range.low === range.high ? 0.5 : Math.max(0, Math.min(1, axis.at(value)));
    return less ? 1 - place : place;
  };
  const columns = (named, prefix) => Object.entries(named)
    .map(([name, raw]) => Object.assign(column(name, some(raw)), {filterName: prefix + name}))
    .filter((made) => made.kind !== "constant");
  return {
    answer, metric: answer.metric, less, total: answer.total,
    sampled: answer.shown < answer.total, counted: answer.counted,
    ids: some(answer.ids), even: some(answer.ids.map((id) => !utmost.has(id))),
    values: own.values, min, max, range,
    log: logarithmic, canLog: min > 0,
    column: Object.assign(own, {filterName: "result." + own.name}),
    columns: columns(answer.parameters, "param."), others: columns(answer.results, "result."),
    goodOf, goodness: Float32Array.from(own.values, goodOf), byGoodness: ranking(own.values, less),
  };
}
