// How many attempts ended, over time; "other" are those given back or lost, which count as no failure.

import {ask, el} from "../common.js";
import {compact, number} from "../format.js";
import {axisX, axisY, scale, svg, ticks, tooltip} from "../svg.js";

const CLOCK = {hour: "2-digit", minute: "2-digit"};
const UNITS = {minute: {text: "60 min", label: CLOCK, every: 15}, hour: {text: "48 h", label: CLOCK, every: 12},
  day: {text: "30 d", label: {day: "numeric", month: "short"}, every: 7}};
const KINDS = [["done", "done"], ["failed", "failed"], ["other", "other"]];
const HEIGHT = 112;

/** A card with the chart: {node, refresh(), close()}. */
export function completions() {
  let unit = kept() || "hour", host = "", data = null, loading = 0;
  const plot = el("div", {class: "plot"}), said = el("p", {class: "legend grow"});
  const hosts = el("select", {"aria-label": "Host", hidden: true, onchange: () => { host = hosts.value; load(); }});
  const units = el("div", {class: "seg", role: "group", "aria-label": "Time"}, ...Object.entries(UNITS).map(([name, {text}]) =>
    el("button", {type: "button", "data-unit": name, onclick: () => { unit = name; keep(name); load(); }}, text)));
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
    } catch (error) { if (mine === loading) said.textContent = error.message; }
  }

  function fillHosts(known) {
    const names = known.includes(host) || !host ? known : known.concat(host);
    hosts.hidden = names.length < 2;
    if (hosts.options.length === names.length + 1 && names.every((name, at) => hosts.options[at + 1].value === name)) return;
    hosts.replaceChildren(el("option", {value: ""}, "All hosts"),
      ...names.map((name) => el("option", {value: name, selected: name === host}, name)));
  }

  function draw() {
    if (!data || !plot.clientWidth) return;
    const sums = KINDS.map(([key, text]) => [key, text, data[key].reduce((sum, n) => sum + n, 0)]);
    said.replaceChildren(...sums.filter(([key, , sum]) => key === "done" || sum).map(([key, text, sum]) =>
      el("span", {title: key === "other" ? "given back or lost" : false}, el("i", {class: "swatch of-" + key}),
        number(sum) + " " + text)));
    plot.replaceChildren(...bars(data, plot));
    if (rows.open) {
      if (rows.children[1]) rows.children[1].remove();
      rows.append(asTable(data));
    }
  }

  load();
  return {node, refresh: load, close: () => watch.disconnect()};
}

function bars(data, plot) {
  const width = plot.clientWidth - 14, left = 36, n = data.done.length, {label, every} = UNITS[data.unit];
  const totals = data.done.map((_, at) => KINDS.reduce((sum, [key]) => sum + data[key][at], 0));
  const most = Math.max(1, ...totals), up = scale([0, most], [HEIGHT - 22, 6]), along = scale([0, n], [left, width]);
  const step = (width - left) / n, gap = step > 6 ? 2 : step > 3 ? 1 : 0;
  const time = (at) => new Intl.DateTimeFormat("en-GB", label).format(new Date((data.start + at * data.step) * 1000));
  const marks = Array.from({length: n}, (_, at) => at).filter((at) => (n - 1 - at) % every === 0 && along(at + 0.5) > left + 16);
  const chart = svg("svg", {class: "chart", height: HEIGHT, viewBox: "0 0 " + (width + 14) + " " + HEIGHT, role: "img",
    "aria-label": "Attempts that ended, by " + data.unit + "; the same as a table below"},
  axisY(up, left, width - left, ticks(0, most, 3).filter(Number.isInteger), compact),
  ...totals.map((total, at) => {
    let base = 0;
    return svg("g", {}, ...KINDS.map(([key]) => {
      const from = base;
      base += data[key][at];
      return data[key][at] ? svg("rect", {class: "bar-" + key, x: along(at) + gap / 2, width: Math.max(1, step - gap),
        y: up(base), height: Math.max(1, up(from) - up(base)), rx: Math.min(1.5, step / 4)}) : null;
    }));
  }),
  axisX(scale([0, n], [left, width]), HEIGHT - 22, marks.map((at) => at + 0.5), (at) => time(at - 0.5)));
  const tip = tooltip(plot), hover = svg("rect", {class: "hover", y: 0, height: HEIGHT - 22, width: step, visibility: "hidden"});
  chart.prepend(hover);
  chart.addEventListener("pointermove", (event) => {
    const at = Math.floor(along.invert(event.clientX - plot.getBoundingClientRect().left));
    if (at < 0 || at >= n) return leave();
    hover.setAttribute("x", along(at));
    hover.setAttribute("visibility", "visible");
    tip.show(along(at + 0.5), up(totals[at]), el("b", {}, data.unit === "hour" ? day(data.start + at * data.step) + " " : "", time(at)),
      ...KINDS.filter(([key]) => data[key][at] || key === "done").map(([key, text]) => el("div", {}, number(data[key][at]) + " " + text)));
  });
  const leave = () => { hover.setAttribute("visibility", "hidden"); tip.hide(); };
  chart.addEventListener("pointerleave", leave);
  return [chart, tip.node];
}

const day = (t) => new Intl.DateTimeFormat("en-GB", {day: "numeric", month: "short"}).format(new Date(t * 1000));

function asTable(data) {
  const full = new Intl.DateTimeFormat("en-GB", {day: "numeric", month: "short", hour: "2-digit", minute: "2-digit"});
  const order = data.done.map((_, at) => at).reverse();
  return el("div", {class: "scroll"}, el("table", {class: "data"}, el("thead", {}, el("tr", {}, el("th", {scope: "col"}, "From"),
    ...KINDS.map(([, text]) => el("th", {scope: "col", class: "num"}, text)))),
  el("tbody", {}, ...order.map((at) => el("tr", {}, el("td", {}, full.format(new Date((data.start + at * data.step) * 1000))),
    ...KINDS.map(([key]) => el("td", {class: "num"}, number(data[key][at]))))))));
}

function kept() {
  try { return UNITS[localStorage.getItem("completions")] ? localStorage.getItem("completions") : null; } catch (error) { return null; }
}

function keep(name) {
  try { localStorage.setItem("completions", name); } catch (error) { /* until the page is left */ }
}
