// Which axes the parallel coordinates have, and what ranges on them mean. Pure functions.

import {condition} from "../../filter.js";
import {axisOf, categoryAxis} from "../axis.js";
import {repeats} from "../column.js";

/** The axes in their order, the metric as the last: {column, axis}. `state` as parallelPlot has it. */
export function axesOf(data, state) {
  const names = data.weights.map((weight) => weight.column.name);
  const order = (state.order || []).filter((name) => names.includes(name));
  const shown = [...order, ...names.filter((name) => !order.includes(name))]
    .filter((name) => !state.hidden.has(name));
  const columns = shown.map((name) => data.columns.find((column) => column.name === name));
  return [
    ...columns.map((column) => ({column, axis: parameterAxis(column)})),
    {column: data.column, axis: axisOf(data.column, data.log)}];
}

function parameterAxis(column) {
  if (column.kind === "category") return categoryAxis(column.distinct.slice().reverse());  // the first on top
  return repeats(column) ? categoryAxis(column.distinct) : axisOf(column);
}

/** Where a range begins and ends on its axis, 0..1, the slots of texts in full. */
export function places(axis, [low, high]) {
  const half = axis.kind === "category" ? 0.5 / axis.distinct.length : 1e-9;
  const ends = [axis.at(low), axis.at(high)].map((place, end) => (Number.isNaN(place) ? end : place));
  return [Math.min(...ends) - half, Math.max(...ends) + half];
}

/** The range on a column whose ends are these texts; null where it has no such values. */
export function rangeOf({kind, distinct}, ends) {
  if (kind === "category") {
    return ends.every((end) => distinct.includes(end)) ? ends : null;
  }
  const found = ends.map((end) => (end.trim() ? Number(end) : NaN));
  return kind === "number" && found.every(Number.isFinite) && found[0] <= found[1] ? found : null;
}

/** The ranges as a text of the filter language. */
export function filterOf(axes, ranges) {
  return axes.filter(({column}) => ranges.has(column.name)).flatMap(({column, axis}) => {
    const [low, high] = ranges.get(column.name), name = column.filterName;
    if (axis.kind === "number") return [condition(name, ">=", low), condition(name, "<=", high)];
    const [from, to] = places(axis, [low, high]);
    const inside = column.distinct.filter((value) => axis.at(value) >= from && axis.at(value) <= to);
    return [name + "=" + inside.map((value) => condition("", "", value)).join(",")];
  }).join(" ");
}
