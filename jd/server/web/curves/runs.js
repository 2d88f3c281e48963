// The list of runs beside the curves: their colours and values, and which of them are shown.

import {el} from "../common.js";
import {cut, number, status} from "../format.js";
import {keeping} from "../charts/controls.js";
import {swatch} from "../charts/curves.js";
import {text} from "../charts/drawing.js";
import {jobLink} from "../charts/plot.js";

/** {node, update(metrics, runs, names), light(id)}. `show(id, on)` and `showAll(on)` are called for what is
 * ticked, `lit(id or null)` for the row that is pointed at. */
export function runsList({show, showAll, lit}) {
  const head = el("span", {class: "plot-n"}), body = el("tbody"), heads = el("tr");
  const every = el("input", {type: "checkbox", "aria-label": "Show all jobs",
    onchange: () => showAll(every.checked)});
  const box = el("div", {class: "scroll sheet", tabindex: 0, role: "region", "aria-label": "Jobs"},
    el("table", {class: "data curves-table"}, el("thead", {}, heads), body));
  const node = el("section", {class: "card plot curves-runs", "aria-label": "Jobs"},
    el("div", {class: "card-head"}, el("h2", {}, "Jobs"), head), box);
  let drawn = "", rows = new Map(), light = null;

  function row(run, metrics, names) {
    const tick = el("input", {type: "checkbox", checked: !run.hidden, "aria-label": "Show job " + run.id,
      onchange: () => show(run.id, tick.checked)});
    const made = el("tr", {onpointerenter: () => lit(run.id), onpointerleave: () => lit(null),
      onfocusin: () => lit(run.id), onfocusout: () => lit(null)},
    el("td", {class: "check"}, tick),
    el("td", {}, el("span", {class: "curves-run"}, swatch(run.colour), jobLink(run.id))),
    el("td", {}, status(run.status, run.retry_at)),
    ...metrics.map((metric) => el("td", {class: "num"}, text(run.lasts.get(metric)))),
    ...names.map((name) => el("td", {title: text(run.parameters[name])},
      cut(text(run.parameters[name]), 24))));
    made.classList.toggle("off", run.hidden);
    return made;
  }

  function update(metrics, runs, names) {
    const facts = JSON.stringify([metrics, names, runs.map((run) =>
      [run.id, run.hidden, run.colour, run.status, run.retry_at, [...run.lasts.values()], names.map((name) =>
        run.parameters[name])])]);
    if (facts === drawn) return;
    drawn = facts;
    const on = runs.filter((run) => !run.hidden).length;
    every.checked = on > 0 && on === runs.length;
    every.indeterminate = on > 0 && on < runs.length;
    head.textContent = on < runs.length ? `${number(on)} of ${number(runs.length)} shown`
      : number(runs.length);
    const title = (words, kind) =>
      el("th", {scope: "col", class: kind || false, title: words}, cut(words, 20));
    heads.replaceChildren(el("th", {scope: "col", class: "check"}, every), title("Job"), title("Status"),
      ...metrics.map((metric) => title(metric, "num")), ...names.map((name) => title(name)));
    keeping(node, () => {
      rows = new Map(runs.map((run) => [run.id, row(run, metrics, names)]));
      body.replaceChildren(...rows.values());
    });
    if (light !== null) rows.get(light)?.classList.add("lit");
  }

  return {node, update,
    light(id) {
      rows.get(light)?.classList.remove("lit");
      light = id;
      rows.get(id)?.classList.add("lit");
    }};
}
