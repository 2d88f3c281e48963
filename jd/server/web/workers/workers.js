// The Workers page: the list of workers with its filters, commands for many of them, the panel of one.

import {setQuery} from "../app.js";
import {ask, button, el, fail, menu} from "../common.js";
import {number} from "../format.js";
import {live} from "../live.js";
import {keys} from "../shortcuts.js";
import * as commands from "./commands.js";
import {details} from "./details.js";
import {hostTable} from "./hosts.js";
import {emptyList} from "./noworkers.js";
import {Rows} from "./table.js";

const PAGE = 100, MOST = 10000;  // workers of a page, workers that can be selected
const STALE = 15000;  // milliseconds after which the list is loaded again
const STATES = ["busy", "idle", "paused", "queued", "failing"];
const FILTERS = ["tab", "by", "host", "instance", "slot", "state", "text", "sort"];

/** Fills `main` with the page; the shell calls what it returns. */
export async function show(main, params, query) {
  const page = new Page(main, query);
  try {
    await page.load();
  } catch (error) {
    page.close();
    throw error;
  }
  if (query.get("worker")) page.openDetails(query.get("worker"), false);
  return page;
}

class Page {
  constructor(main, query) {
    this.filter = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) || ""]));
    this.cursors = [null];  // where this page and those before it begin
    this.selected = new Set();
    this.asked = 0;
    this.panel = null;
    this.build(main);
    this.timer = setInterval(() => { if (!document.hidden) this.load().catch(() => {}); }, STALE);
  }

  // ---- what the shell calls

  refresh(changes, previous) {
    this.countTabs();
    if (previous && changes.workers === previous.workers) return;
    this.load().catch(fail);
    if (this.panel) this.panel.refresh();
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.typing);
    this.unbind();
    if (this.panel) this.panel.close();
  }

  // ---- the frame

  build(main) {
    this.scope = el("div", {class: "scope"});
    this.tabs = el("nav", {class: "tabs", "aria-label": "Active or gone"},
      this.tab("", "Active"), this.tab("disabled", "Disabled / Stopped"));
    this.text = el("input", {
      type: "search", placeholder: "Worker, machine type…", "aria-label": "Text in worker or machine type",
      value: this.filter.text, oninput: () => {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => this.set({text: this.text.value.trim()}), 250);
      }});
    const select = (name) => el("select", {"aria-label": name, onchange: (event) => {
      const rest = name === "host" ? {instance: "", slot: ""} : {};  // those are of another host
      this.set({[name]: event.target.value, ...rest});
    }});
    this.selects = Object.fromEntries(["host", "instance", "slot"].map((name) => [name, select(name)]));
    this.chips = el("div", {class: "toolbar wchips", role: "group", "aria-label": "State"});
    this.byHost = el("input", {type: "checkbox", checked: this.filter.by === "host",
      onchange: () => this.set({by: this.byHost.checked ? "host" : "", sort: ""})});
    this.grouping = el("label", {class: "check"}, this.byHost, "By host");
    this.clear = button("Clear filters", () => {
      this.text.value = "";
      this.set({host: "", instance: "", slot: "", state: "", text: ""});
    }, "quiet");
    this.bulk = el("div", {class: "bulk", role: "region", "aria-label": "Selected workers", hidden: true});
    this.list = el("div", {"aria-busy": "true"});
    this.pager = el("nav", {class: "pager", "aria-label": "Pages of this list"});
    this.bar = el("div", {class: "toolbar wfilter"},
      this.text, ...Object.values(this.selects), this.chips, this.grouping, this.clear);
    main.append(
      el("div", {class: "head"}, el("h1", {}, "Workers"), el("span", {class: "grow"}), this.scope),
      this.tabs, this.bar,
      el("section", {class: "card", "aria-label": "List"}, this.list, this.pager), this.bulk);
    const onsort = (name) => this.set({sort: this.filter.sort === name ? "-" + name : name});
    this.hosts = hostTable({onsort, after: () => this.load().catch(fail),
      onhost: (host) => this.set({host, by: "", instance: "", slot: "", sort: ""})});
    this.rows = new Rows({
      onselect: () => this.showBulk(), selected: this.selected, after: () => this.load().catch(fail),
      onopen: (id) => this.openDetails(id, true), onhost: (host) => this.set({host, instance: "", slot: ""}),
      onsort,
    });
    this.unbind = keys({
      "/": () => { this.text.focus(); this.text.select(); },
      j: () => this.rows.step(1), k: () => this.rows.step(-1), x: () => this.rows.toggle(),
      "[": () => this.turn(".previous"), "]": () => this.turn(".next"),
      Escape: () => Boolean(this.panel) && this.panel.dismiss(),
    });
    this.countTabs();
  }

  /** Press a button of the pager, if it is there. */
  turn(which) {
    this.pager.querySelector(which)?.click();
  }

  tab(value, text) {
    const current = this.filter.tab === value && "true";
    return el("button", {type: "button", "data-tab": value, "aria-current": current,
      onclick: () => this.set({tab: value, state: "", sort: ""})}, text, el("span", {class: "badge"}));
  }

  countTabs() {
    const workers = (live.summary || {}).workers;
    if (!workers) return;
    const numbers = {"": workers.active, disabled: workers.disabled};
    for (const tab of this.tabs.children) tab.lastChild.textContent = number(numbers[tab.dataset.tab]);
  }

  // ---- state of the page

  /** Change filters: what is selected and the page begin anew, the address follows. */
  set(changed) {
    Object.assign(this.filter, changed);
    this.cursors = [null];
    this.selected.clear();
    for (const tab of this.tabs.children) {
      if (tab.dataset.tab === this.filter.tab) tab.setAttribute("aria-current", "true");
      else tab.removeAttribute("aria-current");
    }
    this.byHost.checked = this.filter.by === "host";
    setQuery(this.filter);
    this.load().catch(fail);
  }

  /** Whether hosts are shown, which only active workers have. */
  grouped() { return this.filter.by === "host" && this.filter.tab !== "disabled"; }

  query(after, limit) {
    const query = new URLSearchParams(Object.entries(this.filter).filter(([, value]) => value));
    query.delete("by");
    if (this.grouped()) query.delete("sort");  // an order of hosts
    query.set("limit", limit);
    if (after) query.set("after", after);
    return "workers?" + query;
  }

  async load() {
    const mine = (this.asked += 1);
    const [found, hosts] = await Promise.all([
      ask(this.query(this.cursors[this.cursors.length - 1], PAGE)), this.grouped() ? this.askHosts() : null]);
    if (mine !== this.asked) return;  // a later question has been asked
    this.found = found;
    this.foundHosts = hosts;
    this.render();
  }

  askHosts() {
    const {host, instance, slot, state, text, sort} = this.filter;
    const given = Object.entries({host, instance, slot, state, text, sort: sort || "host"});
    return ask("workers/hosts?" + new URLSearchParams(given.filter(([, value]) => value)));
  }

  // ---- what is shown

  render() {
    const {workers, counts, total} = this.found;
    const past = this.filter.tab === "disabled", left = live.summary ? live.summary.workers.disabled : 0;
    this.fill("host", this.found.hosts, "All hosts");
    this.fill("instance", this.found.instances, "All instances");
    this.fill("slot", this.found.slots, "All slots");
    const narrowed = ["host", "instance", "slot", "state", "text"].some((name) => this.filter[name]);
    this.clear.hidden = !narrowed;
    this.chips.hidden = past;
    this.bar.hidden = !narrowed && !workers.length;
    this.grouping.hidden = past;
    if (!past) this.showChips(counts);
    if (this.foundHosts && workers.length) {
      this.hosts.update(this.foundHosts, live.now(), this.filter.sort || "host");
      if (this.list.firstChild !== this.hosts.node) this.list.replaceChildren(this.hosts.node);
    } else if (workers.length) {
      this.rows.update(workers, {past, now: live.now(), sort: this.filter.sort || "worker"});
      if (this.list.firstChild !== this.rows.node) this.list.replaceChildren(this.rows.node);
    } else {
      this.list.replaceChildren(emptyList(past, narrowed, left, () => this.clear.click()));
    }
    this.list.setAttribute("aria-busy", "false");
    this.showScope(past);
    this.showPager(this.foundHosts ? 0 : workers.length, total);
    this.showBulk();
  }

  fill(name, values, all) {
    const select = this.selects[name], chosen = this.filter[name];
    const wanted = ["", ...new Set([...values.map(String), ...(chosen ? [chosen] : [])])];
    if (wanted.join("\n") !== select.dataset.values) {
      select.dataset.values = wanted.join("\n");
      select.replaceChildren(...wanted.map((value) => el("option", {value},
        value === "" ? all : name === "slot" ? "slot " + value : value)));
    }
    select.value = chosen;
    select.classList.toggle("set", Boolean(chosen));
  }

  showChips(counts) {
    const chips = ["", ...STATES].map((state) => {
      const n = state ? counts[state] : null;
      return el("button", {type: "button", class: "chip", "data-state": state,
        "aria-pressed": String(this.filter.state === state), onclick: () => this.set({state})},
      state === "" ? "any state" : state, n === null ? null : el("b", {}, number(n)));
    });
    const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.state : null;
    this.chips.replaceChildren(...chips);
    if (focused !== null) chips.find((chip) => chip.dataset.state === focused).focus();
  }

  /** The commands for all workers, or for those of the host and instance that the filter names. */
  showScope(past) {
    const {host, instance} = this.filter;
    const face = host ? (instance ? `${host} · ${instance}` : "Host " + host) : "All workers";
    if (past || !((live.summary || {}).workers || {active: 1}).active) return this.scope.replaceChildren();
    if (this.scope.dataset.face === face && this.scope.firstChild) return undefined;
    this.scope.dataset.face = face;
    const scope = host ? commands.onHost(host, instance) : commands.everybody();
    const choices = () => commands.choices(scope, () => this.load().catch(fail));
    return this.scope.replaceChildren(menu(face + " ▾", choices, {"aria-label": "Commands for: " + face}));
  }

  showPager(shown, total) {
    const first = (this.cursors.length - 1) * PAGE, after = this.found.next;
    const load = () => this.load().catch(fail);
    const previous = button("Previous", () => { this.cursors.pop(); load(); }, "previous");
    const next = button("Next", () => { this.cursors.push(after); load(); }, "next");
    previous.disabled = first === 0;
    next.disabled = !after;
    this.pager.hidden = !shown && first === 0;
    const turning = first > 0 || after;
    const said = turning ? `${number(first + 1)}–${number(first + shown)} of ${number(total)}`
      : `${number(total)} in this list`;
    const focused = this.pager.contains(document.activeElement) ? document.activeElement.textContent : null;
    this.pager.replaceChildren(
      ...(shown ? [el("span", {class: "hint"}, said)] : []), ...(turning ? [previous, next] : []));
    if (focused) (focused === "Next" && !next.disabled ? next : previous).focus();
  }

  showBulk() {
    const n = this.selected.size;
    this.bulk.hidden = n === 0;
    this.rows.showSelection();
    if (!n) return;
    const most = Math.min(this.found.total, MOST);
    const whole = n < most && this.found.workers.every((one) => this.selected.has(one.worker_id));
    const after = () => { this.selected.clear(); this.load().catch(fail); };
    const said = `${number(n)} selected`;
    if (this.bulk.dataset.said === said + whole) return;  // buttons keep the focus
    this.bulk.dataset.said = said + whole;
    const all = button(`Select all ${number(most)}`, (event) => this.selectAll(event.target), "quiet");
    this.bulk.replaceChildren(
      el("strong", {role: "status"}, said), whole ? all : "", el("span", {class: "gap"}),
      ...commands.buttons(() => commands.chosen([...this.selected]), after),
      button("Clear", () => { this.selected.clear(); this.showBulk(); }, "quiet"));
  }

  /** Select everything that the filter matches, page by page. */
  async selectAll(control) {
    control.disabled = true;
    const asked = JSON.stringify(this.filter);
    try {
      for (let after = null; this.selected.size < MOST;) {
        const found = await ask(this.query(after, 500));
        if (asked !== JSON.stringify(this.filter)) return;
        found.workers.forEach((one) => this.selected.size < MOST && this.selected.add(one.worker_id));
        after = found.next;
        if (!after) break;
      }
      this.showBulk();
    } catch (error) {
      control.disabled = false;
      fail(error);
    }
  }

  openDetails(id, pushed) {
    if (this.panel) this.panel.close();
    if (pushed) setQuery({worker: id}, true);
    this.panel = details(id, {after: () => this.load().catch(fail), onclose: () => {
      this.panel = null;
      setQuery({worker: ""});
    }});
  }
}
