// The end of a worker's log, which the worker sends while somebody looks.

import {ask, button, copyButton, el} from "../common.js";
import {duration} from "../format.js";

const EVERY = 2000;  // milliseconds between two looks
const LATE = 15;  // seconds after which a log is old, or is not to come

/** A button that has the log shown and followed. Gives {node, close()}. */
export function workerLog(id) {
  const box = el("pre", {class: "code wlog", tabindex: 0, role: "log", "aria-label": "Log of " + id,
    "aria-live": "off"});
  const said = el("p", {class: "hint", role: "status"});
  const begin = button("Follow its log", () => (timer ? stop() : follow()), "small");
  const copy = copyButton(box, "small");
  const node = el("section", {class: "wlogs"}, el("div", {class: "toolbar"},
    el("h3", {class: "grow"}, "Log"), copy, begin), said, box);
  let timer = 0, since = 0, text = null;

  function stop() {
    clearInterval(timer);
    timer = 0;
    show();
  }

  function follow() {
    since = performance.now();
    timer = setInterval(() => { if (!document.hidden) look(); }, EVERY);
    show();
    look();
  }

  async function look() {
    try {
      const found = await ask("worker/log?id=" + encodeURIComponent(id));
      if (timer) show(found);
    } catch (error) {
      if (timer) said.textContent = error.message;
    }
  }

  function show(found) {
    box.hidden = copy.hidden = text === null && (!found || found.text === null);
    begin.textContent = timer ? "Stop" : "Follow its log";
    said.textContent = !timer ? "" : words(found);
    if (!found || found.text === null || found.text === text) return;
    const atEnd = text === null || box.scrollHeight - box.scrollTop - box.clientHeight < 24;
    text = found.text;
    box.textContent = text;
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  function words(found) {
    if (found && found.text !== null) {
      return found.age < LATE ? "" : `This is of ${duration(found.age)} ago: the worker sends nothing new.`;
    }
    return performance.now() - since < LATE * 1000 ? "Asking the worker for it…"
      : "The worker sends none: it may be of another make, or not reach the server. On its machine "
        + "jd_worker_cli worker-logs shows it.";
  }

  show();
  return {node, close: stop};
}
