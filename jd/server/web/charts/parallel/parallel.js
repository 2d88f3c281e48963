// Parallel coordinates: a line for each job over an axis for each parameter, the metric last. Ranges
// brushed on the axes, or typed below them, leave the jobs that lie in all of them.

import {button, el} from "../../common.js";
import {count, cut, number} from "../../format.js";
import {svg} from "../../svg.js";
import {canvas, text, widthOf} from "../drawing.js";
import {jobLink, jobRows, plot} from "../plot.js";
import {jobTip, pointing} from "../pointing.js";
import {axesOf, filterOf, places, rangeOf} from "./axes.js";
import {brushing, drawBrushes} from "./brushes.js";
import {drawLines, heights, MOST_LINES, nearest} from "./lines.js";
import {axesPanel} from "./panel.js";

const HEIGHT = 340, TOP = 40, BOTTOM = 14, SIDE = 56, GRAB = 13;  // pixels
// Of an axis: where all of them fit so, they are drawn side by side; else they have more room, and scroll.
const NARROWEST = 88, ROOMY = 108;
const MOST_AXES = 12;

/** The plot. `asked` = {axes: names of the shown ones or null for the usual ones, ranges: Map name → [low,
 * high], as texts} is how it begins; `keep({axes, ranges})`, alike, is told what somebody has changed.
 * `open(job id)` and `list(filter text)` follow what is clicked, `around(data, places, ranges)` makes new
 * jobs within the ranges, of which these places are; `csv(filter text)` is the address of a table of them. */
export function parallelPlot(asked, {open, list, keep, around, csv}) {
  const view = {data: null, axes: [], selected: [], drag: false, frame: 0};
  const state = {order: asked.axes, hidden: new Set(), ranges: new Map()};
  const wanted = new Map(asked.ranges);  // ranges on parameters that have not been here yet
  const known = new Set();  // parameters that have been here before; more than fit begin as hidden
  const tally = el("span", {"aria-live": "polite"});
  const clear = button("Clear ranges", () => { state.ranges.clear(); changed(); }, "small");
  const jobs = button("Show these jobs", () => list(filterOf(view.axes, state.ranges)), "small");
  const more = button("New jobs around here", () => around(view.data, view.selected, state.ranges), "small");
  const table = el("a", {class: "button small", download: "", title: "The jobs in all ranges as CSV"}, "CSV");
  const made = plot({
    title: "All parameters", name: "parallel", tools: [],
    draw: (box, width) => drawAll(box, width, {view, state, open, changed}),
    rows() {
      const columns = view.axes.slice(0, -1).map(({column}) => column);
      return {heads: ["job", view.data.metric, ...columns.map((column) => column.name)],
        rows: jobRows(view.data, view.selected, columns), total: view.selected.length};
    },
  });
  const panel = axesPanel({state, changed: (shape) => changed(shape)});
  made.node.append(el("div", {class: "plot-status"}, tally, jobs, more, table, clear), panel.node);

  function select() {
    const {data, axes} = view;
    const tests = axes.filter(({column}) => state.ranges.has(column.name)).map(({column, axis}) => {
      const [from, to] = places(axis, state.ranges.get(column.name));
      return column.values.map((value) => { const at = axis.at(value); return at >= from && at <= to; });
    });
    view.selected = data.byGoodness.filter((at) => tests.every((test) => test[at]));
    tell();
  }

  function tell() {
    const {data, selected} = view, ranges = state.ranges.size, best = selected[0];
    const all = count(data.ids.length, data.sampled ? "sampled job" : "job"), inside = selected.length;
    tally.replaceChildren(ranges ? `${number(inside)} of ${all} lie in all ranges` : all);
    if (inside > MOST_LINES) tally.append(`, ${number(MOST_LINES)} lines drawn`);
    if (ranges && inside) {
      const first = data.sampled ? " · best of these " : " · best ";
      tally.append(first, jobLink(data.ids[best]), ": " + text(data.values[best]));
    }
    if (state.hidden.size) tally.append(` · ${count(state.hidden.size, "parameter")} not shown`);
    clear.hidden = jobs.hidden = !ranges;
    more.hidden = table.hidden = !ranges || !inside;
    if (ranges) table.href = csv(filterOf(view.axes, state.ranges));
  }

  /** `shape`: axes came, went or moved, not only ranges. */
  function changed(shape) {
    if (shape) view.axes = axesOf(view.data, state);
    if (!view.drag) tellShape(shape);
    select();
    if (shape || made.node.classList.contains("tabular") || !view.paint) made.redraw();
    else view.paint();
    panel.fill(view.data, view.axes);
  }

  function tellShape(shape) {
    const usual = view.data.weights.slice(0, MOST_AXES).map(({column}) => column.name);
    const shown = view.axes.slice(0, -1).map(({column}) => column.name);
    if (shape) state.order = String(shown) === String(usual) ? null : shown;
    keep({axes: state.order, ranges: state.ranges});
  }

  function busy() {
    const focused = document.activeElement;
    return view.drag || (panel.node.contains(focused) && focused.matches("input, select"));
  }

  function update(data) {
    view.data = data;
    const names = [data.column, ...data.columns].map((column) => column.name);
    for (const name of [...state.ranges.keys()]) if (!names.includes(name)) state.ranges.delete(name);
    for (const column of [data.column, ...data.columns]) {
      const range = wanted.has(column.name) && rangeOf(column, wanted.get(column.name));
      if (range) state.ranges.set(column.name, range);
      wanted.delete(column.name);
    }
    if (state.order?.length && !state.order.some((name) => names.includes(name))) state.order = null;
    for (const {column: {name}} of data.weights) {
      if (known.has(name)) continue;
      known.add(name);
      const fits = state.order ? state.order.includes(name) : known.size - state.hidden.size <= MOST_AXES;
      if (!fits) state.hidden.add(name);
    }
    view.axes = axesOf(data, state);
    select();
    made.redraw();
    panel.fill(data, view.axes);
  }

  return {node: made.node, busy, update, redraw: made.redraw,
    close() { cancelAnimationFrame(view.frame); made.close(); }};
}

// The axes over two canvases: all lines in grey below, those in all ranges in colour above.
function drawAll(box, width, {view, state, open, changed}) {
  const {data, axes} = view;
  if (axes.length < 2) {
    view.paint = null;
    box.append(el("p", {class: "plot-note"}, "No parameter is shown. Choose some below."));
    return;
  }
  const full = width >= axes.length * NARROWEST ? width : axes.length * ROOMY;
  const gap = (full - 2 * SIDE) / (axes.length - 1);
  const x = (index) => SIDE + index * gap;
  const y = (place) => TOP + 6 + (1 - place) * (HEIGHT - TOP - BOTTOM - 12);
  const inside = el("div", {class: "wide-plot"});
  inside.style.setProperty("width", full + "px");
  const under = canvas(full, HEIGHT), over = canvas(full, HEIGHT);
  const front = svg("svg", {
    class: "surface", width: full, height: HEIGHT, tabindex: 0, role: "application",
    "aria-label": `Parallel coordinates of ${axes.length} axes. Arrow keys go along the jobs from the best, `
      + "Enter opens one. Ranges can be typed below."});
  const bright = svg("polyline", {class: "bright", visibility: "hidden"}), brushes = svg("g", {});
  front.append(bright, ...axes.map((one, index) => drawAxis(one, x(index), y, gap, full)), brushes);
  inside.append(under.node, over.node, front);
  box.append(el("div", {class: "scroll"}, inside));
  view.dimmed = false;
  view.tables = axes.map(({column, axis}) => heights(data, column, axis, y));
  view.paint = () => {
    drawBrushes(brushes, axes, state, x, y);
    drawLines(view, {under: under.pen, over: over.pen, x, width: full, height: HEIGHT,
      brushed: state.ranges.size > 0});
  };
  view.paint();
  const line = (at) => axes.map((_, index) => [x(index), view.tables[index][at]])
    .filter((place) => !Number.isNaN(place[1]));
  const onAxis = (px) => axes.some((_, index) => Math.abs(x(index) - px) < GRAB);
  const hide = pointing(front, inside, {
    near: (px, py) => (view.drag || onAxis(px) ? -1 : nearest(view, x, gap, px, py)),
    place(at, pointer) {
      const all = line(at);
      return pointer || all[Math.floor(all.length / 2)];
    },
    name: (at) => data.ids[at],
    tell: (at) => jobTip(data, at, []),
    open: (at) => open(data.ids[at]),
    order: () => view.selected.slice(0, 500),
    lit(at) {
      bright.setAttribute("visibility", at < 0 ? "hidden" : "visible");
      if (at >= 0) bright.setAttribute("points", line(at).map((place) => place.join(",")).join(" "));
    },
  });
  brushing(front, {axes, state, y, gap, view, hide, changed});
}

// Where a name stands that has its middle at x, or as near to it as the drawing has room.
function within(name, x, full) {
  const half = widthOf(name) / 2;
  if (x - half < 0) return {x: 0, "text-anchor": "start"};
  return x + half > full ? {x: full, "text-anchor": "end"} : {x, "text-anchor": "middle"};
}

function drawAxis({column, axis}, x, y, gap, full) {
  const most = Math.floor((gap - 16) / 7);
  const ticks = axis.ticks(axis.kind === "category" ? 16 : 6).map((tick) =>
    svg("text", {class: "tick halo", x: x - 6, y: y(axis.at(tick)) + 4, "text-anchor": "end"},
      cut(text(tick), Math.min(most, 14))));
  // Those at the ends have less room beside them.
  const room = x - gap / 2 < 0 || x + gap / 2 > full ? SIDE + gap / 2 : gap;
  const name = cut(column.name, Math.max(10, Math.floor((room - 16) / 7)));
  return svg("g", {class: "axis upright", "data-axis": column.name},
    svg("line", {x1: x, x2: x, y1: y(1), y2: y(0)}),
    ...ticks,
    svg("text", {class: "title", ...within(name, x, full), y: 16}, name, svg("title", {}, column.name)),
    axis.log ? svg("text", {class: "tick", x, y: 31, "text-anchor": "middle"}, "log") : null,
    svg("rect", {class: "grab", x: x - GRAB, y: y(1) - 6, width: 2 * GRAB, height: y(0) - y(1) + 12}),
    svg("rect", {class: "grab-name", x: x - gap / 2 + 4, y: 0, width: gap - 8, height: TOP - 8}));
}
