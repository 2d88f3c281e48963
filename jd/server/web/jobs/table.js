// The rows of the jobs table. A row keeps its element while its job is on the page, so that a refresh loses
// neither the focus nor the place nor what is selected.

import {el} from "../common.js";
import {cut, duration} from "../format.js";
import {live} from "../live.js";

const LONGEST = 24;  // characters of a head

const link = (row) => row && row.querySelector("a.row-link");
const className = (column) =>
  [column.key.includes(".") ? "" : "is-" + column.key, column.kind].filter(Boolean).join(" ");

/** A table of jobs: `node`, `selected` (a Map of ids to statuses), and what its methods say. `onsort(name)`,
 * `onselect()`, `onopen(id, event)` are called when the person does so. */
export class JobsTable {
  constructor({onsort, onselect, onopen}) {
    Object.assign(this, {onsort, onselect, onopen});
    this.selected = new Map();
    this.rows = new Map();
    this.headed = "";
    this.last = null;
    this.every = el("input", {
      type: "checkbox", "aria-label": "Select all jobs of this page", onchange: () => {
        for (const row of this.rows.values()) this.mark(row, this.every.checked);
        this.tell();
      }});
    this.heads = el("tr");
    this.body = el("tbody");
    this.node = el("div", {class: "scroll", tabindex: -1}, el("table", {class: "data jobs"},
      el("caption", {class: "sr"}, "Jobs"), el("thead", {}, this.heads), this.body));
    this.timer = setInterval(() => this.tick(), 1000);
    this.watch = new ResizeObserver(() => this.fit());
    this.watch.observe(this.node);
  }

  /** Show these jobs in these columns (columns.js). */
  update(columns, jobs, sort) {
    this.head(columns, sort);
    const focused = document.activeElement, place = this.place();
    const key = columns.map((one) => one.key).join(" "), here = new Set(jobs.map((job) => job.id));
    for (const [id, row] of this.rows) {
      if (here.has(id)) continue;
      row.node.remove();
      this.rows.delete(id);
    }
    jobs.forEach((job, at) => {
      const row = this.rows.get(job.id) || this.make(job.id), there = this.body.children[at];
      this.fill(row, job, columns, key);
      if (there !== row.node) this.body.insertBefore(row.node, there || null);
    });
    if (place >= 0 && document.activeElement !== focused) {
      const last = this.body.children.length - 1;
      const near = this.body.contains(focused) ? focused : link(this.body.children[Math.min(place, last)]);
      if (near) near.focus({preventScroll: true});
    }
    this.tell();
    this.fit();
  }

  /** Select exactly these ids. */
  select(ids) {
    this.selected.clear();
    for (const id of ids) this.selected.set(id, null);
    this.tell();
  }

  /** Put the focus so many rows further. */
  step(by) {
    const place = this.place(), last = this.body.children.length - 1;
    const outside = by > 0 ? 0 : last;
    const next = this.body.children[place < 0 ? outside : Math.max(0, Math.min(place + by, last))];
    if (!next) return;
    link(next).focus({preventScroll: true});
    next.scrollIntoView({block: "nearest"});
  }

  /** Select the row that has the focus, or take it out of the selection; false where there is none. */
  toggle() {
    const row = [...this.rows.values()].find((one) => one.node.contains(document.activeElement));
    if (!row) return false;
    this.mark(row, !this.selected.has(row.id));
    this.tell();
    return true;
  }

  /** Which row has the focus, -1 for none. */
  place() { return [...this.body.children].findIndex((row) => row.contains(document.activeElement)); }

  close() {
    clearInterval(this.timer);
    this.watch.disconnect();
  }

  // ---- its parts

  head(columns, sort) {
    const now = JSON.stringify([columns.map((one) => one.key), sort]);
    if (now === this.headed) return;
    this.headed = now;
    const focused = this.heads.contains(document.activeElement) && document.activeElement.dataset.key;
    const name = sort.replace(/^-/, ""), way = sort.startsWith("-") ? "descending" : "ascending";
    const sorter = (one) => el("button", {
      type: "button", class: "sort", "data-key": one.key, onclick: () => this.onsort(one.sort),
      title: one.group ? one.group.slice(0, -1) + " " + one.head : false},
    el("span", {class: "cut"}, cut(one.head, LONGEST)));
    const made = columns.map((one) => el("th", {
      scope: "col", class: /num/.test(one.kind) && "num",
      "aria-sort": one.sort === name ? way : "none"}, sorter(one)));
    this.heads.replaceChildren(el("th", {class: "check", scope: "col"}, this.every), ...made);
    const buttons = [...this.heads.querySelectorAll("button")];
    if (focused) buttons.find((one) => one.dataset.key === focused)?.focus();
  }

  make(id) {
    const row = {id, shown: "", job: null};
    row.check = el("input", {
      type: "checkbox", "aria-label": "Select job " + id,
      onclick: (event) => {
        if (event.shiftKey && this.last !== null) this.range(this.last, id, row.check.checked);
        this.last = id;
      },
      onchange: () => { this.mark(row, row.check.checked); this.tell(); }});
    row.node = el("tr", {onclick: (event) => {
      // A click on the row opens it, unless it was for a control or ended a selection of text.
      const control = event.target.closest("a, button, input, .check");
      if (!control && !String(getSelection())) this.onopen(id, event);
    }}, el("td", {class: "check"}, row.check));
    this.rows.set(id, row);
    return row;
  }

  fill(row, job, columns, key) {
    const now = key + JSON.stringify(job), {node} = row;
    row.job = job;
    if (this.selected.has(job.id)) this.selected.set(job.id, job.status);
    if (now === row.shown) return;
    row.shown = now;
    const focused = document.activeElement;
    const held = node.contains(focused) && focused !== row.check ? focused.getAttribute("href") : null;
    node.replaceChildren(node.firstChild, ...columns.map((one) =>
      el("td", {class: className(one) || false, "data-label": cut(one.head, LONGEST)}, one.cell(job))));
    node.className = job.status.toLowerCase();
    const links = [...node.querySelectorAll("a")];
    if (held) links.find((one) => one.getAttribute("href") === held)?.focus({preventScroll: true});
  }

  mark(row, on) {
    if (on) this.selected.set(row.id, row.job.status);
    else this.selected.delete(row.id);
  }

  range(from, to, on) {
    const all = [...this.rows.values()];
    const order = [...this.body.children].map((node) => all.find((row) => row.node === node));
    const [first, last] = [from, to].map((id) => order.findIndex((row) => row.id === id))
      .sort((a, b) => a - b);
    if (first < 0) return;
    for (const row of order.slice(first, last + 1)) this.mark(row, on);
  }

  // Show in the boxes what is selected, and tell the page.
  tell() {
    let on = 0;
    for (const row of this.rows.values()) {
      const is = this.selected.has(row.id);
      if (is) on += 1;
      row.check.checked = is;
      row.node.setAttribute("aria-selected", String(is));
    }
    this.every.checked = on > 0 && on === this.rows.size;
    this.every.indeterminate = on > 0 && on < this.rows.size;
    this.onselect();
  }

  tick() {
    for (const cell of this.body.querySelectorAll("[data-since]")) {
      cell.textContent = duration(live.now() - Number(cell.dataset.since));
    }
  }

  // In a box that scrolls sideways the head of the table cannot stick to the page, so the box scrolls only
  // where the table is wider than it.
  fit() {
    this.node.classList.remove("fits");
    this.node.classList.toggle("fits", this.node.firstChild.offsetWidth <= this.node.clientWidth);
  }
}
