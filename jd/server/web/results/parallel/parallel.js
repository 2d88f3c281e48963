// Parallel coordinates: a line for each job over an axis for each parameter, the metric last. Ranges
// brushed on the axes, or typed below them, leave the jobs that lie in all of them.

import {button, el} from "../../common.js";
import {axesPanel} from "./panel.js";
import {css, isDark, shadeAt, shades} from "../colours.js";
import {count, number} from "../../format.js";
import {axisOf, categoryAxis, condition, evenly, noise, repeats} from "../statistics.js";
import {canvas, cut, jobLink, jobRows, jobTip, plot, pointing, text} from "../plot.js";
import {svg} from "../../svg.js";

const HEIGHT = 340, TOP = 40, BOTTOM = 14, SIDE = 56, NARROWEST = 108, GRAB = 13;
const MOST_AXES = 12, MOST_LINES = 3000, DRAGGED_LINES = 400, MOST_DIM = 1000, SLICE = 300;

/** The plot. `state` = {order: names or null, hidden: Set of names, ranges: Map name → [low, high]} outlives it;
 * `open(job id)` and `list(filter text)` follow what is clicked. */
export function parallelPlot(state, {open, list}) {
  const view = {data: null, axes: [], selected: [], drag: false, frame: 0};
  const known = new Set();  // parameters that have been here before; more than fit begin as hidden
  const tally = el("span", {"aria-live": "polite"});
  const clear = button("Clear ranges", () => { state.ranges.clear(); changed(); }, "small");
  const jobs = button("Show these jobs", () => list(filterOf(view.axes, state.ranges)), "small");
  const status = el("div", {class: "plot-status"}, tally, jobs, clear);
  const made = plot({title: "All parameters", name: "parallel", tools: [],
    draw: (box, width) => drawAll(box, width, {view, state, open, changed}),
    rows() {
      const columns = view.axes.slice(0, -1).map(({column}) => column);
      return {heads: ["job", view.data.metric, ...columns.map((column) => column.name)],
        rows: jobRows(view.data, view.selected, columns), total: view.selected.length};
    }});
  const panel = axesPanel({state, changed: (shape) => changed(shape)});
  made.node.append(status, panel.node);

  function select() {
    const {data, axes} = view;
    const tests = axes.filter(({column}) => state.ranges.has(column.name)).map(({column, axis}) => {
      const [from, to] = places(axis, state.ranges.get(column.name));
      return column.values.map((value) => { const at = axis.at(value); return at >= from && at <= to; });
    });
    view.selected = data.byGoodness.filter((at) => tests.every((test) => test[at]));
    const all = count(data.ids.length, "job"), inside = view.selected.length, best = view.selected[0];
    tally.replaceChildren(state.ranges.size ? `${number(inside)} of ${all} lie in all ranges` : all);
    if (inside > MOST_LINES) tally.append(`, ${number(MOST_LINES)} lines drawn`);
    if (state.ranges.size && inside) tally.append(" · best ", jobLink(data.ids[best]), ": " + text(data.values[best]));
    if (state.hidden.size) tally.append(` · ${count(state.hidden.size, "parameter")} not shown`);
    clear.hidden = jobs.hidden = !state.ranges.size;
  }

  /** `shape`: axes came, went or moved, not only ranges. */
  function changed(shape) {
    if (shape) view.axes = axesOf(view.data, state);
    select();
    if (shape || made.node.classList.contains("tabular") || !view.paint) made.redraw(); else view.paint();
    panel.fill(view.data, view.axes);
  }

  return {node: made.node,
    busy: () => view.drag || (panel.node.contains(document.activeElement) && document.activeElement.matches("input, select")),
    update(data) {
      view.data = data;
      const names = [data.column, ...data.columns].map((column) => column.name);
      for (const name of [...state.ranges.keys()]) if (!names.includes(name)) state.ranges.delete(name);
      for (const {column} of data.weights) {
        if (known.has(column.name)) continue;
        known.add(column.name);
        if (known.size - state.hidden.size > MOST_AXES) state.hidden.add(column.name);
      }
      view.axes = axesOf(data, state);
      select();
      made.redraw();
      panel.fill(data, view.axes, true);
    },
    redraw: made.redraw,
    close() { cancelAnimationFrame(view.frame); made.close(); }};
}

// The axes over two canvases: all lines in grey below, those in all ranges in colour above.
function drawAll(box, width, {view, state, open, changed}) {
  const {data, axes} = view;
  if (axes.length < 2) { view.paint = null; box.append(el("p", {class: "plot-note"}, "No parameter is shown. Choose some below.")); return; }
  const full = Math.max(width, axes.length * NARROWEST);
  const gap = (full - 2 * SIDE) / (axes.length - 1);
  const x = (index) => SIDE + index * gap, y = (place) => TOP + 6 + (1 - place) * (HEIGHT - TOP - BOTTOM - 12);
  const inside = el("div", {class: "wide-plot"});
  inside.style.setProperty("width", full + "px");
  const under = canvas(full, HEIGHT), over = canvas(full, HEIGHT);
  const front = svg("svg", {class: "surface", width: full, height: HEIGHT, tabindex: 0, role: "application",
    "aria-label": `Parallel coordinates of ${axes.length} axes. Arrow keys go along the jobs from the best, Enter opens one. Ranges can be typed below.`});
  const bright = svg("polyline", {class: "bright", visibility: "hidden"}), brushes = svg("g", {});
  front.append(bright, ...axes.map((one, index) => drawAxis(one, x(index), y, gap)), brushes);
  inside.append(under.node, over.node, front);
  box.append(el("div", {class: "scroll"}, inside));
  view.dimmed = false;
  view.tables = axes.map(({column, axis}) => heights(data, column, axis, y));
  const line = (at) => axes.map((one, index) => [x(index), view.tables[index][at]]).filter((place) => !Number.isNaN(place[1]));
  view.paint = () => {
    drawBrushes(brushes, axes, state, x, y);
    drawLines(view, {under: under.pen, over: over.pen, x, full, brushed: state.ranges.size > 0});
  };
  view.paint();
  const hide = pointing(front, inside, {
    near: (px, py) => (view.drag || axes.some((one, index) => Math.abs(x(index) - px) < GRAB) ? -1 : nearest(view, x, gap, px, py)),
    place: (at, pointer) => { const places = line(at); return pointer || places[Math.floor(places.length / 2)]; },
    tell: (at) => jobTip(data, at, []), open: (at) => open(data.ids[at]), order: () => view.selected.slice(0, 500),
    lit: (at) => {
      bright.setAttribute("visibility", at < 0 ? "hidden" : "visible");
      if (at >= 0) bright.setAttribute("points", line(at).map((place) => place.join(",")).join(" "));
    }});
  brushing(front, {axes, state, x, y, gap, view, hide, changed});
}

/** The axes in their order, the metric as the last: {column, axis}. */
function axesOf(data, state) {
  const names = data.weights.map((weight) => weight.column.name);
  const order = (state.order || []).filter((name) => names.includes(name));
  const columns = [...order, ...names.filter((name) => !order.includes(name))].filter((name) => !state.hidden.has(name))
    .map((name) => data.columns.find((column) => column.name === name));
  return [...columns, data.column].map((column) => ({column, axis: column === data.column ? axisOf(column, data.log)
    : column.kind === "category" ? categoryAxis(column.distinct.slice().reverse())  // the first at the top
      : repeats(column) ? categoryAxis(column.distinct) : axisOf(column)}));
}

// Where each job meets an axis. On an axis of slots jobs spread within theirs, so that one sees how many there are.
function heights(data, column, axis, y) {
  const spread = axis.kind === "category" && column.values.length >= 4 * axis.distinct.length ? 0.28 / axis.distinct.length : 0;
  return Float32Array.from(column.values, (value, at) => y(axis.at(value) + spread * noise(data.ids[at])));
}

/** Where a range begins and ends on its axis, 0..1, the slots of texts in full. */
function places(axis, [low, high]) {
  const half = axis.kind === "category" ? 0.5 / axis.distinct.length : 1e-9;
  const ends = [axis.at(low), axis.at(high)].map((place, end) => (Number.isNaN(place) ? end : place));
  return [Math.min(...ends) - half, Math.max(...ends) + half];
}

/** The ranges as a text of the filter language. */
function filterOf(axes, ranges) {
  return axes.filter(({column}) => ranges.has(column.name)).flatMap(({column, axis}) => {
    const [low, high] = ranges.get(column.name), name = column.filterName;
    if (axis.kind === "number") return [condition(name, ">=", low), condition(name, "<=", high)];
    const [from, to] = places(axis, [low, high]);
    return [name + "=" + column.distinct.filter((value) => axis.at(value) >= from && axis.at(value) <= to)
      .map((value) => condition("", "", value)).join(",")];
  }).join(" ");
}

function drawAxis({column, axis}, x, y, gap) {
  const ticks = axis.ticks(axis.kind === "category" ? 16 : 6), most = Math.floor((gap - 16) / 7);
  return svg("g", {class: "axis upright", "data-axis": column.name},
    svg("line", {x1: x, x2: x, y1: y(1), y2: y(0)}),
    ...ticks.map((tick) => svg("text", {class: "tick halo", x: x - 6, y: y(axis.at(tick)) + 4, "text-anchor": "end"}, cut(text(tick), Math.min(most, 14)))),
    svg("text", {class: "title", x, y: 16, "text-anchor": "middle"}, cut(column.name, Math.max(10, most)), svg("title", {}, column.name)),
    axis.log ? svg("text", {class: "tick", x, y: 31, "text-anchor": "middle"}, "log") : null,
    svg("rect", {class: "grab", x: x - GRAB, y: y(1) - 6, width: 2 * GRAB, height: y(0) - y(1) + 12}),
    svg("rect", {class: "grab-name", x: x - gap / 2 + 4, y: 0, width: gap - 8, height: TOP - 8}));
}

function drawBrushes(group, axes, {ranges}, x, y) {
  group.replaceChildren(...axes.flatMap(({column, axis}, index) => {
    if (!ranges.has(column.name)) return [];
    const [from, to] = places(axis, ranges.get(column.name)).map((place) => Math.max(-0.01, Math.min(1.01, place)));
    return [svg("rect", {class: "brush", x: x(index) - 7, y: y(to), width: 14, height: Math.max(3, y(from) - y(to)), rx: 3})];
  }));
}

// Lines are drawn in slices, the worst first, so that the page answers meanwhile and the best lie on top.
function drawLines(view, {under, over, x, full, brushed}) {
  const {data, tables, selected} = view, colours = shades(isDark());
  const path = (pen, at) => {
    let on = false;
    tables.forEach((table, index) => {
      if (Number.isNaN(table[at])) { on = false; return; }
      if (on) pen.lineTo(x(index), table[at]); else pen.moveTo(x(index), table[at]);
      on = true;
    });
  };
  over.clearRect(0, 0, full, HEIGHT);
  under.canvas.classList.toggle("gone", !brushed);
  if (brushed && !view.dimmed) {
    view.dimmed = true;
    under.strokeStyle = isDark() ? "rgb(255 255 255 / 7%)" : "rgb(0 0 0 / 6%)";
    for (const at of evenly(data.byGoodness, MOST_DIM)) {
      under.beginPath();
      path(under, at);
      under.stroke();
    }
  }
  const lines = evenly(selected, view.drag ? DRAGGED_LINES : MOST_LINES).slice().reverse();
  over.globalAlpha = Math.max(0.08, Math.min(0.9, 9 / Math.sqrt(lines.length)));
  over.lineWidth = lines.length < 100 ? 1.6 : 1.1;
  let from = 0;
  cancelAnimationFrame(view.frame);
  const slice = () => {
    for (const at of lines.slice(from, from + SLICE)) {
      over.strokeStyle = css(colours[shadeAt(data.goodness[at])]);
      over.beginPath();
      path(over, at);
      over.stroke();
    }
    from += SLICE;
    if (from < lines.length) view.frame = requestAnimationFrame(slice);
  };
  slice();
}

// The job whose line passes nearest below or above a point, within 8 pixels.
function nearest({tables, selected}, x, gap, px, py) {
  const index = Math.floor((px - SIDE) / gap);
  if (index < 0 || index >= tables.length - 1) return -1;
  const share = (px - x(index)) / gap, one = tables[index], next = tables[index + 1];
  let best = -1, least = 8;
  for (const at of selected) {
    const far = Math.abs(one[at] + (next[at] - one[at]) * share - py);
    if (far < least) { least = far; best = at; }
  }
  return best;
}

// Drag along an axis for a range, click on it to end one; drag its name sideways to move it.
function brushing(front, {axes, state, x, y, gap, view, hide, changed}) {
  const place = (event) => 1 - (event.clientY - front.getBoundingClientRect().top - y(1)) / (y(0) - y(1));
  front.addEventListener("pointerdown", (event) => {
    const group = event.target.closest("[data-axis]");
    if (!group || event.button) return;
    const name = group.dataset.axis, one = axes.find(({column}) => column.name === name);
    const moving = event.target.classList.contains("grab-name");
    const from = place(event), startX = event.clientX;
    let moved = false, frame = 0;
    view.drag = true;
    hide();
    front.setPointerCapture(event.pointerId);
    const move = (next) => {
      if (moving) { group.setAttribute("transform", `translate(${next.clientX - startX} 0)`); moved = true; return; }
      const to = place(next);
      if (!moved && Math.abs(to - from) * (y(0) - y(1)) < 4) return;
      moved = true;
      const ends = [Math.min(from, to), Math.max(from, to)].map((at) => one.axis.back(Math.max(0, Math.min(1, at))));
      state.ranges.set(name, ends.map((end) => (typeof end === "number" ? Number(end.toPrecision(4)) : end)));
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => changed());
    };
    const end = (next) => {
      front.removeEventListener("pointermove", move);
      for (const kind of ["pointerup", "pointercancel"]) front.removeEventListener(kind, end);
      view.drag = false;
      cancelAnimationFrame(frame);
      if (!moving && moved) changed();
      if (!moving && !moved) { if (state.ranges.delete(name)) changed(); return; }
      if (moving) reorder(name, Math.round((next.clientX - startX) / gap));
    };
    front.addEventListener("pointermove", move);
    for (const kind of ["pointerup", "pointercancel"]) front.addEventListener(kind, end);
  });
  function reorder(name, by) {
    const names = axes.slice(0, -1).map(({column}) => column.name), at = names.indexOf(name);
    if (at >= 0 && by) {
      names.splice(at, 1);
      names.splice(Math.max(0, Math.min(names.length, at + by)), 0, name);
      state.order = names;
    }
    changed(true);
  }
}
