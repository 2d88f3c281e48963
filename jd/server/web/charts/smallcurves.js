// Small plots of curves side by side, one for each metric, with a box to find one among many.

import {button, el} from "../common.js";
import {count, metric as figure} from "../format.js";
import {curvesPlot} from "./curves.js";
import {wantsLogUp} from "./series.js";

const FEW = 6;  // metrics that are shown before somebody asks for all
const SEARCH_FROM = 9;  // metrics from which there is a box to search them
const TALL = 168;  // pixels

/** {node, search, update(named, x), close()}: the plots and the box, which is hidden where there are few.
 * `named` is a Map of metrics to their curves, the best last: {key, label, colour, running, started, n, step,
 * time, value}. `open(metric, curve)` follows a click. */
export function smallCurves({open}) {
  const state = {named: new Map(), x: "step", zoom: null, all: false, wanted: ""};
  const plots = new Map();  // by metric
  const search = el("input", {type: "search", class: "small-curves-search", placeholder: "Find a metric",
    "aria-label": "Find a metric", hidden: true,
    oninput: () => { state.wanted = search.value.trim().toLowerCase(); draw(); }});
  const grid = el("div", {class: "small-curves"});
  const more = button("", () => { state.all = !state.all; draw(); }, "small quiet");
  const none = el("p", {class: "hint", hidden: true}, "No metric has such a name.");

  function draw() {
    const names = [...state.named.keys()];
    const found = names.filter((name) => name.toLowerCase().includes(state.wanted));
    const shown = state.all || state.wanted ? found : found.slice(0, FEW);
    search.hidden = names.length < SEARCH_FROM;
    none.hidden = found.length > 0 || !names.length;
    more.hidden = Boolean(state.wanted) || found.length <= FEW;
    more.textContent = state.all ? "Show fewer" : `Show all ${count(found.length, "metric")}`;
    for (const [name, plot] of plots) {
      if (shown.includes(name)) continue;
      plot.close();
      plots.delete(name);
    }
    for (const name of shown) drawOne(name);
    const wanted = shown.map((name) => plots.get(name).node);
    if (wanted.length !== grid.children.length || wanted.some((one, at) => grid.children[at] !== one)) {
      grid.replaceChildren(...wanted);
    }
  }

  function drawOne(name) {
    const curves = state.named.get(name).map((curve, rank) => ({...withEnds(curve), rank}));
    const plot = plotOf(name), [one] = curves, alone = curves.length === 1 && one.last !== null;
    plot.say(alone ? (one.running ? "now " : "last ") + figure(one.last) : "");
    plot.update({metric: name, less: true, x: state.x, smooth: 0, logX: false, logY: wantsLogUp(curves),
      zoom: state.zoom, scale: null, curves});
  }

  function plotOf(name) {
    if (!plots.has(name)) {
      plots.set(name, curvesPlot({title: name, tall: TALL, small: true,
        open: (curve) => open(name, curve),
        // The range along x is that of all of them.
        zoomed: (zoom) => {
          state.zoom = zoom && Number.isFinite(zoom.from) ? {...zoom, low: NaN, high: NaN} : null;
          draw();
        }}));
    }
    return plots.get(name);
  }

  return {
    node: el("div", {}, none, grid, more), search,
    update(named, x) {
      if (x !== state.x) state.zoom = null;
      Object.assign(state, {named, x});
      draw();
    },
    close() { for (const plot of plots.values()) plot.close(); },
  };
}

function withEnds(curve) {
  const there = curve.value.filter((value) => value !== null);
  const last = there.length ? there[there.length - 1] : null;
  return {...curve, last, min: there.length ? Math.min(...there) : null,
    max: there.length ? Math.max(...there) : null};
}
