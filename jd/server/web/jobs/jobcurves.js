// The card of the curves that a job reports: a small plot for each metric, of one attempt or of several.

import {go} from "../app.js";
import {ask, button, el} from "../common.js";
import {colourOf, isDark} from "../charts/colours.js";
import {segments} from "../charts/controls.js";
import {curvesPlot} from "../charts/curves.js";
import {ALONG, wantsLogUp} from "../charts/series.js";
import {count, metric as figure} from "../format.js";

const FEW = 6;  // metrics that are shown before somebody asks for all
const SEARCH_FROM = 9;  // metrics from which there is a box to search them
const TALL = 168;  // pixels

const curvesPath = (metric, id) => "/curves?" + new URLSearchParams({metric, ids: id});

/** The card of a job: {node, attempts(numbers), poll(), close()}, hidden while nothing was reported.
 * `attempts` tells which attempts there are, the newest first, and asks; `poll` asks for what is new. */
export function jobCurves(id) {
  const state = {x: "step", zoom: null, all: false, search: "", folded: false,
    chosen: null,  // attempts, or null for the latest that has reported
    latest: null, attempts: []};  // the latest, and those that have reported, the newest first
  const answers = new Map();  // of each attempt, what was told last
  const plots = new Map();  // by metric
  const bar = el("div", {class: "job-curves-bar"});
  const box = el("input", {type: "search", class: "job-curves-search", placeholder: "Find a metric",
    "aria-label": "Find a metric", hidden: true,
    oninput: () => { state.search = box.value.trim().toLowerCase(); draw(); }});
  const grid = el("div", {class: "job-curves"});
  const more = button("", () => { state.all = !state.all; draw(); }, "small quiet");
  const none = el("p", {class: "hint", hidden: true}, "No metric has such a name.");
  const body = el("div", {class: "card-body"}, none, grid, more);
  const fold = button("Hide", () => { state.folded = !state.folded; draw(); }, "small quiet");
  const node = el("section", {class: "card", id: "job-curves", "aria-label": "Curves", hidden: true},
    el("div", {class: "card-head"}, el("h2", {class: "grow"}, "Curves"), box, bar, fold), body);
  const repaint = () => draw();
  document.addEventListener("theme", repaint);
  let busy = false, closed = false;

  async function get(attempt) {
    const known = answers.get(attempt);
    const query = new URLSearchParams({id, attempt, ...(known && {since: known.count})});
    const answer = await ask("job/curves?" + query);
    if (!answer.metrics) return;  // there is nothing new
    answers.set(attempt, answer);
    state.attempts = answer.attempts.slice().sort((a, b) => b - a);
  }

  async function poll() {
    if (busy || closed || state.latest === null) return;
    busy = true;
    try {
      await get(state.latest);
      for (const attempt of shownAttempts()) if (attempt !== state.latest) await get(attempt);
      if (!closed) draw();
    } finally { busy = false; }
  }

  // ---- drawing

  const shownAttempts = () => state.chosen || state.attempts.slice(0, 1);

  function draw() {
    const attempts = shownAttempts().filter((attempt) => answers.has(attempt));
    const names = [...new Set(attempts.flatMap((one) => answers.get(one).metrics.map(({name}) => name)))];
    node.hidden = !state.attempts.length;
    if (node.hidden) return;
    controls();
    const found = names.filter((name) => name.toLowerCase().includes(state.search));
    const shown = state.all || state.search ? found : found.slice(0, FEW);
    box.hidden = names.length < SEARCH_FROM || state.folded;
    bar.hidden = body.hidden = state.folded;
    none.hidden = found.length > 0;
    none.textContent = names.length ? "No metric has such a name." : "This attempt has reported nothing.";
    more.hidden = Boolean(state.search) || found.length <= FEW;
    more.textContent = state.all ? "Show fewer" : `Show all ${count(found.length, "metric")}`;
    fold.textContent = state.folded ? "Show" : "Hide";
    fold.setAttribute("aria-expanded", String(!state.folded));
    for (const [name, plot] of plots) {
      if (shown.includes(name)) continue;
      plot.close();
      plots.delete(name);
    }
    for (const name of shown) plotOf(name).update(viewOf(name, attempts));
    const wanted = shown.map((name) => plots.get(name).node);
    if (wanted.length !== grid.children.length || wanted.some((one, at) => grid.children[at] !== one)) {
      grid.replaceChildren(...wanted);
    }
  }

  function viewOf(name, attempts) {
    const curves = attempts.slice().sort((a, b) => a - b).flatMap((attempt) => {
      const answer = answers.get(attempt), one = answer.metrics.find((metric) => metric.name === name);
      if (!one) return [];
      const there = one.value.filter((value) => value !== null);
      const ends = there.length ? [Math.min(...there), Math.max(...there)] : [null, null];
      return [{...one, key: attempt, label: "Attempt " + attempt, attempt, started: answer.started,
        running: answer.running, last: there.length ? there[there.length - 1] : null, min: ends[0],
        max: ends[1], status: answer.running ? "SERVED" : null}];
    });
    const dark = isDark();
    const [one] = curves, words = one && one.running ? "now " : "last ";
    plotOf(name).say(curves.length === 1 && one.last !== null ? words + figure(one.last) : "");
    return {metric: name, less: true, x: state.x, smooth: 0, logX: false, logY: wantsLogUp(curves),
      zoom: state.zoom, scale: null, curves: curves.map((curve) => ({...curve, rank: curve.attempt,
        colour: colourOf(curves.length > 1 ? state.attempts.indexOf(curve.attempt) : 0, dark)}))};
  }

  function plotOf(name) {
    if (!plots.has(name)) {
      plots.set(name, curvesPlot({title: name, tall: TALL, small: true,
        open: () => go(curvesPath(name, id)),
        // The range along x is that of all of them.
        zoomed: (zoom) => {
          state.zoom = zoom && Number.isFinite(zoom.from) ? {...zoom, low: NaN, high: NaN} : null;
          draw();
        }}));
    }
    return plots.get(name);
  }

  let controlled = "";
  function controls() {
    const facts = JSON.stringify([state.attempts, state.latest, state.chosen, state.x]);
    if (facts === controlled) return;
    controlled = facts;
    const chosen = new Set(shownAttempts());
    const toggle = (attempt) => {
      if (chosen.has(attempt)) chosen.delete(attempt); else chosen.add(attempt);
      state.chosen = chosen.size ? [...chosen] : null;
      poll().catch((error) => console.warn(error));
    };
    const chip = (attempt) => {
      const made = button(String(attempt), () => toggle(attempt), "chip");
      made.setAttribute("aria-pressed", String(chosen.has(attempt)));
      made.setAttribute("aria-label", "Attempt " + attempt);
      return made;
    };
    const along = (x) => { state.x = x; state.zoom = null; draw(); };
    const several = state.attempts.length > 1 || state.attempts[0] !== state.latest;
    bar.replaceChildren(
      ...(several ? [el("span", {class: "hint"}, "Attempts"),
        ...state.attempts.slice().reverse().map(chip)] : []),
      segments("Along", ALONG, state.x, along));
  }

  return {
    node, poll,
    attempts(numbers) {
      state.latest = numbers[0];
      return poll();
    },
    close() {
      closed = true;
      document.removeEventListener("theme", repaint);
      for (const plot of plots.values()) plot.close();
    }};
}
