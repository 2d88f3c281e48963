// The head of the Jobs page: how far the experiment is. The figures are filters of the table.

import {el} from "../common.js";
import {count, duration, number, percent, statusName} from "../format.js";

const SHOWN = ["PENDING", "SERVED", "DONE", "ABORTED", "DELETED"];
const STACK = ["DONE", "ABORTED", "SERVED"];

/** {node, update(summary), press(statuses)}; `choose(status or null)` is called when a figure is clicked. */
export function overview(choose) {
  const share = el("b"), finished = el("span"), rest = el("span", {class: "hint"});
  const workers = el("a", {href: "/workers", class: "hint"});
  const bar = el("div", {class: "stack", role: "progressbar", "aria-label": "Finished jobs", "aria-valuemin": 0},
    ...STACK.map((status) => el("i", {class: statusName(status)})));
  const figures = new Map([null, ...SHOWN].map((status) => {
    const value = el("b", {}, "–");
    const tile = el("button", {type: "button", class: "tile", "aria-pressed": "false", onclick: () => choose(status)}, value,
      el("span", {class: status ? "status " + statusName(status) : false}, status ? statusName(status) : "all jobs"));
    return [status, {tile, value}];
  }));
  const node = el("section", {class: "card overview", "aria-label": "Progress"},
    el("div", {class: "how-far"}, share, el("div", {class: "grow"}, finished, rest), workers), bar,
    el("div", {class: "tiles"}, ...[...figures.values()].map(({tile}) => tile)));

  function update(summary) {
    const {jobs, total} = summary, end = summary.finished;
    share.textContent = total ? percent(end / total) : "–";
    finished.textContent = total ? number(end) + " of " + count(total, "job") + " finished" : "No jobs yet";
    rest.textContent = [summary.eta != null && end < total ? "about " + duration(summary.eta) + " left" : "",
      summary.per_hour ? count(Math.round(summary.per_hour), "job") + " per hour" : ""].filter(Boolean).join(" · ");
    const {busy, idle, paused} = summary.workers;
    workers.replaceChildren(...[[busy, "busy"], [idle, "idle"], [paused, "paused"]].filter(([n, name]) => n || name !== "paused")
      .map(([n, name]) => el("span", {}, el("b", {}, number(n)), " " + name)), " workers");
    bar.setAttribute("aria-valuemax", total);
    bar.setAttribute("aria-valuenow", end);
    STACK.forEach((status, at) => bar.children[at].style.setProperty("width", (total ? jobs[status] / total * 100 : 0) + "%"));
    for (const [status, {value}] of figures) value.textContent = number(status ? jobs[status] : total);
    figures.get("DELETED").tile.hidden = !jobs.DELETED && figures.get("DELETED").tile.getAttribute("aria-pressed") === "false";
  }

  return {node, update, press(statuses) {
    for (const [status, {tile}] of figures)
      tile.setAttribute("aria-pressed", String(status ? statuses.includes(status) : statuses.length === 0));
    if (statuses.includes("DELETED")) figures.get("DELETED").tile.hidden = false;
  }};
}
