// What the plots draw, of an answer of the server. Pure functions.

import {metricWantsLog, numberAxis} from "./charts/axis.js";
import {column} from "./columns.js";
import {quantile, ranking, sorted} from "./statistics.js";

const MANY = 50;  // values from which the utmost 5 % at each end do not stretch the colours

/** What the plots draw, of an answer of /web/results/columns. `columns` are the parameters that vary,
 * `others` the other metrics; `values` the metric of each job; `range` what it spans, of many jobs without
 * the utmost 5 % at each end; `goodness` 0 (the worse end of the range) to 1 (the better one); `byGoodness`
 * places of jobs, the best first. `log`: whether the metric's scale is logarithmic, undefined: as its values
 * suggest. */
export function dataOf(answer, less, log) {
  const kept = answer.values.map((value, at) => at).filter((at) => Number.isFinite(answer.values[at]));
  const some = (raw) => kept.map((at) => raw[at]);
  const own = column(answer.metric, some(answer.values)), ordered = sorted(own.values);
  const min = ordered[0], max = ordered[ordered.length - 1];
  const range = ordered.length > MANY ? {low: quantile(ordered, 0.05), high: quantile(ordered, 0.95)}
    : {low: min, high: max};
  const logarithmic = min > 0 && (log === undefined ? metricWantsLog(ordered) : log);
  const axis = numberAxis(range.low, range.high, logarithmic);
  const goodOf = (value) => {
    const place = range.low === range.high ? 0.5 : Math.max(0, Math.min(1, axis.at(value)));
    return less ? 1 - place : place;
  };
  const columns = (named, prefix) => Object.entries(named)
    .map(([name, raw]) => Object.assign(column(name, some(raw)), {filterName: prefix + name}))
    .filter((made) => made.kind !== "constant");
  return {
    metric: answer.metric, less, total: answer.total,
    ids: some(answer.ids), values: own.values, min, max, range,
    log: logarithmic, canLog: min > 0,
    column: Object.assign(own, {filterName: "result." + own.name}),
    columns: columns(answer.parameters, "param."), others: columns(answer.results, "result."),
    goodOf, goodness: Float32Array.from(own.values, goodOf), byGoodness: ranking(own.values, less),
  };
}
