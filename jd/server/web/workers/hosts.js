// The workers by host: a line for each, with what can be told to all of its workers.

import {el, menu} from "../common.js";
import {number} from "../format.js";
import * as commands from "./commands.js";
import {load, since} from "./format.js";

const some = (n, kind) =>
  el("span", {class: n ? kind || false : "none"}, n ? number(n) : "–");

const COLUMNS = [
  {sort: "workers", head: "Workers", cell: (one) => number(one.workers)},
  {sort: "busy", head: "Busy", cell: (one) => some(one.busy)},
  {sort: "idle", head: "Idle", cell: (one) => some(one.idle)},
  {sort: "paused", head: "Paused", cell: (one) => some(one.paused)},
  {sort: "failing", head: "Failing", cell: (one) => some(one.failing, "badge bad")},
  {sort: "cpu", head: "CPU", cell: (one) => load(one.cpu)},
  {sort: "memory", head: "Memory", cell: (one) => load(one.memory)},
  {sort: "gpu", head: "GPU", cell: (one) => load(one.gpu)},
  {sort: "gpu_memory", head: "GPU memory", cell: (one) => load(one.gpu_memory)},
  {sort: "done", head: "Done", cell: (one) => number(one.done)},
  {sort: "failed", head: "Failed", cell: (one) => number(one.failed)},
  {sort: "seen", head: "Last seen", cell: (one, now) => since(now, one.seen)},
];

/** {node, update(found, now, sort)}. `onhost` shows the workers of a host, `onsort` sorts by a name; `after`
 * is called after a command. */
export function hostTable({onhost, onsort, after}) {
  const line = el("tr"), body = el("tbody"), more = el("p", {class: "hint wmore"});
  const table = el("table", {class: "data as-cards wtable"}, el("thead", {}, line), body);
  const node = el("div", {}, more,
    el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Hosts"}, table));
  let said = "";

  function head(columns, sort) {
    const name = sort.replace("-", ""), way = sort[0] === "-" ? "descending" : "ascending";
    const cell = (column, num) => el("th", {scope: "col", class: num ? "num" : false,
      "aria-sort": column.sort === name ? way : false},
    el("button", {type: "button", class: "sort", "data-key": "sort " + column.sort,
      onclick: () => onsort(column.sort)}, column.head));
    line.replaceChildren(cell({sort: "host", head: "Host"}), ...columns.map((one) => cell(one, true)),
      el("th", {scope: "col", class: "acts"}, el("span", {class: "sr"}, "Actions")));
  }

  function row(one, columns, now) {
    const open = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
      event.preventDefault();
      onhost(one.host);
    };
    const name = el("a", {href: "/workers?host=" + encodeURIComponent(one.host), class: "wname mono",
      "data-key": "host " + one.host, onclick: open}, one.host);
    const acts = menu("⋯", () => commands.choices(commands.onHost(one.host), after), {class: "quiet more",
      "data-key": "acts " + one.host, "aria-label": "Commands for the workers on " + one.host,
      title: "Commands"});
    return el("tr", {}, el("td", {class: "wfirst"}, name),
      ...columns.map((column) =>
        el("td", {class: "num", "data-label": column.head}, column.cell(one, now))),
      el("td", {class: "acts"}, acts));
  }

  return {
    node,
    update({hosts, total}, now, sort) {
      const shown = JSON.stringify([hosts, total, sort, Math.floor(now / 5)]);
      // A menu that is open goes with its row.
      if (shown === said || body.querySelector(".menu:popover-open")) return;
      said = shown;
      const columns = COLUMNS.filter(({sort: name}) =>
        !name.startsWith("gpu") || hosts.some((one) => one[name] != null));
      const focused = table.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      head(columns, sort);
      body.replaceChildren(...hosts.map((one) => row(one, columns, now)));
      more.hidden = total <= hosts.length;
      more.textContent = `The first ${number(hosts.length)} of ${number(total)} hosts: type a part of a name `
        + "to see others.";
      if (focused) table.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    },
  };
}
