// The table of workers. Rows stay while their worker is listed, so that a refresh takes neither the focus nor
// an open menu away.

import {el, menu} from "../common.js";
import {number, when} from "../format.js";
import * as commands from "./commands.js";
import {failing, job, load, since, state} from "./format.js";

const small = (label, onclick, name) =>
  el("button", {type: "button", class: "small", "aria-label": name, onclick}, label);

// The state, and a way to take back what is queued.
function told(worker, page, now) {
  const {worker_id: id, queued} = worker;
  if (!queued || worker.left_at != null) return state(worker, null, now);
  const cancel = () => commands.command("cancel", commands.one(id), page.after);
  return state(worker, small("Cancel", cancel, `Cancel queued ${queued} of ${id}`), now);
}

const text = (value) => (value ? el("span", {class: "cut"}, value) : el("span", {class: "none"}, "–"));

// `sort`: the name of the order, of columns that one can sort by; `num`: at the right.
const ACTIVE = [
  {sort: "worker", head: "Worker"},
  {sort: "state", head: "State", cell: (one, now, page) => told(one, page, now)},
  {sort: "job", head: "Job", cell: (one) => job(one.current_job_id)},
  {sort: "machine_type", head: "Machine type", cell: (one) => text(one.machine_type)},
  {sort: "done", head: "Done", num: true, cell: (one) => number(one.jobs_done)},
  {sort: "failed", head: "Failed", num: true, cell: (one) => number(one.jobs_failed)},
  {sort: "seen", head: "Last seen", num: true, cell: (one, now) => since(now, one.last_seen)},
];
// What machines measure; GPUs only where a worker has told of one.
const MEASURED = [
  {sort: "cpu", head: "CPU", num: true, cell: (one) => load(one.cpu)},
  {sort: "memory", head: "Memory", num: true, cell: (one) => load(one.memory)},
  {sort: "gpu", head: "GPU", num: true, cell: (one) => load(one.gpu)},
  {sort: "gpu_memory", head: "GPU memory", num: true, cell: (one) => load(one.gpu_memory)},
];
const PAST = [
  {sort: "worker", head: "Worker"},
  {sort: "state", head: "State", cell: (one) => state(one)},
  {head: "Reason", cell: (one) => text(one.left_reason)},
  {sort: "machine_type", head: "Machine type", cell: (one) => text(one.machine_type)},
  {sort: "done", head: "Done", num: true, cell: (one) => number(one.jobs_done)},
  {sort: "failed", head: "Failed", num: true, cell: (one) => number(one.jobs_failed)},
  {sort: "first", head: "First seen", num: true, cell: (one) => when(one.first_seen)},
  {sort: "left", head: "Left", num: true, cell: (one) => when(one.left_at)},
];

/** `page` has selected (a Set of worker ids), after(), onselect(), onopen(id), onhost(host), onsort(name). */
export class Rows {
  constructor(page) {
    this.page = page;
    this.rows = new Map();
    this.body = el("tbody");
    this.every = el("input", {type: "checkbox", "aria-label": "Select all on this page",
      onchange: () => this.selectPage()});
    this.line = el("tr");
    this.node = el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Workers"},
      el("table", {class: "data as-cards wtable"}, el("thead", {}, this.line), this.body));
  }

  /** Show `workers`; `past`: those that have left, which take no commands. */
  update(workers, {past, now, sort}) {
    const gpus = workers.some((one) => one.gpu != null || one.gpu_memory != null);
    if (past !== this.past || gpus !== this.gpus) {
      Object.assign(this, {past, gpus, headed: ""});
      this.rows.clear();
      const measured = gpus ? MEASURED : MEASURED.slice(0, 2);
      this.columns = past ? PAST : [...ACTIVE.slice(0, -1), ...measured, ...ACTIVE.slice(-1)];
    }
    this.head(sort);
    const row = (one) => this.rows.get(one.worker_id) || new Row(one, this);
    const seen = new Map(workers.map((one) => [one.worker_id, row(one)]));
    this.rows = seen;
    const wanted = [...seen.values()].map(({node}) => node), there = this.body.children;
    if (wanted.length !== there.length || wanted.some((node, at) => there[at] !== node)) {
      const focused = document.activeElement;
      this.body.replaceChildren(...wanted);
      if (this.body.contains(focused)) focused.focus({preventScroll: true});
    }
    workers.forEach((one) => seen.get(one.worker_id).update(one, now));
    this.showSelection();
  }

  head(sort) {
    const said = sort + this.past;
    if (said === this.headed) return;
    this.headed = said;
    const focused = this.line.contains(document.activeElement) ? document.activeElement.textContent : null;
    const name = sort.replace("-", ""), way = sort[0] === "-" ? "descending" : "ascending";
    const sorter = (column) => el("button",
      {type: "button", class: "sort", onclick: () => this.page.onsort(column.sort)}, column.head);
    const heads = this.columns.map((column) => el("th", {
      scope: "col", class: column.num ? "num" : false,
      "aria-sort": column.sort && column.sort === name ? way : false},
    column.sort ? sorter(column) : column.head));
    this.line.replaceChildren(
      ...(this.past ? [] : [el("th", {class: "check", scope: "col"}, this.every)]), ...heads,
      el("th", {scope: "col", class: "acts"}, el("span", {class: "sr"}, "Actions")));
    const buttons = [...this.line.querySelectorAll("button")];
    if (focused) buttons.find((one) => one.textContent === focused)?.focus();
  }

  /** Move the focus to the next (1) or previous (-1) row; false where there is none. */
  step(by) {
    const all = [...this.rows.values()], outside = by > 0 ? 0 : all.length - 1;
    const at = all.findIndex((row) => row.node.contains(document.activeElement));
    const next = all[at < 0 ? outside : at + by];
    if (next) next.name.focus();
    return Boolean(next);
  }

  /** Select the row that has the focus, or take it out of the selection; false where there is none. */
  toggle() {
    const row = [...this.rows.values()].find((one) => one.node.contains(document.activeElement));
    if (row && !this.past) row.pick.click();
    return Boolean(row);
  }

  selectPage() {
    for (const id of this.rows.keys()) this.page.selected[this.every.checked ? "add" : "delete"](id);
    this.page.onselect();
  }

  showSelection() {
    let chosen = 0;
    for (const [id, row] of this.rows) {
      const selected = this.page.selected.has(id);
      chosen += selected ? 1 : 0;
      row.pick.checked = selected;
      row.node.setAttribute("aria-selected", String(selected));
    }
    this.every.checked = chosen > 0 && chosen === this.rows.size;
    this.every.indeterminate = chosen > 0 && chosen < this.rows.size;
  }
}

class Row {
  constructor(worker, rows) {
    const {page, past} = rows, id = worker.worker_id;
    this.worker = worker;
    this.pick = el("input", {type: "checkbox", "aria-label": "Select " + id, onchange: () => {
      page.selected[this.pick.checked ? "add" : "delete"](id);
      page.onselect();
    }});
    this.extra = el("span", {class: "wextra"});
    const open = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
      event.preventDefault();
      page.onopen(id);
    };
    this.name = el("a",
      {href: "/workers?worker=" + encodeURIComponent(id), class: "wname mono", onclick: open}, id);
    this.cells = rows.columns.slice(1).map((column) => ({column, shown: "",
      node: el("td", {class: column.num ? "num" : false, "data-label": column.head})}));
    const choices = () => {
      const made = [["Details", () => page.onopen(id)], null, ...commands.entries(this.worker, page.after)];
      const {host} = this.worker;
      const pause = () => commands.command("pause", commands.onHost(host), page.after);
      return past ? made : [...made, null, ["Only host " + host, () => page.onhost(host)],
        ["Pause host " + host + "…", pause]];
    };
    this.actions = menu("⋯", choices,
      {class: "quiet more", "aria-label": "Actions for " + id, title: "Actions"});
    this.page = page;
    // Whoever marks text, or presses something, does not want the panel.
    const opens = (event) => !event.target.closest("a, button, input, label, .menu, .check, .acts")
      && getSelection().isCollapsed && page.onopen(id);
    this.node = el("tr", {class: "wrow", onclick: opens},
      past ? null : el("td", {class: "check"}, this.pick),
      el("td", {class: "wfirst"}, this.name, this.extra),
      ...this.cells.map((cell) => cell.node),
      el("td", {class: "acts"}, this.actions));
  }

  update(worker, now) {
    this.worker = worker;
    this.remark();
    for (const cell of this.cells) {
      const made = cell.column.cell(worker, now, this.page);
      const shown = typeof made === "string" ? made : made.outerHTML;
      if (shown === cell.shown) continue;
      cell.shown = shown;
      const focused = cell.node.contains(document.activeElement);
      cell.node.replaceChildren(made);
      if (focused) (cell.node.querySelector("a") || this.actions).focus();
    }
  }

  /** What stands below the name of a worker that counts as failing: why, and what can be done. */
  remark() {
    const {worker, page} = this;
    if (worker.left_at != null) return;  // read-only
    const said = worker.failing ? worker.failures_in_row + worker.desired_state : "";
    if (said === this.said) return;
    this.said = said;
    if (!worker.failing) return this.extra.replaceChildren();
    const pause = () => commands.command("pause", commands.one(worker.worker_id), page.after);
    this.extra.replaceChildren(
      failing(worker),
      small("Retry what it failed…", () => commands.retryFailed(this.worker, page.after)),
      worker.desired_state === "run" ? small("Pause…", pause) : "");
  }
}
