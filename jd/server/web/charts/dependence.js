// What a model says of a metric along a parameter: the mean of all jobs, the middle half, and single jobs.

import {number} from "../format.js";
import {svg} from "../svg.js";
import {axisOf, numberAxis} from "./axis.js";
import {below, beside, roomFor, text} from "./drawing.js";
import {pointing, tipLines} from "./pointing.js";

/** Draw {values, mean, q1, q3, lines: the numbers of some jobs at each value} into a box; `log` of the
 * parameter, undefined: as its values suggest. */
export function dependencePlot(box, width, data, column, found, log) {
  const height = Math.max(260, Math.min(400, width * 0.62));
  const x = axisOf(column, log), all = found.lines.flat().concat(found.mean);
  const y = numberAxis(Math.min(...all), Math.max(...all), data.log);
  const left = roomFor(y, height), top = 26, right = 18, bottom = 46;
  const across = {left: left + 6, top, width: width - left - right, height: height - top - bottom};
  const up = {...across, left, top: top + 6, height: across.height - 12};
  const px = found.values.map((value) => across.left + x.at(value) * across.width);
  const py = (value) => up.top + (1 - y.at(value)) * up.height;
  const places = px.map((place, at) => at).filter((at) => Number.isFinite(px[at]));
  const points = (list) => places.map((at) => px[at].toFixed(1) + "," + py(list[at]).toFixed(1));
  const surface = svg("svg", {
    class: "surface", width, height, tabindex: 0, role: "application",
    "aria-label": `Partial dependence of ${data.metric} on ${column.name}, ${places.length} values. `
      + "Arrow keys go along them; the table has the numbers."},
  below(x, {...across, title: column.name, scaleNote: x.log ? " (log scale)" : ""}),
  beside(y, {...up, title: data.metric + (y.log ? " (log scale)" : "")}),
  ...found.lines.map((line) => svg("polyline", {class: "single", points: points(line).join(" ")})),
  svg("polygon", {class: "band", points: [...points(found.q1), ...points(found.q3).reverse()].join(" ")}),
  svg("polyline", {class: "trend-edge", points: points(found.mean).join(" ")}),
  svg("polyline", {class: "trend", points: points(found.mean).join(" ")}),
  ...places.map((at) => svg("circle", {class: "mean", cx: px[at], cy: py(found.mean[at]), r: 3})));
  const ring = svg("circle", {class: "ring", r: 7, visibility: "hidden"});
  surface.append(ring);
  box.append(surface);
  pointing(surface, box, {ring,
    near: (mx) => places.reduce((best, at) =>
      (best < 0 || Math.abs(px[at] - mx) < Math.abs(px[best] - mx) ? at : best), -1),
    place: (at) => [px[at], py(found.mean[at])],
    name: (at) => found.values[at],
    tell: (at) => tipLines(column.name + " = " + text(found.values[at]), [
      ["mean", text(found.mean[at])],
      ["middle half", text(found.q1[at]) + " – " + text(found.q3[at])]]),
    open() { /* a value has no page */ },
    order: () => places,
  });
  return `What the forest says of the jobs if all had this ${column.name}: the mean, the middle half of `
    + `them, and ${number(found.lines.length)} single jobs.`;
}

/** The table behind it. */
export function dependenceRows(data, column, {values, mean, q1, q3}) {
  return {heads: [column.name, "mean " + data.metric, "lower quartile", "upper quartile"],
    rows: values.map((value, at) => [value, mean[at], q1[at], q3[at]])};
}
