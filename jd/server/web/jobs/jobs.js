// The Jobs page: how far the experiment is, and the table of its jobs.

import {go, me, remember, remembered, setQuery} from "../app.js";
import {codeMix} from "../codemix.js";
import {at, button, el, fail} from "../common.js";
import {statusesOf, withStatuses} from "../filter.js";
import {filterBox} from "../filterbox.js";
import {number} from "../format.js";
import {live} from "../live.js";
import {keys} from "../shortcuts.js";
import {bulkBar} from "./bulkbar.js";
import {chooser, chosen, columnsOf} from "./columns.js";
import {completions} from "./completions.js";
import {gettingStarted} from "./nojobs.js";
import {overview} from "./overview.js";
import {jobSearch} from "./search.js";
import {JobsTable} from "./table.js";

const SIZES = [25, 50, 100, 200];
const CHART_EVERY = 5000, COUNT_EVERY = 15000, OUTLOOK_EVERY = 10000;

/** The page (see app.js). */
export async function show(main, _params, query) {
  const page = new JobsPage(main, query);
  await page.load();
  if (query.get("new") && main.isConnected) {
    setQuery({new: ""});  // to come back to the page, or to load it again, is not to ask for jobs again
    create(query.get("new"));  // text of an address, which the form looks at
  }
  return page;
}

async function create(filled = "") {
  try {
    (await import("./create/dialog.js")).openCreate(filled);
  } catch (error) { fail(error); }
}

class JobsPage {
  constructor(main, query) {
    const kept = remembered();
    this.state = {filter: query.get("filter") || "", sort: query.get("sort") || "id",
      after: kept.after || null, size: keptSize()};
    this.from = kept.from || 0;  // how many jobs come before this page
    this.stack = kept.stack || [];  // where the pages before it begin
    this.names = {parameters: [], results: [], needs: [], tags: [], failed: false};
    this.jobs = [];
    this.next = this.total = null;
    this.rest = this.charted = this.countedAt = 0;
    this.finder = jobSearch();
    this.mix = codeMix();
    this.build(main);
    // "in 12 min" becomes less while nothing happens.
    this.clock = setInterval(() => live.summary && this.overview.update(live.summary), OUTLOOK_EVERY);
    this.ends = [this.bind(), live.on((summary) => this.summarise(summary)),
      () => clearTimeout(this.later), () => clearTimeout(this.charting), () => clearInterval(this.clock),
      ...[this.finder, this.table, this.chart, this.mix].map((part) => () => part.close())];
  }

  build(main) {
    this.overview = overview((status) => this.pick(status));
    this.chart = completions();
    this.filter = filterBox({value: this.state.filter, onchange: (text) => this.search({filter: text})});
    this.table = new JobsTable({onsort: (name) => this.sort(name),
      onselect: () => this.bar && this.bar.update(), onopen: (id, event) => this.open(id, event)});
    this.bar = bulkBar({table: this.table, page: () => this, done: () => this.load(true)});
    const columns = chooser(() => columnsOf(this.names), me.expId, () => this.draw());
    this.searching = el("div", {class: "searching", role: "status", hidden: true});
    this.range = el("span", {class: "grow", "aria-live": "polite"});
    this.previous = button("Previous", () => this.turn(-1));
    this.following = button("Next", () => this.turn(1));
    const size = el("select", {"aria-label": "Jobs per page", onchange: () => {
      keepSize(size.value);
      this.search({size: Number(size.value)});
    }}, ...SIZES.map((n) => el("option", {value: n, selected: n === this.state.size}, n + " per page")));
    this.pager = el("div", {class: "pager"}, this.range, size, this.previous, this.following);
    this.nothing = el("div", {class: "empty", hidden: true});
    this.card = el("section", {class: "card", "aria-label": "Jobs", "aria-busy": "true"},
      el("div", {class: "card-head"}, this.filter.node, columns,
        button("New jobs", () => create(), "primary")),
      this.searching, this.table.node, this.nothing, this.pager);
    this.start = el("div", {hidden: true});
    this.whole = el("div", {class: "jobs-page"}, el("h1", {class: "sr"}, "Jobs"),
      el("div", {class: "split wide-left"}, this.overview.node, this.chart.node),
      this.mix.node, this.card);
    main.append(this.whole, this.start, this.bar.node);
    this.overview.press(statusesOf(this.state.filter));
  }

  bind() {
    return keys({
      "/": () => { this.filter.input.focus(); this.filter.input.select(); },
      j: () => this.table.step(1), k: () => this.table.step(-1),
      // Outside the table arrows scroll the page.
      ArrowDown: () => this.table.place() >= 0 && this.table.step(1),
      ArrowUp: () => this.table.place() >= 0 && this.table.step(-1),
      x: () => this.table.toggle(), c: () => create(),
      "[": () => this.turn(-1), "]": () => this.turn(1),
    });
  }

  // ---- what is asked for

  /** Ask again from the first page. */
  search(change, push = false) {
    Object.assign(this.state, change, {after: null});
    this.from = 0;
    this.stack = [];
    if ("filter" in change) {
      this.table.select([]);
      this.bar.narrow();
    }
    const {filter, sort} = this.state;
    setQuery({filter, sort: sort === "id" ? "" : sort}, push);
    remember({after: null, from: 0, stack: []});
    this.filter.set(filter);
    this.overview.press(statusesOf(filter));
    return this.load();
  }

  pick(status) {
    const now = statusesOf(this.state.filter), same = status && now.length === 1 && now[0] === status;
    return this.search({filter: withStatuses(this.state.filter, status && !same ? [status] : [])}, true);
  }

  /** Upwards, then downwards, then by id again. */
  sort(name) {
    const now = this.state.sort, back = now === "-" + name && name !== "id";
    return this.search({sort: now === name ? "-" + name : back ? "id" : name}, true);
  }

  turn(by) {
    if (by > 0 ? this.next === null : !this.stack.length) return false;
    if (by > 0) {
      this.stack.push([this.state.after, this.from]);
      this.from += this.jobs.length;
      this.state.after = this.next;
    } else [this.state.after, this.from] = this.stack.pop();
    remember({after: this.state.after, from: this.from, stack: this.stack});
    return this.load().then(() => this.card.scrollIntoView({block: "nearest"}));
  }

  open(id, event) {
    if (event.metaKey || event.ctrlKey) return window.open(at("/jobs/" + id), "_blank", "noopener");
    go("/jobs/" + id);
    return scrollTo(0, 0);
  }

  // ---- what is shown

  /** Load this page of the table; `quietly` when nobody waits for it. Never throws. */
  async load(quietly = false) {
    const began = performance.now();
    clearTimeout(this.later);
    if (!quietly) this.card.setAttribute("aria-busy", "true");
    try {
      const found = await this.finder.find(this.state, (part) => { if (!quietly) this.seek(part); });
      if (!found) return;
      this.filter.say("");
      this.take(found);
      if (!quietly || Date.now() - this.countedAt > COUNT_EVERY) this.countMatching();
      else this.page();
    } catch (error) {
      this.searching.hidden = true;
      if (!quietly) this.refuse(error);
    } finally {
      this.card.setAttribute("aria-busy", "false");
      // After a long search the next refresh waits long, so that watching does not keep the server busy.
      this.rest = Date.now() + 10 * (performance.now() - began);
    }
  }

  refuse(error) {
    if (error.status === 400) this.filter.say(error.message, true);
    else fail(error);
    this.page();
    if (!this.jobs.length && error.status !== 400) {
      const again = button("Try again", () => this.load());
      this.nothing.hidden = false;
      this.nothing.replaceChildren(el("p", {}, "The jobs could not be loaded."), again);
    }
    if (error.status === 400 && this.state.after) return this.search({});
  }

  seek(part) {
    const total = live.summary ? live.summary.total : null;
    this.take(part);
    this.searching.hidden = false;
    const of = total ? " of " + number(Math.max(total, part.scanned)) : "";
    const stop = button("Stop", () => this.finder.stop(), "small");
    this.searching.replaceChildren("Searched " + number(part.scanned) + of + " jobs…", stop);
  }

  take(found) {
    this.jobs = found.jobs;
    this.next = found.next;
    if (live.summary) this.summarise(live.summary);
    if (found.columns) this.names = found.columns;
    if (found.total !== null) this.total = [found.total, true];
    this.searching.hidden = !found.stopped;
    if (found.stopped) {
      const on = button("Search on", () => this.turn(1), "small");
      this.searching.replaceChildren("Stopped after " + number(found.scanned) + " jobs.", on);
    }
    this.filter.names([...this.names.parameters, ...this.names.results]);
    this.draw();
  }

  draw() {
    this.table.update(chosen(columnsOf(this.names), me.expId), this.jobs, this.state.sort);
    this.nothing.hidden = this.jobs.length > 0 || (this.busy() && this.next !== null);
    const {filter} = this.state;
    this.nothing.replaceChildren(
      el("p", {}, filter ? "No job matches this filter." : "There are no jobs here."),
      filter ? button("Clear the filter", () => this.search({filter: ""})) : "");
    this.table.node.hidden = !this.jobs.length;
    this.page();
  }

  page() {
    const to = this.from + this.jobs.length, [total, all] = this.total || [null, false];
    const of = total === null ? (this.next === null ? to : null) : Math.max(total, to);
    const whole = of === null ? "" : " of " + number(of) + (total === null || all ? "" : "+");
    this.range.textContent = this.jobs.length ? number(this.from + 1) + "–" + number(to) + whole : "";
    this.previous.disabled = !this.stack.length;
    this.following.disabled = this.next === null;
    this.pager.hidden = !this.jobs.length && !this.stack.length;
  }

  /** How many match, where the table does not say. Statuses are in the summary, and a first page may be all
   * there is; all else the server counts in steps. */
  countMatching() {
    const {filter} = this.state, statuses = statusesOf(filter);
    if (this.next === null && this.from === 0) {
      this.total = [this.jobs.length, true];
    } else if (live.summary && statuses.length && withStatuses(filter, []) === "") {
      this.total = [statuses.reduce((sum, status) => sum + live.summary.jobs[status], 0), true];
    } else if (filter) return this.countInSteps(filter);
    return this.page();
  }

  countInSteps(filter) {
    if (this.counted !== filter) this.total = null;
    this.counted = filter;
    this.countedAt = Date.now();
    this.finder.count(filter, (n, all) => {
      if (!all && this.total && n < this.total[0]) return;
      this.total = [n, all];
      this.page();
      this.bar.update();
    });
    return this.page();
  }

  summarise(summary) {
    this.overview.update(summary);
    const fresh = !summary.total && !summary.jobs.DELETED && !this.state.filter && !this.jobs.length;
    if (fresh && this.start.hidden) this.start.replaceChildren(gettingStarted(() => create()));
    this.start.hidden = !fresh;
    this.whole.hidden = fresh;
  }

  // ---- what the shell calls

  async refresh(changes, previous) {
    if (changes.jobs === previous.jobs) return;
    clearTimeout(this.charting);
    this.charting = setTimeout(() => {
      this.charted = Date.now();
      this.chart.refresh();
    }, Math.max(0, this.charted + CHART_EVERY - Date.now()));
    clearTimeout(this.later);
    await this.reload();
  }

  /** Load quietly, once the person's own search has ended and the wait after the last load is over. */
  reload() {
    const wait = this.busy() ? 500 : this.rest - Date.now();
    if (wait <= 0) return this.load(true);
    this.later = setTimeout(() => this.reload(), wait);
  }

  /** Whether the page looks for what the person asked for. */
  busy() { return this.card.getAttribute("aria-busy") === "true"; }

  close() { for (const end of this.ends) end(); }
}

function keptSize() {
  let size = 0;
  try {
    size = Number(localStorage.getItem("page-size"));
  } catch (error) { /* storage is forbidden: none is kept */ }
  return SIZES.includes(size) ? size : 50;
}

function keepSize(size) {
  try {
    localStorage.setItem("page-size", size);
  } catch (error) { /* storage is forbidden: the choice holds until the page is left */ }
}
