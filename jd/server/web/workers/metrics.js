// A worker's system metrics over time: a small plot for each, and the numbers behind them.

import {el} from "../common.js";
import {pointing, tipLines} from "../charts/pointing.js";
import {metric as shown, moment} from "../format.js";
import {scale, svg} from "../svg.js";

// What is known of a metric: its name for people, its unit, the least that the axis spans.
const KNOWN = {
  cpu_util: {name: "CPU", unit: "%", span: [0, 100]},
  ram_util: {name: "Memory", unit: "%", span: [0, 100]},
  load_per_cpu: {name: "Load per CPU", unit: "", span: [0, 1]},
  disk_io_util: {name: "Disk", unit: "%", span: [0, 100]},
  gpu_util: {name: "GPU", unit: "%", span: [0, 100]},
  gpu_memory_util: {name: "GPU memory", unit: "%", span: [0, 100]},
  ram_available: {name: "Memory available", unit: "GiB", span: [0, 0]},
};
// Numbers of the machine that are told in words.
const FACTS = {cpu_cores: "cores", cpu_threads: "threads", cpu_freq_mhz: "MHz", ram_total: "GiB memory",
  gpu_count: "GPUs", gpu_memory_total: "GiB GPU memory", load_1min: "load (1 min)"};
const WIDE = 240, HIGH = 56, TOP = 6, BASE = HIGH + TOP;
const GAP = 200;  // seconds: the samples come once a minute, idle workers' every three

/** Elements that show `series` ({t: [...], name: [...]}) and the `latest` values. */
export function metricPlots(series, latest) {
  const times = series.t || [], names = namesIn(series);
  const facts = Object.entries(FACTS).filter(([name]) => latest[name] != null)
    .map(([name, text]) => `${shown(latest[name])} ${text}`);
  if (latest.gpus) facts.push(`GPU ${latest.gpus}`);
  const made = [facts.length ? el("p", {class: "hint"}, facts.join(" · ")) : null];
  if (times.length < 2 || !names.length) {
    const any = names.length || Object.keys(latest).length;
    const why = any ? "Too few samples for a plot yet." : "This worker has sent none.";
    return [...made, el("p", {class: "hint"}, why)];
  }
  const plots = names.filter((name) => KNOWN[name])
    .map((name) => plot(name, times, series[name], latest.ram_total));
  return [...made, el("div", {class: "sparks"}, ...plots), table(names, times, series)];
}

// The metrics that have values, those known above first.
function namesIn(series) {
  const order = Object.keys(KNOWN);
  const rank = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  return Object.keys(series)
    .filter((name) => name !== "t" && series[name].some((value) => value != null))
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

const label = (name) => (KNOWN[name] ? KNOWN[name].name : name);
const unitOf = (name) => (KNOWN[name] ? KNOWN[name].unit : "");
const rounded = (name, value) => shown(value != null && unitOf(name) ? Math.round(value * 10) / 10 : value);
const withUnit = (name, value) =>
  rounded(name, value) + (unitOf(name) && value != null ? " " + unitOf(name) : "");

// The next number above that is easy to read.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 1.5, 2, 3, 4, 5, 6, 8].find((times) => times * power >= value) || 10;
  return Number((factor * power).toPrecision(6));
}

function plot(name, times, values, total) {
  const there = values.filter((value) => value != null);
  const [low, high] = KNOWN[name].span, most = Math.max(...there), last = there[there.length - 1];
  const whole = name === "ram_available" && total >= most;
  const top = whole ? total : most <= high ? high : roundUp(most);
  const x = scale([times[0], times[times.length - 1]], [0, WIDE]), y = scale([low, top], [BASE, TOP]);
  const mark = svg("circle", {class: "spark-mark", r: 3, visibility: "hidden"});
  const range = `from ${rounded(name, Math.min(...there))} to ${withUnit(name, most)}`;
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDE} ${BASE + 1}`, class: "chart spark", preserveAspectRatio: "none",
    role: "application", tabindex: 0,
    "aria-label": `${label(name)}: now ${withUnit(name, last)}, ${range}. Arrow keys go along it.`},
  svg("line", {class: "spark-axis", x1: 0, x2: WIDE, y1: BASE, y2: BASE}),
  ...paths(times, values, x, y), mark);
  const host = el("div", {class: "plot"}, drawing,
    el("span", {class: "spark-max", "aria-hidden": "true"}, shown(top)),
    el("span", {class: "spark-min", "aria-hidden": "true"}, shown(low)));
  const tell = (at) => tipLines(withUnit(name, values[at]), [["at", moment(times[at])]]);
  point(host, drawing, {times, values, x, y, mark, tell});
  const ends = [times[0], times[times.length - 1]].map((t) => el("span", {}, moment(t)));
  return el("figure", {class: "spark-box"},
    el("figcaption", {}, el("span", {}, label(name)), el("strong", {}, withUnit(name, last))),
    host, el("div", {class: "spark-ends", "aria-hidden": "true"}, ...ends));
}

// The areas below the line, and the line.
function paths(times, values, x, y) {
  const runs = split(times, values);
  const line = (run) => run.map(([t, v], at) =>
    (at ? "L" : "M") + x(t).toFixed(1) + " " + y(v).toFixed(1)).join("");
  const down = ([t]) => `L${x(t).toFixed(1)} ${BASE}`;
  return [
    ...runs.map((run) =>
      svg("path", {class: "spark-area", d: line(run) + down(run[run.length - 1]) + down(run[0]) + "Z"})),
    ...runs.map((run) => svg("path", {class: "spark-line", d: line(run)}))];
}

// Runs of samples without a pause between them, as [time, value]; the line breaks where nothing was heard.
function split(times, values) {
  const runs = [];
  let before = null;
  times.forEach((t, at) => {
    if (values[at] == null) {
      before = null;
      return;
    }
    if (before === null || t - before > GAP) runs.push([]);
    runs[runs.length - 1].push([t, values[at]]);
    before = t;
  });
  return runs;
}

function point(host, drawing, {times, values, x, y, mark, tell}) {
  const known = times.map((_, at) => at).filter((at) => values[at] != null);
  // The drawing is as wide as there is room; its own units are not pixels.
  const wide = () => drawing.clientWidth / WIDE, high = () => drawing.clientHeight / (BASE + 1);
  pointing(drawing, host, {
    near: (px) => {
      const far = (at) => Math.abs(times[at] - x.invert(px / wide()));
      return known.reduce((best, at) => (far(at) < far(best) ? at : best));
    },
    place: (at) => [x(times[at]) * wide(), y(values[at]) * high()],
    name: (at) => times[at],
    tell,
    open: () => {},
    // The keys begin at the newest.
    order: () => known.slice(-1).concat(known.slice(0, -1)),
    lit: (at) => {
      mark.setAttribute("visibility", at < 0 ? "hidden" : "visible");
      if (at < 0) return;
      mark.setAttribute("cx", x(times[at]));
      mark.setAttribute("cy", y(values[at]));
    },
  });
}

// The numbers, the newest first; they are made when somebody asks for them.
function table(names, times, series) {
  const head = (name) => el("th", {scope: "col", class: "num"},
    label(name) + (unitOf(name) ? `, ${unitOf(name)}` : ""));
  const row = (t, at) => el("tr", {}, el("td", {}, moment(t)),
    ...names.map((name) => el("td", {class: "num"}, shown(series[name][at]))));
  const open = () => {
    if (!box.open || box.children.length > 1) return;
    box.append(el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Samples"},
      el("table", {class: "data"},
        el("thead", {}, el("tr", {}, el("th", {scope: "col"}, "Time"), ...names.map(head))),
        el("tbody", {}, ...times.map(row).reverse()))));
  };
  const box = el("details", {class: "wbehind", ontoggle: open}, el("summary", {}, "Show the numbers"));
  return box;
}
