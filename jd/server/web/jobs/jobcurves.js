// The card of the curves that a job reports: a small plot for each metric, of one attempt or of several.

import {go} from "../app.js";
import {ask, button, el} from "../common.js";
import {colourOf, isDark} from "../charts/colours.js";
import {segments} from "../charts/controls.js";
import {ALONG} from "../charts/series.js";
import {smallCurves} from "../charts/smallcurves.js";

/** The card of a job: {node, attempts(list), poll(), close()}, hidden while nothing was reported.
 * `attempts` tells which attempts there are, the newest first, and asks; `poll` asks for what is new. */
export function jobCurves(id) {
  const state = {x: "step", folded: false,
    chosen: null,  // attempts, or null for the latest that has reported
    latest: null, running: false,  // the latest of all, and whether it runs
    attempts: []};  // those that have reported, the newest first
  const answers = new Map();  // of each attempt, what was told last
  const plots = smallCurves({
    open: (metric) => go("/curves?" + new URLSearchParams({metric, ids: id}))});
  const chosen = el("div", {class: "job-curves-bar"});
  const bar = el("div", {class: "job-curves-bar"}, plots.search, chosen);
  const body = el("div", {class: "card-body"}, plots.node);
  const fold = button("Hide", () => { state.folded = !state.folded; draw(); }, "small quiet");
  const node = el("section", {class: "card", id: "job-curves", "aria-label": "Curves", hidden: true},
    el("div", {class: "card-head"}, el("h2", {class: "grow"}, "Curves"), bar, fold), body);
  const repaint = () => draw();
  document.addEventListener("theme", repaint);
  let busy = false, again = false, closed = false;

  async function get(attempt) {
    const known = answers.get(attempt);
    // When it has ended that is new, also without further reports.
    const same = known && known.running === (state.running && attempt === state.latest);
    const query = new URLSearchParams({id, attempt, ...(same && {since: known.count})});
    const answer = await ask("job/curves?" + query);
    if (!answer.metrics) return;  // there is nothing new
    answers.set(attempt, answer);
    state.attempts = answer.attempts.slice().sort((a, b) => b - a);
  }

  async function poll() {
    again = true;  // what is asked for meanwhile, such as another attempt, is not lost
    if (busy || state.latest === null) return;
    busy = true;
    try {
      while (again && !closed) {
        again = false;
        await get(state.latest);
        for (const attempt of shownAttempts()) if (attempt !== state.latest) await get(attempt);
        if (!closed) draw();
      }
    } finally { busy = false; }
  }

  // ---- drawing

  const shownAttempts = () => state.chosen || state.attempts.slice(0, 1);

  function draw() {
    node.hidden = !state.attempts.length;
    if (node.hidden) return;
    controls();
    bar.hidden = body.hidden = state.folded;
    fold.textContent = state.folded ? "Show" : "Hide";
    fold.setAttribute("aria-expanded", String(!state.folded));
    plots.update(named(), state.x);
  }

  // The curves of the attempts that are shown, by metric.
  function named() {
    const attempts = shownAttempts().filter((attempt) => answers.has(attempt)).sort((a, b) => a - b);
    const found = new Map(), dark = isDark();
    for (const attempt of attempts) {
      const {metrics, running, started} = answers.get(attempt);
      const colour = colourOf(attempts.length > 1 ? state.attempts.indexOf(attempt) : 0, dark);
      for (const one of metrics) {
        if (!found.has(one.name)) found.set(one.name, []);
        found.get(one.name).push({...one, key: attempt, label: "Attempt " + attempt, colour, started, running,
          status: running ? "SERVED" : null});
      }
    }
    return found;
  }

  let controlled = "";
  function controls() {
    const facts = JSON.stringify([state.attempts, state.latest, state.chosen, state.x]);
    if (facts === controlled) return;
    controlled = facts;
    const shown = new Set(shownAttempts());
    const toggle = (attempt) => {
      if (shown.has(attempt)) shown.delete(attempt); else shown.add(attempt);
      state.chosen = shown.size ? [...shown] : null;
      poll().catch((error) => console.warn(error));
    };
    const chip = (attempt) => {
      const made = button(String(attempt), () => toggle(attempt), "chip");
      made.setAttribute("aria-pressed", String(shown.has(attempt)));
      made.setAttribute("aria-label", "Attempt " + attempt);
      return made;
    };
    const along = (x) => { state.x = x; draw(); };
    const several = state.attempts.length > 1 || state.attempts[0] !== state.latest;
    chosen.replaceChildren(
      ...(several ? [el("span", {class: "hint"}, "Attempts"),
        ...state.attempts.slice().reverse().map(chip)] : []),
      segments("Along", ALONG, state.x, along));
  }

  return {
    node, poll,
    attempts(list) {
      state.latest = list[0].number;
      state.running = !list[0].verdict;
      return poll();
    },
    close() {
      closed = true;
      document.removeEventListener("theme", repaint);
      plots.close();
    }};
}
