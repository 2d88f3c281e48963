// Curves of one metric: a line for each job or attempt, along steps or time, on a canvas.

import {button, el} from "../common.js";
import {svg} from "../svg.js";
import {numberAxis} from "./axis.js";
import {colourOf, css, isDark, shadeAt, shades} from "./colours.js";
import {outline, paintCurves} from "./curvepaint.js";
import {describe, tableOf, tell, WORDS} from "./curvewords.js";
import {below, beside, canvas, legend, roomFor} from "./drawing.js";
import {plot} from "./plot.js";
import {pointing} from "./pointing.js";
import {
  acrossOf, FEW_CURVES, goodness, nearestPath, nearestReport, nextReport, pathOf, roomy, seriesOf,
  smoothed, spacing, upOf, windowOf,
} from "./series.js";
import {timed} from "./timed.js";
import {zooming} from "./zoom.js";

const REACH = 24;  // pixels from which a curve is near
const STRIDE = 2 ** 24;  // a mark is the place of its curve times this, and the place of its report
const TWICE = 250;  // milliseconds within which a second click makes a double one
const MANY = 60;  // curves that are drawn as thin as can be
const SKETCHED = 40_000;  // reports of all curves that a sketch has
const MOST_FAINT = 20;  // curves behind which what was not smoothed is drawn

/** The colour of each curve ({last}), and what tells what it means: few have colours of their own, of many it
 * is that of the last value, from the worse to the better. {of(place): css, scale}, where `scale` is null or
 * has the ends of the colours. */
export function colouring(curves, less) {
  const dark = isDark(), scale = goodness(curves.map(({last}) => last), less);
  if (curves.length <= FEW_CURVES || !scale) {
    return {of: (at) => colourOf(at, dark), scale: null};
  }
  const all = shades(dark).map((parts) => css(parts)), none = dark ? "#6d7686" : "#868e9c";
  const of = (at) => {
    const good = scale.of(curves[at].last);
    return Number.isNaN(good) ? none : all[shadeAt(good)];
  };
  return {of, scale: {...scale, dark}};
}

/** The curves in their card (plot.js): {node, bar, update(view), light(key), say, name, redraw, close}.
 * `open(curve)` follows a click; `zoomed(range or null)` takes a range that somebody chose, {from, to, low,
 * high} with NaN for an end that is not chosen; `lit(key or null)` is told which curve is pointed at.
 * A view is {metric, less, x, smooth, logX, logY, zoom, scale, sketch, curves}: `smooth` 0 to below 1;
 * `scale` is that of `colouring`; a `sketch` has only some of many reports, as each step of a drag is to be
 * painted at once; of `curves` those with `hidden` are not drawn, and each has `key`, `label`, `colour`,
 * `rank` (a number; the greater, the further above), `facts()` ([name, value], …) and what /web/curves tells
 * of one. */
export function curvesPlot({title, tall, small, open, zoomed, lit}) {
  const state = {view: null, lines: [], box: null, lit: null, opening: 0, front: null};
  const made = plot({title, name: "curves", tools: [],
    draw: (box, width) => build(box, width),
    rows: () => tableOf(state.view)});
  const reset = button("Reset zoom", () => zoomed(null), "quiet");
  reset.hidden = true;
  made.node.firstChild.insertBefore(reset, made.node.firstChild.lastChild);

  function build(box, width) {
    state.front = null;
    if (!state.view || !state.lines.length) return;
    const size = {width, height: tall};
    const back = el("div", {class: "curves-back"}), {node, pen} = canvas(width, tall);
    const front = svg("svg", {...size, class: "surface curves-surface", tabindex: 0, role: "application",
      "aria-label": describe(state.view)});
    const halo = svg("path", {class: "curve-halo"}), bright = svg("path", {class: "curve-lit"});
    const ring = svg("circle", {class: "ring", r: 5, visibility: "hidden"});
    front.append(halo, bright, ring);
    box.append(back, node, front);
    Object.assign(state, {box, size, back, pen, front, halo, bright, ring});
    state.hide = pointing(front, box, marks());
    state.zooming = zooming(front, {area: () => state.drawn.area, zoom: take, reset: leave,
      hide: () => state.hide()});
    front.addEventListener("dblclick", () => clearTimeout(state.opening));
    front.addEventListener("keydown", magnify);
    paint();
  }

  // ---- what is drawn

  function paint() {
    const {view, lines, size, back, pen} = state;
    const drawn = state.drawn = layout(view, lines, size, small);
    const {area, x, y} = drawn, toY = (value) => area.top + (1 - y.at(value)) * area.height;
    const toX = (value) => area.left + x.at(value) * area.width;
    Object.assign(drawn, {toX, toY});
    back.replaceChildren(svg("svg", {...size, "aria-hidden": "true"},
      below(x, {...area, title: small ? "" : WORDS[view.x], scaleNote: x.log ? " (log scale)" : ""}),
      beside(y, {...area, title: y.log ? "log scale" : ""})));
    const windows = lines.map(({raw}) => windowOf(raw, x.low, x.high));
    const shown = windows.reduce((sum, [first, end]) => sum + end - first, 0);
    const every = view.sketch ? Math.ceil(shown / SKETCHED) || 1 : 1;
    const path = (at, ys) => pathOf({xs: lines[at].raw.xs, ys}, windows[at], toX, toY, every);
    drawn.paths = lines.map(({ys}, at) => path(at, ys));
    // The best are drawn last, above the others.
    drawn.order = lines.map((_, at) => at).sort((a, b) => lines[a].curve.rank - lines[b].curve.rank || b - a);
    const many = lines.length > FEW_CURVES;
    const alpha = many ? Math.max(0.35, Math.min(0.9, 6 / Math.sqrt(lines.length))) : 1;
    // Browsers paint lines of one pixel of the screen ten times as fast as wider ones.
    const thick = lines.length > MANY ? 1 / pen.getTransform().a : many ? 1.4 : 1.8;
    const faint = view.smooth && lines.length <= MOST_FAINT
      ? drawn.order.map((at) => ({path: path(at, lines[at].raw.ys), colour: lines[at].curve.colour,
        width: 1, alpha: 0.28})) : [];
    pen.clearRect(0, 0, size.width, size.height);
    paintCurves(pen, area, [...faint, ...drawn.order.map((at) => ({path: drawn.paths[at], alpha,
      colour: lines[at].curve.colour, width: thick, head: lines[at].curve.running}))]);
    reset.hidden = !view.zoom;
    shine();
    state.hide.again();
  }

  const atKey = (key) => state.lines.findIndex(({curve}) => curve.key === key);

  // The curve that is pointed at, here or elsewhere, above all others.
  function shine() {
    const {lines, drawn, halo, bright} = state, at = state.lit === null ? -1 : atKey(state.lit);
    const d = at < 0 ? "" : outline(drawn.paths[at]);
    halo.setAttribute("d", d);
    bright.setAttribute("d", d);
    if (at >= 0) bright.setAttribute("stroke", lines[at].curve.colour);
  }

  function update(view) {
    const before = state.lines.length, keys = state.lines.map(({curve}) => curve.key).join();
    state.view = view;
    state.lines = view.curves.filter((curve) => !curve.hidden).map((curve) => lineOf(curve, view));
    made.node.classList.toggle("nothing", !state.lines.length);
    if (state.lines.map(({curve}) => curve.key).join() !== keys && state.front) state.hide();
    if (state.lit !== null && atKey(state.lit) < 0) state.lit = null;
    footer(view);
    const tabular = made.node.classList.contains("tabular");
    if (!state.front || !state.front.isConnected || tabular || !before || !state.lines.length) made.redraw();
    else if (!state.zooming.busy()) {
      state.front.setAttribute("aria-label", describe(view));
      paint();
    }
  }

  // What the colours mean, where no list beside the plot does.
  const foot = el("div", {class: "curves-foot"});
  made.node.append(foot);
  function footer({metric, less, scale, curves}) {
    if (scale) foot.replaceChildren(legend({name: "Last " + metric, less, ...scale}, scale.dark));
    else if (curves.length < 2) foot.replaceChildren();
    else {
      foot.replaceChildren(el("div", {class: "legend"}, ...curves.filter((curve) => !curve.hidden)
        .map((curve) => el("span", {}, swatch(curve.colour), curve.label))));
    }
  }

  // ---- what somebody does

  const part = (mark) => [Math.floor(mark / STRIDE), mark % STRIDE];
  const own = (mark) => state.lines[part(mark)[0]];
  const whole = (at, report) => at * STRIDE + report;

  function marks() {
    const place = (mark) => {
      const {toX, toY, area} = state.drawn, [, report] = part(mark), {raw, ys} = own(mark);
      const within = (value, low, size) => Math.max(low, Math.min(low + size, value));
      const at = Math.min(report, ys.length - 1), y = toY(ys[at]);
      return [within(toX(raw.xs[at]), area.left, area.width),
        within(Number.isNaN(y) ? area.top + area.height : y, area.top, area.height)];
    };
    return {
      ring: state.ring, place,
      near(px, py) {
        const {drawn: {area, x, paths, order}} = state;
        if (state.zooming.busy()) return -1;
        const at = order[nearestPath(order.map((one) => paths[one]), px, py, REACH)];
        if (at === undefined) return -1;
        return whole(at, nearestReport(state.lines[at].raw, x.back((px - area.left) / area.width)));
      },
      // A curve that the server has thinned out anew has other reports.
      tell: (mark) => tell(state.view, own(mark), Math.min(part(mark)[1], own(mark).ys.length - 1)),
      open(mark) {
        // While there is a range a second click leads back from it.
        clearTimeout(state.opening);
        if (state.view.zoom) state.opening = setTimeout(() => open(own(mark).curve), TWICE);
        else open(own(mark).curve);
      },
      order(mark) {
        const {drawn: {x}, lines} = state;
        const at = mark < 0 ? x.high : own(mark).raw.xs[part(mark)[1]];
        const same = (one) => (mark >= 0 && one === part(mark)[0] ? mark
          : whole(one, nearestReport(lines[one].raw, at)));
        return state.drawn.order.slice().reverse().map(same).filter((one) => part(one)[1] >= 0);
      },
      along: (mark, by) => whole(part(mark)[0], nextReport(own(mark).raw, part(mark)[1], by)),
      lit(mark) {
        const key = mark < 0 ? null : own(mark).curve.key;
        if (key === state.lit) return;
        state.lit = key;
        shine();
        if (lit) lit(key);
      },
    };
  }

  function take({x, y}) {
    const {drawn, view} = state, old = view.zoom || {low: NaN, high: NaN, from: NaN, to: NaN};
    const across = x ? {from: drawn.x.back(x[0]), to: drawn.x.back(x[1])} : {from: old.from, to: old.to};
    const up = y ? {low: drawn.y.back(y[0]), high: drawn.y.back(y[1])} : {low: old.low, high: old.high};
    zoomed({...across, ...up});
  }

  function leave() {
    const there = Boolean(state.view.zoom);
    if (there) zoomed(null);
    return there;
  }

  function magnify(event) {
    const by = {"+": 0.25, "=": 0.25, "-": 1}[event.key];
    if (!by || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const lit = state.ring.getAttribute("visibility") === "visible";
    const {area} = state.drawn;
    const middle = lit ? (state.ring.getAttribute("cx") - area.left) / area.width : 0.5;
    const from = Math.max(0, Math.min(1 - 2 * by, middle - by));
    if (by < 1) return take({x: [from, from + 2 * by], y: null});
    if (!state.view.zoom) return;
    const all = acrossOf(state.lines.map(({raw}) => raw), state.view.logX);
    const full = state.drawn.x.at(all[0]) >= -0.5 && state.drawn.x.at(all[1]) <= 1.5;
    if (full) leave();
    else take({x: [-0.5, 1.5], y: null});
  }

  return {
    node: made.node, bar: made.bar, say: made.say, name: made.name, redraw: made.redraw, update,
    light(key) {
      state.lit = key;
      if (state.front && state.front.isConnected) shine();
    },
    close() { clearTimeout(state.opening); made.close(); },
  };
}

/** A square of a colour. */
export function swatch(colour) {
  const made = el("i", {class: "swatch"});
  made.style.setProperty("background", colour);
  return made;
}

// A curve as it is drawn: `raw` its reports along x, `ys` their values as they are shown. What is worked out
// is kept with the curve, for when only something else changes.
function lineOf(curve, {x, smooth}) {
  const kept = KEPT.get(curve.value) || {};
  if (kept.x !== x) Object.assign(kept, {x, raw: seriesOf(curve, x), smooth: null});
  if (kept.smooth !== smooth) {
    kept.smooth = smooth;
    kept.ys = smooth ? smoothed(kept.raw, smooth, spacing(kept.raw, curve.n)) : kept.raw.ys;
  }
  KEPT.set(curve.value, kept);
  return {curve, raw: kept.raw, ys: kept.ys};
}

const KEPT = new WeakMap();

// The axes of a view and the area that they leave.
function layout(view, lines, {width, height}, small) {
  const log = view.logY;
  const zoom = view.zoom || {from: NaN, to: NaN, low: NaN, high: NaN};
  const raws = lines.map(({raw}) => raw), shown = lines.map(({raw, ys}) => ({xs: raw.xs, ys}));
  const [first, last] = acrossOf(raws, view.logX) || [view.logX ? 1 : 0, 1];
  const or = (chosen, other) => (Number.isFinite(chosen) ? chosen : other);
  let [from, to] = [or(zoom.from, first), or(zoom.to, last)];
  const logX = view.logX && from > 0;
  const up = roomy(upOf(shown, from, to, log) || (log ? [1, 10] : [0, 1]), log);
  const low = or(zoom.low, up[0]), high = or(zoom.high, up[1]);
  if (from === to) [from, to] = [from - 0.5, to + 0.5].map((end) => (logX ? Math.max(end, from / 2) : end));
  const y = numberAxis(low, high, log && low > 0);
  const plain = numberAxis(from, to, logX);
  const x = view.x === "step" ? plain : timed(plain, view.x);
  const top = y.log ? 24 : 10, bottom = small ? 24 : 46, left = roomFor(y, height);
  return {x, y, area: {left, top, width: width - left - 14, height: height - top - bottom}};
}
