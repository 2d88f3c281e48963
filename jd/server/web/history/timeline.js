// The tab "Timeline of workers": who ran what when, idle gaps, failures.

import {go, setQuery} from "../app.js";
import {choice, fillBar, segments} from "../charts/controls.js";
import {plot} from "../charts/plot.js";
import {tipLines} from "../charts/pointing.js";
import {ask, button, el, empty, touched} from "../common.js";
import {cut, duration, moment, number, percent} from "../format.js";
import {svg} from "../svg.js";
import {hand} from "./hand.js";
import {KINDS, NAMES, kindLegend} from "./kinds.js";
import {pacing} from "../pace.js";
import {ROW, paint} from "./painting.js";
import {bad, busyShare, eventKind, gaps, moved, short, utilisation, zoomed} from "./spans.js";
import {daysOf, timeMarks} from "../charts/timeaxis.js";

const LAST = [["3600", "Last hour"], ["86400", "Last day"], ["", "All"]];
const ROWS = [["", "Automatic"], ["host", "Hosts"], ["worker", "Workers"]];
const SORTS = [["name", "By name"], ["busy", "Least busy first"], ["failed", "Most failures first"]];
const KEPT = ["last", "from", "to", "rows", "host", "sort", "first"];
const PAGE = 50;  // rows of an answer
const NARROW = 560;  // pixels of a drawing on a phone

/** Fill a node with the view; gives {refresh, close}. */
export async function timelineView(body, query) {
  const view = new Timeline(body, query);
  await view.pace.run();
  return view;
}

class Timeline {
  constructor(body, query) {
    this.body = body;
    this.state = Object.fromEntries(KEPT.map((name) => [name, query.get(name) || ""]));
    this.asked = 0;
    this.answer = null;
    this.told = "";
    this.pace = pacing(() => this.load());
    this.controls = el("div", {class: "history-controls"});
    this.said = el("p", {class: "hint", "aria-live": "polite"});
    this.pager = el("nav", {class: "pager", "aria-label": "Rows", hidden: true});
    this.legend = el("div", {class: "timeline-legend"});
    this.plot = plot({title: "Timeline of workers", name: "timeline",
      draw: (box, width) => this.draw(box, width), rows: () => this.rows()});
    this.plot.node.append(this.legend, this.pager);
    this.plot.node.hidden = true;
    this.repaint = () => this.plot.redraw();
    document.addEventListener("theme", this.repaint);
    this.nobody = el("div", {hidden: true}, empty("Nobody was there in this time",
      "Workers show here from when they are first heard of: what they ran, and when they were idle."));
    body.append(el("div", {class: "toolbar history-tools"}, this.controls), this.said, this.nobody,
      this.plot.node);
    this.tools();
  }

  close() {
    this.asked += 1;
    this.pace.close();
    this.plot.close();
    document.removeEventListener("theme", this.repaint);
  }

  refresh(changes, previous) {
    const fixed = this.state.to && this.answer && Number(this.state.to) < this.answer.now;
    if (fixed) return;  // what is over stays as it was
    if (!previous || changes.jobs !== previous.jobs || changes.workers !== previous.workers) {
      this.pace.again();
    }
  }

  // ---- what is asked for

  set(changed) {
    Object.assign(this.state, {first: ""}, changed);
    setQuery(this.state);
    this.tools();
    this.pace.run();
  }

  /** Another window, in Unix seconds. */
  window([from, to]) {
    this.set({last: "", from: from.toFixed(2), to: to.toFixed(2), first: this.state.first});
  }

  tools() {
    const {last, from, rows, sort, host} = this.state, chosen = from ? null : last;
    const now = () => [this.answer.start, this.answer.end];
    const step = (words, title, next) => {
      const made = button(words, () => this.answer && this.window(next()), "small");
      made.title = title;
      made.setAttribute("aria-label", title);
      return made;
    };
    fillBar(this.controls, [chosen, rows, sort, host], () => [
      segments("Window", LAST, chosen, (name) => this.set({last: name, from: "", to: ""})),
      el("span", {class: "timeline-zoom", role: "group", "aria-label": "Zoom"},
        step("‹", "Earlier", () => moved(now(), -0.5)), step("–", "Zoom out", () => zoomed(now(), 2)),
        step("+", "Zoom in", () => zoomed(now(), 0.5)), step("›", "Later", () => moved(now(), 0.5))),
      ...(host ? [button("Host " + cut(host, 24) + " ×", () => this.set({host: ""}), "chip")]
        : [choice("Rows", ROWS, rows, (name) => this.set({rows: name}))]),
      choice("Order", SORTS, sort || "name", (name) => this.set({sort: name === "name" ? "" : name}))]);
  }

  async load() {
    const mine = (this.asked += 1), {last, from, to, rows, host, sort, first} = this.state;
    const asked = {last: from ? "" : last, from, to, by: host ? "" : rows, host, sort, first};
    const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
    try {
      const found = await ask("history/workers?" + query);
      if (mine !== this.asked || this.told === JSON.stringify(found)) return;
      this.told = JSON.stringify(found);
      this.answer = found;
      // A window may have fewer rows than one that was turned over.
      if (found.first && !found.rows.length) this.set({first: ""});
      else this.show();
    } catch (error) {
      if (mine === this.asked) this.said.textContent = error.message;
    }
  }

  // ---- what is shown

  show() {
    const {answer} = this, {total} = answer;
    this.said.textContent = answer.rows.length ? utilisation(total, answer.start, answer.end) : "";
    this.plot.node.hidden = !answer.rows.length;
    this.nobody.hidden = answer.rows.length > 0;
    const what = answer.by === "host" ? "hosts" : "workers";
    this.plot.name(`Timeline of ${what}${this.state.host ? " of " + this.state.host : ""}`);
    const closer = touched() ? "Zoom in with + above" : "Drag for a range";
    this.plot.say(answer.spans ? `A bar for each attempt. ${closer}.`
      : "As high as workers were there, filled as far as they were busy; a tick above: attempts that failed "
        + `or were lost. ${closer}: single attempts show where there are at most 5,000.`);
    const kinds = KINDS.filter((_, place) => total.attempts[place]);
    this.legend.replaceChildren(kindLegend(kinds,
      (kind) => number(total.attempts[KINDS.indexOf(kind)])));
    this.page();
    this.plot.redraw();
  }

  page() {
    const {first, rows, rows_total: total} = this.answer, next = first + rows.length;
    this.pager.hidden = total <= rows.length;
    const turn = (words, to, can) => {
      const made = button(words, () => this.set({first: to ? String(to) : ""}));
      made.disabled = !can;
      return made;
    };
    this.pager.replaceChildren(
      el("span", {}, `${number(first + 1)}–${number(next)} of ${number(total)}`),
      turn("Previous", Math.max(0, first - PAGE), first > 0), turn("Next", next, next < total));
  }

  draw(box, width) {
    const {answer} = this, {start, end, rows} = answer, phone = width < NARROW;
    const left = phone ? 124 : 190, right = 52, top = 22;
    const area = {left, top, width: Math.max(60, width - left - right)};
    const height = top + rows.length * ROW + 22;
    const x = (at) => Math.max(0, Math.min(1, (at - start) / (end - start))) * area.width;
    const front = svg("svg", {class: "surface", width, height, tabindex: 0, role: "application",
      "aria-label": `${rows.length} rows from ${moment(start)} to ${moment(end)}. Arrow keys go from mark to `
        + "mark and from row to row, Enter opens what is marked."});
    const node = paint(box, answer, area.width, x);
    node.style.setProperty("left", left + "px");
    node.style.setProperty("top", top + "px");
    box.append(svg("svg", {width, height, "aria-hidden": "true"}, ...this.axis(area, height)), node,
      this.names(left - 10, top, phone ? 15 : 24), front);
    hand(front, box, {area, rows: rows.map((row, at) => this.marks(row, at, x, area)),
      range: (from, to) => this.window([from, to].map((px) => start + (px / area.width) * (end - start)))});
  }

  axis({left, top, width}, height) {
    const {start, end, rows} = this.answer;
    const marks = timeMarks(start, end, Math.max(2, Math.floor(width / 80))).flatMap(({at, text}) => {
      const x = left + ((at - start) / (end - start)) * width;
      return [svg("line", {class: "grid", x1: x, x2: x, y1: top, y2: height - 22}),
        svg("text", {class: "tick", x, y: height - 6, "text-anchor": "middle"}, text)];
    });
    const shares = rows.map((row, at) => svg("text", {class: "tick", x: left + width + 48,
      y: top + at * ROW + 16, "text-anchor": "end"}, percent(busyShare(row))));
    return [...marks, ...shares, svg("text", {class: "title", x: left, y: 12}, daysOf(start, end)),
      svg("text", {class: "tick", x: left + width + 48, y: 12, "text-anchor": "end"}, "busy")];
  }

  names(width, top, most) {
    const list = el("div", {class: "timeline-names"},
      ...this.answer.rows.map((row) => this.link(row, most)));
    list.style.setProperty("width", width + "px");
    list.style.setProperty("top", top + "px");
    return list;
  }

  // The name of a row, of so many characters if there is little room: a host leads to its workers, a worker
  // to its page.
  link(row, most = 0) {
    const of = most ? cut(short(row.name), most) : row.name;
    if (this.answer.by === "host") {
      const own = {rows: "", first: "", host: row.name, view: "workers"};
      const query = new URLSearchParams({...this.state, ...own});
      for (const [name, value] of [...query]) if (!value) query.delete(name);
      return el("a", {href: "/history?" + query, title: row.name},
        `${of}${row.workers > 1 ? " ×" + number(row.workers) : ""}`);
    }
    return el("a", {href: "/workers?worker=" + encodeURIComponent(row.name), title: row.name},
      of);
  }

  // What can be pointed at in a row, from left to right.
  marks(row, at, x, area) {
    if (row.cells) return this.cellMarks(row, area);
    const {answer} = this, mine = answer.spans.filter(([place]) => place === at);
    const until = (end) => (end === null ? answer.now : end);
    const jobs = mine.map(([, start, end, kind, verdict, job, number_]) => ({
      key: `attempt ${job} ${number_}`, from: x(start), to: x(until(end)), narrow: true,
      open: () => go("/jobs/" + job),
      tell: () => tipLines(`Job #${job}, attempt ${number_}`, [["worker", row.name],
        ["began", moment(start)], [end === null ? "runs for" : "took", duration(until(end) - start)],
        ["verdict", verdict ? (verdict === "preempted" ? "given back" : verdict) : NAMES[KINDS[kind]]]])}));
    const idle = gaps(row.present, mine.map(([, start, end]) => [start, until(end)])).map(([from, to]) => ({
      key: `idle ${row.name} ${from}`, from: x(from), to: x(to),
      tell: () => tipLines("Idle", [["worker", row.name], ["from", moment(from)],
        ["for", duration(to - from)]])}));
    const events = answer.marks.filter(([name, , event]) => name === row.name && eventKind(event))
      .map(([, when, event]) => ({key: `event ${row.name} ${when}`, from: x(when) - 2, to: x(when) + 2,
        narrow: true, tell: () => tipLines(row.name, [[moment(when), event]])}));
    return [...jobs, ...idle, ...events].sort((a, b) => a.from - b.from);
  }

  cellMarks(row, area) {
    const {start, end} = this.answer, {there, busy, bad: failures} = row.cells, n = there.length;
    const step = area.width / n, seconds = (end - start) / n;
    return there.flatMap((present, place) => {
      if (!present) return [];
      const from = start + place * seconds;
      const parts = KINDS.filter((_, kind) => busy[kind] && busy[kind][place])
        .map((kind) => [NAMES[kind], percent(busy[KINDS.indexOf(kind)][place] / present)]);
      const lines = [["workers there", number(Number(present.toFixed(1)))], ...parts,
        ["idle", percent(1 - KINDS.reduce((all, _, kind) => all + (busy[kind]?.[place] || 0), 0) / present)]];
      if (failures[place]) lines.push(["failed or lost", number(failures[place])]);
      const near = zoomed([from, from + seconds], 10);
      return [{key: `cell ${row.name} ${place}`, from: place * step, to: (place + 1) * step,
        open: () => this.window(near),
        tell: () => tipLines(`${cut(row.name, 40)}, ${moment(from)} for ${duration(seconds)}`, lines)}];
    });
  }

  rows() {
    const {answer} = this, hosts = answer.by === "host";
    const heads = [hosts ? "Host" : "Worker", ...(hosts ? ["Workers"] : []), "Busy", "There", "Idle",
      "Attempts", "Failed or lost", ...KINDS.map((kind) => NAMES[kind] + ", time")];
    const all = (row) => row.busy.reduce((sum, one) => sum + one, 0);
    return {heads, total: answer.rows_total, rows: answer.rows.map((row) => [
      this.link(row), ...(hosts ? [row.workers] : []), percent(busyShare(row)),
      row.known ? duration(row.there) : "not known", row.known ? duration(row.there - all(row)) : "not known",
      row.attempts.reduce((sum, n) => sum + n, 0), bad(row, answer.kinds),
      ...row.busy.map((one) => duration(one))])};
  }
}
