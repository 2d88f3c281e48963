// The columns of the jobs table: what they show, how they sort, which are chosen.

import {el, menu} from "../common.js";
import {isNumber, isWhole} from "../exactjson.js";
import {cut, duration, metric, number, priority, status, value, when} from "../format.js";
import {live} from "../live.js";
import {measuredFirst} from "../resultnames.js";

const MOST = {parameter: 8, result: 4};  // columns that are shown before somebody chooses
const LONGEST = 24;  // characters of a text in a cell: the browser would cut its end
const KEPT = "columns";

const none = () => el("span", {class: "none"}, "–");

// A parameter: long ones are cut, and shown in full when pointed at.
function parameter(v) {
  const text = value(v);
  if (v === undefined) return none();
  if (isNumber(v) && text.length > 9 && !isWhole(v)) {
    return el("span", {title: text}, String(Number(Number(v).toPrecision(6))));
  }
  return text.length > LONGEST ? el("span", {title: text.slice(0, 1000)}, cut(text, LONGEST)) : text;
}

function result(v) {
  if (v == null) return none();
  const text = value(v), shown = metric(v);
  return shown.replaceAll(",", "") === text ? shown : el("span", {title: text}, shown);
}

const link = (job) => el("a", {href: "/jobs/" + job.id, class: "row-link"}, "#" + job.id);

function state(job) {
  const made = status(job.status, job.retry_at);
  if (job.message) made.title = [made.title, job.message].filter(Boolean).join(": ");
  if (job.status !== "PENDING" || !job.priority) return made;
  return el("span", {}, made, " ", el("span", {class: "badge accent"}, priority(job.priority)));
}

function worker(job) {
  if (!job.worker_id) return none();
  return el("a", {href: "/workers?worker=" + encodeURIComponent(job.worker_id)}, job.worker_id);
}

function failure(job) {
  if (!job.error) return none();
  return el("span", {class: "mono", title: job.error}, job.error.slice(0, 200));
}

const needs = (job) => (job.needs ? job.needs.join(", ") : none());

// A tag is a link to the jobs that have it.
const tags = (job) => (job.tags
  ? el("span", {class: "tags", title: job.tags.join(", ")}, ...job.tags.map(tagLink)) : none());

/** A tag as a link to the jobs that have it. */
export const tagLink = (tag) =>
  el("a", {class: "badge", href: "/jobs?filter=" + encodeURIComponent("tag=" + tag)}, tag);

// The runtime of a running job counts on by itself: `tick` in table.js rewrites what has data-since.
const runtime = (job) => (job.status === "SERVED" && job.started != null
  ? el("span", {"data-since": job.started}, duration(live.now() - job.started)) : duration(job.runtime));

// key, head, name for sorting, kind (classes of the cells), what the cell shows; `fixed`: always shown
const FIRST = [
  {key: "id", head: "Job", sort: "id", cell: link, fixed: true},
  {key: "status", head: "Status", sort: "status", cell: state, fixed: true},
];
const LAST = [
  {key: "attempts", head: "Attempts", sort: "attempts", kind: "num",
    cell: (job) => (job.attempt ? number(job.attempt) : none())},
  {key: "worker", head: "Worker", sort: "worker", kind: "cut", cell: worker},
  {key: "started", head: "Started", sort: "started", cell: (job) => when(job.started)},
  {key: "finished", head: "Finished", sort: "finished", cell: (job) => when(job.finished)},
  {key: "runtime", head: "Runtime", sort: "runtime", kind: "num", cell: runtime},
  {key: "code", head: "Code", sort: "code", extra: true,
    cell: (job) => (job.code ? el("span", {class: "mono"}, job.code) : none())},
];
// Shown where any job of the page has one, unless somebody has chosen otherwise.
const ERROR = {key: "error", head: "Error", kind: "cut error", cell: failure};
const NEEDS = {key: "needs", head: "Needs", kind: "cut", cell: needs};
const TAGS = {key: "tags", head: "Tags", cell: tags};

/** All columns of an experiment whose names of parameters and results are these; `needs` and `tags` are
 * the tags that its jobs need and have, `failed` says whether an attempt of any has. */
export function columnsOf({parameters, results, needs: needed, tags: given, failed}) {
  const known = new Set(parameters);
  const own = parameters.map((name, at) => ({
    key: "param." + name, head: name, sort: "param." + name, kind: "cut param", group: "Parameters",
    extra: at >= MOST.parameter, cell: (job) => parameter(job.parameters[name])}));
  const found = measuredFirst(results, parameters).map((name, at) => ({
    key: "result." + name, head: name, sort: "result." + name, kind: "num result", group: "Results",
    extra: at >= MOST.result || known.has(name), cell: (job) => result((job.results || {})[name])}));
  // Start and runtime tell when a job ended: where there is much to show, "Finished" begins hidden.
  const many = [...own, ...found].filter((one) => !one.extra).length > 6;
  const last = LAST.map((one) => (one.key === "finished" ? {...one, extra: many} : one));
  const words = [...(given.length ? [TAGS] : []), ...(needed.length ? [NEEDS] : [])];
  return [...FIRST, ...own, ...found, {...ERROR, extra: !failed}, ...words, ...last];
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
    const entry = (one) => el("label", {}, el("input", {
      type: "checkbox", checked: shown.has(one.key), onchange: (event) => {
        keep(experiment, Object.assign(choices(experiment), {[one.key]: event.target.checked}));
        onchange();
      }}), one.head);
    return all.filter((one) => !one.fixed).flatMap((one, at, list) => {
      const line = at && (list[at - 1].group || "") !== (one.group || "");
      return line ? [null, entry(one)] : [entry(one)];
    });
  });
}

function choices(experiment) {
  try {
    return JSON.parse(localStorage.getItem(KEPT + ":" + experiment)) || {};
  } catch (error) { return {}; }
}

function keep(experiment, choice) {
  try {
    localStorage.setItem(KEPT + ":" + experiment, JSON.stringify(choice));
  } catch (error) { /* storage is forbidden: the choice holds until the page is left */ }
}
