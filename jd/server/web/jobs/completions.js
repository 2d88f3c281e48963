// The chart "Completions": how many attempts ended, over time. "Other" are attempts that were given back or
// lost, which count as no failure.

import {ask, el} from "../common.js";
import {keeping} from "../charts/controls.js";
import {pointing, tipLines} from "../charts/pointing.js";
import {compact, number} from "../format.js";
import {axisX, axisY, scale, svg, ticks} from "../svg.js";

const CLOCK = {hour: "2-digit", minute: "2-digit"}, DAY = {day: "numeric", month: "short"};
// What the buttons choose between: `label` is the format of times, `every` so many bars have one.
const UNITS = {
  minute: {text: "60 min", label: CLOCK, every: 15},
  hour: {text: "48 h", label: CLOCK, every: 12},
  day: {text: "30 d", label: DAY, every: 7},
};
const KINDS = ["done", "failed", "other"];
const HEIGHT = 112, LEFT = 36, RIGHT = 14, BASE = HEIGHT - 22, TOP = 6;
const KEPT = "completions";

/** A card with the chart: {node, refresh(), close()}. */
export function completions() {
  let unit = kept() || "hour", host = "", data = null, loading = 0;
  const plot = el("div", {class: "plot"}), said = el("p", {class: "legend grow"});
  const hosts = el("select", {"aria-label": "Host", hidden: true,
    onchange: () => { host = hosts.value; load(); }});
  const choose = (name) => { unit = name; keep(name); load(); };
  const units = el("div", {class: "seg", role: "group", "aria-label": "Time"},
    ...Object.entries(UNITS).map(([name, {text}]) =>
      el("button", {type: "button", "data-unit": name, onclick: () => choose(name)}, text)));
  const rows = el("details", {class: "as-table"}, el("summary", {}, "Show as table"));
  rows.addEventListener("toggle", draw);
  const node = el("section", {class: "card", "aria-label": "Completions"},
    el("div", {class: "card-head"}, el("h2", {class: "grow"}, "Completions"), hosts, units),
    el("div", {class: "card-body"}, plot, el("div", {class: "chart-foot"}, said, rows)));
  const watch = new ResizeObserver(draw);
  watch.observe(plot);

  async function load() {
    const mine = (loading += 1);
    for (const one of units.children) one.setAttribute("aria-pressed", String(one.dataset.unit === unit));
    try {
      const found = await ask("completions?" + new URLSearchParams(host ? {unit, host} : {unit}));
      if (mine !== loading) return;
      data = found;
      fillHosts(found.hosts);
      draw();
    } catch (error) {
      if (mine === loading) said.textContent = error.message;
    }
  }

  function fillHosts(known) {
    const names = known.includes(host) || !host ? known : known.concat(host);
    hosts.hidden = names.length < 2;
    const same = names.every((name, at) => hosts.options[at + 1]?.value === name);
    if (same && hosts.options.length === names.length + 1) return;
    hosts.replaceChildren(el("option", {value: ""}, "All hosts"),
      ...names.map((name) => el("option", {value: name, selected: name === host}, name)));
  }

  function draw() {
    if (!data || !plot.clientWidth) return;
    said.replaceChildren(...legend(data));
    keeping(plot, () => drawing(data, plot));
    if (rows.open) {
      if (rows.children[1]) rows.children[1].remove();
      rows.append(asTable(data));
    }
  }

  load();
  return {node, refresh: load, close: () => watch.disconnect()};
}

function legend(data) {
  const sums = KINDS.map((kind) => [kind, data[kind].reduce((sum, n) => sum + n, 0)]);
  return sums.filter(([kind, sum]) => kind === "done" || sum).map(([kind, sum]) =>
    el("span", {title: kind === "other" ? "given back or lost" : false},
      el("i", {class: "swatch of-" + kind}), number(sum) + " " + kind));
}

const text = (data, at, format) =>
  new Intl.DateTimeFormat("en-GB", format).format(new Date((data.start + at * data.step) * 1000));

// Put the chart into `plot`.
function drawing(data, plot) {
  const width = plot.clientWidth - RIGHT, n = data.done.length, {label, every} = UNITS[data.unit];
  const totals = data.done.map((_, at) => KINDS.reduce((sum, kind) => sum + data[kind][at], 0));
  const most = Math.max(1, ...totals);
  const up = scale([0, most], [BASE, TOP]), along = scale([0, n], [LEFT, width]);
  const step = (width - LEFT) / n;
  const marked = (at) => (n - 1 - at) % every === 0 && along(at + 0.5) > LEFT + 16;
  const marks = totals.map((_, at) => at).filter(marked).map((at) => at + 0.5);
  const hover = svg("rect", {class: "hover", y: 0, height: BASE, width: step, visibility: "hidden"});
  const chart = svg("svg", {
    class: "chart", height: HEIGHT, viewBox: `0 0 ${width + RIGHT} ${HEIGHT}`, tabindex: 0,
    role: "application",
    "aria-label": `Attempts that ended, by ${data.unit}. Arrow keys go along the bars; a table is below.`},
  hover,
  axisY(up, LEFT, width - LEFT, ticks(0, most, 3).filter(Number.isInteger), compact),
  ...totals.map((_, at) => bar(data, at, along(at), step, up)),
  axisX(along, BASE, marks, (at) => text(data, at - 0.5, label)));
  plot.replaceChildren(chart);
  point(chart, plot, {data, totals, along, up, hover});
}

// One bar, its kinds above each other.
function bar(data, at, x, step, up) {
  const gap = step > 6 ? 2 : step > 3 ? 1 : 0;
  let base = 0;
  return svg("g", {}, ...KINDS.map((kind) => {
    const from = base;
    base += data[kind][at];
    if (!data[kind][at]) return null;
    return svg("rect", {class: "bar-" + kind, x: x + gap / 2, width: Math.max(1, step - gap),
      y: up(base), height: Math.max(1, up(from) - up(base)), rx: Math.min(1.5, step / 4)});
  }));
}

// Tell of the bar that is pointed at.
function point(chart, plot, {data, totals, along, up, hover}) {
  const {label} = UNITS[data.unit];
  const some = totals.map((_, at) => at).filter((at) => totals[at]);
  const day = (at) => (data.unit === "hour" ? text(data, at, DAY) + " " : "");
  pointing(chart, plot, {
    near: (x) => {
      const at = Math.floor(along.invert(x));
      return at >= 0 && at < totals.length ? at : -1;
    },
    place: (at) => [along(at + 0.5), up(totals[at])],
    name: (at) => data.start + at * data.step,
    tell: (at) => tipLines(day(at) + text(data, at, label),
      KINDS.filter((kind) => data[kind][at] || kind === "done")
        .map((kind) => [kind, number(data[kind][at])])),
    open: () => {},
    // The keys begin at the newest.
    order: () => some.slice(-1).concat(some.slice(0, -1)),
    lit: (at) => {
      if (at >= 0) hover.setAttribute("x", along(at));
      hover.setAttribute("visibility", at < 0 ? "hidden" : "visible");
    },
  });
}

function asTable(data) {
  const order = data.done.map((_, at) => at).reverse();
  const row = (at) => el("tr", {}, el("td", {}, text(data, at, {...DAY, ...CLOCK})),
    ...KINDS.map((kind) => el("td", {class: "num"}, number(data[kind][at]))));
  const heads = KINDS.map((kind) => el("th", {scope: "col", class: "num"}, kind));
  return el("div", {class: "scroll"}, el("table", {class: "data"},
    el("thead", {}, el("tr", {}, el("th", {scope: "col"}, "From"), ...heads)),
    el("tbody", {}, ...order.map(row))));
}

function kept() {
  try {
    const name = localStorage.getItem(KEPT);
    return UNITS[name] ? name : null;
  } catch (error) { return null; }
}

function keep(name) {
  try {
    localStorage.setItem(KEPT, name);
  } catch (error) { /* storage is forbidden: the choice holds until the page is left */ }
}
