// The columns of the jobs table: what they show, how they sort, which are chosen.

import {el, menu} from "../common.js";
import {measuredFirst} from "../resultnames.js";
import {duration, metric, number, status, value, when} from "../format.js";
import {live} from "../live.js";

const MOST = {parameter: 8, result: 4};
const KEPT = "columns";

const plain = (text) => (text == null || text === "" ? el("span", {class: "none"}, "–") : String(text));

function cut(v) {
  const text = value(v);
  if (typeof v === "number" && text.length > 9 && !Number.isInteger(v)) return el("span", {title: text}, String(Number(v.toPrecision(6))));
  return v === undefined ? plain(null) : text.length > 36 ? el("span", {title: text.slice(0, 1000)}, text.slice(0, 200)) : text;
}

// A job that runs counts on by itself; `tick` in table.js rewrites these.
const runtime = (job) => (job.status === "SERVED" && job.started != null
  ? el("span", {"data-since": job.started}, duration(live.now() - job.started)) : duration(job.runtime));

const worker = (job) => (job.worker_id ? el("a", {href: "/workers?worker=" + encodeURIComponent(job.worker_id)}, job.worker_id) : plain(null));

const FIRST = [
  {key: "id", head: "Job", sort: "id", cell: (job) => el("a", {href: "/jobs/" + job.id, class: "row-link"}, "#" + job.id), fixed: true},
  {key: "status", head: "Status", sort: "status", fixed: true, cell: (job) => {
    const made = status(job.status);
    if (job.message) made.title = job.message;
    return job.status === "PENDING" && job.priority > 0 ? el("span", {}, made, " ", el("span", {class: "badge accent"}, "first")) : made;
  }},
];
const LAST = [
  {key: "attempts", head: "Attempts", sort: "attempts", kind: "num", cell: (job) => (job.attempt ? number(job.attempt) : plain(null))},
  {key: "worker", head: "Worker", sort: "worker", kind: "cut", cell: worker},
  {key: "started", head: "Started", sort: "started", cell: (job) => when(job.started)},
  {key: "finished", head: "Finished", sort: "finished", cell: (job) => when(job.finished)},
  {key: "runtime", head: "Runtime", sort: "runtime", kind: "num", cell: runtime},
];

/** All columns of an experiment whose names of parameters and results are these. */
export function columnsOf({parameters, results}) {
  const own = parameters.map((name, at) => ({key: "param." + name, head: name, sort: "param." + name, kind: "cut param", group: "Parameters",
    extra: at >= MOST.parameter, cell: (job) => cut(job.parameters[name])}));
  const known = new Set(parameters);
  const found = measuredFirst(results, parameters).map((name, at) => ({key: "result." + name, head: name, sort: "result." + name, kind: "num result", group: "Results",
    extra: at >= MOST.result || known.has(name), cell: (job) => (job.results && job.results[name] != null ? metric(job.results[name]) : plain(null))}));
  // Start and runtime tell the end; where there is much to show it waits in the list of columns.
  const many = [...own, ...found].filter((one) => !one.extra).length > 6;
  return [...FIRST, ...own, ...found, ...LAST.map((one) => (one.key === "finished" ? Object.assign({}, one, {extra: many}) : one))];
}

/** Those that are shown: as chosen, or all but the many of a sweep with many parameters. */
export function chosen(columns, experiment) {
  const choice = choices(experiment);
  return columns.filter((one) => one.fixed || (one.key in choice ? choice[one.key] : !one.extra));
}

/** A button that opens the list of columns to choose from. */
export function chooser(columns, experiment, onchange) {
  return menu("Columns", () => {
    const all = columns(), shown = new Set(chosen(all, experiment).map((one) => one.key));
    return all.filter((one) => !one.fixed).flatMap((one, at, list) => [
      ...(at && (list[at - 1].group || "") !== (one.group || "") ? [null] : []),
      el("label", {}, el("input", {type: "checkbox", checked: shown.has(one.key), onchange: (event) => {
        keep(experiment, Object.assign(choices(experiment), {[one.key]: event.target.checked}));
        onchange();
      }}), one.head)]);
  });
}

function choices(experiment) {
  try { return JSON.parse(localStorage.getItem(KEPT + ":" + experiment)) || {}; } catch (error) { return {}; }
}

function keep(experiment, choice) {
  try { localStorage.setItem(KEPT + ":" + experiment, JSON.stringify(choice)); } catch (error) { /* until the page is left */ }
}
