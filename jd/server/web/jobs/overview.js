// The head of the Jobs page: how far the experiment is. The figures are filters of the table.

import {el} from "../common.js";
import {count, number, percent, statusName} from "../format.js";
import {live} from "../live.js";
import {hands, outlook, returning} from "./outlook.js";

const SHOWN = ["PENDING", "SERVED", "DONE", "ABORTED", "DELETED"];
const STACK = ["DONE", "ABORTED", "SERVED"];

/** {node, update(summary), press(statuses)}; `choose(status or null)` is called when a figure is clicked. */
export function overview(choose) {
  const share = el("b"), finished = el("span"), rest = el("span", {class: "hint"});
  const workers = el("a", {href: "/workers", class: "hint"});
  const bar = el("div",
    {class: "stack", role: "progressbar", "aria-label": "Finished jobs", "aria-valuemin": 0},
    ...STACK.map((status) => el("i", {class: statusName(status)})));
  const figures = new Map([null, ...SHOWN].map((status) => {
    const value = el("b", {}, "–");
    const name = status ? el("span", {class: "status " + statusName(status)}, statusName(status))
      : el("span", {}, "all jobs");
    const tile = el("button", {type: "button", class: "tile", "aria-pressed": "false",
      onclick: () => choose(status)}, value, name);
    return [status, {tile, value}];
  }));
  const back = el("span", {class: "hint"});
  figures.get("ABORTED").tile.append(back);
  const why = el("a", {class: "tile-why", href: "/failures", title: "Why jobs fail", hidden: true}, "why?");
  const node = el("section", {class: "card overview", "aria-label": "Progress"},
    el("div", {class: "how-far"}, share, el("div", {class: "grow"}, finished, rest), workers),
    bar,
    el("div", {class: "tiles"}, ...[...figures].map(([status, {tile}]) =>
      (status === "ABORTED" ? el("div", {class: "tile-with"}, tile, why) : tile))));

  function update(summary) {
    const {jobs, total} = summary, end = summary.finished;
    share.textContent = total ? percent(end / total) : "–";
    finished.textContent = total ? number(end) + " of " + count(total, "job") + " finished" : "No jobs yet";
    const {busy, idle, active} = summary.workers;
    const hourly = busy || idle ? Math.round(summary.per_hour || 0) : 0;
    const rate = hourly ? count(hourly, "job") + " per hour" : "";
    rest.textContent = [outlook(summary, live.now()), rate].filter(Boolean).join(" · ");
    const states = hands(summary.workers);
    workers.replaceChildren(
      ...states.map(([n, name]) => el("span", {}, el("b", {}, number(n)), " " + name)),
      active ? " workers" : states.length ? "" : "no workers yet");
    bar.setAttribute("aria-valuemax", total);
    bar.setAttribute("aria-valuenow", end);
    STACK.forEach((status, at) => {
      // What is over is as long as the percentage says: a job that comes back is not.
      const n = jobs[status] - (status === "ABORTED" ? summary.coming_back : 0);
      const width = total ? n / total * 100 : 0;
      bar.children[at].style.setProperty("width", width + "%");
    });
    for (const [status, {value}] of figures) value.textContent = number(status ? jobs[status] : total);
    back.textContent = returning(summary);
    why.hidden = !jobs.ABORTED;
    const deleted = figures.get("DELETED").tile;
    deleted.hidden = !jobs.DELETED && deleted.getAttribute("aria-pressed") === "false";
  }

  function press(statuses) {
    for (const [status, {tile}] of figures) {
      const pressed = status ? statuses.includes(status) : statuses.length === 0;
      tile.setAttribute("aria-pressed", String(pressed));
    }
    if (statuses.includes("DELETED")) figures.get("DELETED").tile.hidden = false;
  }

  return {node, update, press};
}
