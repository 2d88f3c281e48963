// The metric against numbers: a point for each job.

import {svg} from "../svg.js";
import {axisOf, numberAxis} from "./axis.js";
import {css, isDark, shadeAt, shades} from "./colours.js";
import {below, beside, canvas, roomFor} from "./drawing.js";
import {jobTip, pointing} from "./pointing.js";
import {noise, trend} from "./statistics.js";

const REACH = 24;  // pixels from which a point is near
const TREND_FROM = 80;  // points
const MANY = 2000;  // points from which a canvas draws them: as elements they would be slow

/** Draw into a box. `options`: `log` of the parameter (undefined: as its values suggest), `open(job id)`.
 * Gives how many jobs have a place. */
export function scatter(box, width, data, column, options) {
  const height = Math.max(260, Math.min(400, width * 0.62));
  const x = axisOf(column, options.log);
  const y = numberAxis(data.min, data.max, data.log);
  const left = roomFor(y, height), top = 26, right = 12, bottom = 46;
  const area = {left, top, width: width - left - right, height: height - top - bottom};
  const spread = jitter(column, x, area.width);
  // Half a spread and a radius stay free at the edges.
  const inner = Math.max(5, spread + 5);
  const across = {...area, left: left + inner, width: area.width - 2 * inner};
  const up = {...area, top: top + 6, height: area.height - 12};
  const points = [];
  column.values.forEach((value, at) => {
    const px = across.left + x.at(value) * across.width + spread * noise(data.ids[at]);
    const py = up.top + (1 - y.at(data.values[at])) * up.height;
    if (Number.isFinite(px) && Number.isFinite(py)) points.push({at, x: px, y: py});
  });
  // The best are drawn last, above the others.
  points.sort((a, b) => data.goodness[a.at] - data.goodness[b.at]);
  const back = svg("svg", {width, height, "aria-hidden": "true"},
    below(x, {...across, title: column.name, scaleNote: x.log ? " (log scale)" : ""}),
    beside(y, {...up, title: data.metric + (y.log ? " (log scale)" : "")}));
  const ring = svg("circle", {class: "ring", r: 7, visibility: "hidden"});
  const front = svg("svg", {
    class: "surface", width, height, tabindex: 0, role: "application",
    "aria-label": `${data.metric} against ${column.name}, ${points.length} jobs. `
      + "Arrow keys go along the points, Enter opens the job."});
  box.append(back, ...drawPoints(points, data, front, width, height));
  if (points.length >= TREND_FROM && column.distinct.length > 12) {
    front.append(...drawTrend(points.filter(({at}) => data.even[at])));
  }
  front.append(ring);
  box.append(front);
  point(front, box, {points, data, column, ring, open: options.open});
  return points.length;
}

// How far points are spread to the sides of their value, in pixels: where many jobs share a value they are
// drawn as a column, as wide as the next value allows.
function jitter(column, axis, width) {
  if (column.distinct.length > 24 || column.values.length < 4 * column.distinct.length) return 0;
  const places = column.distinct.map(axis.at).filter((place) => !Number.isNaN(place));
  const gaps = places.slice(1).map((place, index) => (place - places[index]) * width);
  return Math.min(16, 0.3 * Math.min(...gaps));
}

function drawPoints(points, data, front, width, height) {
  const colours = shades(isDark());
  if (points.length <= MANY) {
    const radius = points.length > 300 ? 3 : 4;
    front.append(...points.map(({at, x, y}) => svg("circle", {
      class: "point", cx: x.toFixed(1), cy: y.toFixed(1), r: radius,
      fill: css(colours[shadeAt(data.goodness[at])])})));
    return [];
  }
  const {node, pen} = canvas(width, height);
  const size = points.length > 10000 ? 2.4 : 3.4;
  pen.globalAlpha = Math.max(0.22, Math.min(0.8, 4000 / points.length));
  let shade = -1;
  for (const {at, x, y} of points) {
    const next = shadeAt(data.goodness[at]);
    if (next !== shade) pen.fillStyle = css(colours[shade = next]);
    pen.fillRect(x - size / 2, y - size / 2, size, size);
  }
  return [node];
}

function drawTrend(points) {
  const parts = Math.max(5, Math.min(20, Math.floor(points.length / 25)));
  const along = trend(points.map((point) => point.x), points.map((point) => point.y), parts);
  const line = (key) => along.map((bin) => bin.x.toFixed(1) + "," + bin[key].toFixed(1));
  return [svg("polygon", {class: "band", points: [...line("q1"), ...line("q3").reverse()].join(" ")}),
    svg("polyline", {class: "trend-edge", points: line("median").join(" ")}),
    svg("polyline", {class: "trend", points: line("median").join(" ")})];
}

function point(front, box, {points, data, column, ring, open}) {
  let order = null;
  pointing(front, box, {ring,
    near(x, y) {
      let best = -1, least = REACH * REACH;
      points.forEach((mark, index) => {
        const far = (mark.x - x) * (mark.x - x) + (mark.y - y) * (mark.y - y);
        if (far > least) return;
        least = far;
        best = index;
      });
      return best;
    },
    place: (mark) => [points[mark].x, points[mark].y],
    name: (mark) => data.ids[points[mark].at],
    tell: (mark) => jobTip(data, points[mark].at, [column]),
    open: (mark) => open(data.ids[points[mark].at]),
    order() {
      order ||= points.map((_, index) => index).sort((a, b) => points[a].x - points[b].x);
      return order;
    },
  });
}
