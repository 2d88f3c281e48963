// The strip below the bar: what is going on with the whole experiment.

import {ask, button, el, fail} from "./common.js";
import {count, moment, number, percent} from "./format.js";

const DOING = {delete: "Deleting", restore: "Restoring", retry: "Retrying", abort: "Aborting",
  prioritise: "Prioritising", normal: "Lowering"};

// A bar of progress: `done` of `total`, labelled for those who do not see it.
function progress(done, total, label) {
  const bar = el("div", {class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0,
    "aria-valuemax": total, "aria-valuenow": done}, el("i"));
  bar.firstChild.style.setProperty("--share", total ? done / total : 0);
  return bar;
}

const doing = (text, {done, total}) => el("div", {class: "notice"},
  el("span", {}, text + " ", el("b", {}, number(done)), " of ", number(total), " jobs"),
  progress(done, total, text), el("span", {class: "hint"}, percent(total ? done / total : 0)));

/** Wrong PINs in words: how many, when, from where. */
export function wrongPins({count: n, first, last, addresses}) {
  const times = n > 1 ? `from ${moment(first)} to ${moment(last)}` : moment(last);
  return `${count(n, "wrong PIN")}, ${times}, from ${addresses.join(", ")}`;
}

const warning = (...content) => el("div", {class: "notice warn"}, ...content);

// Wrong PINs that the sign-in told of; they are shown until somebody has dismissed them.
function tried() {
  const kept = sessionStorage.getItem("wrong-pins");
  if (!kept) return null;
  const dismiss = button("Dismiss", () => {
    sessionStorage.removeItem("wrong-pins");
    made.remove();
  }, "small");
  const made = warning(
    el("span", {}, el("b", {}, "Before you signed in: "), wrongPins(JSON.parse(kept)),
      ". If that was not you, change the PIN."),
    el("a", {href: "/settings"}, "Settings"), dismiss);
  return made;
}

const paused = (because) => warning(
  el("span", {},
    el("b", {}, because ? "The experiment has paused itself:" : "The experiment is paused."),
    because ? ` ${because}.` : "", " Running jobs go on, new ones are not given out."),
  button("Resume", () => ask("settings", {paused: false}).catch(fail), "small"));

// The sweep has ended by its rule. Who goes on has the jobs tried that this has aborted.
const ended = ({because, jobs}) => warning(
  el("span", {}, el("b", {}, "The sweep has ended:"), ` ${because}.`,
    jobs ? ` ${count(jobs, "job")} that waited ${jobs === 1 ? "was" : "were"} aborted.` : "",
    " Running jobs go on."),
  el("a", {href: "/settings"}, "Change the rule"),
  button("Go on", () => goOn(jobs).catch(fail), "small"));

async function goOn(jobs) {
  await ask("settings", {paused: false});
  if (jobs) await ask("jobs/act", {action: "retry", filter: "by_rule=1", reason: "the sweep goes on"});
}

const failing = (workers) => warning(
  el("span", {}, el("b", {}, count(workers, "worker")),
    (workers === 1 ? " fails" : " fail") + " again and again while others succeed."),
  el("a", {href: "/workers?state=failing"}, "Look"));

// Jobs that wait for a worker that has what they need.
const stranded = ({needs, jobs}) => warning(
  el("span", {}, el("b", {}, count(jobs, "job")),
    ` ${jobs === 1 ? "needs" : "need"} ${needs.join(" and ")}: no living worker has `
    + `${needs.length > 1 ? "that all" : "it"}.`),
  el("a", {href: "/workers"}, "Workers"));

/** A listener for `live.on` that keeps `place` up to date. */
export function showNotices(place) {
  let before = "";
  return (summary) => {
    const now = JSON.stringify([
      summary.paused, summary.paused_because, summary.creating, summary.bulk, summary.workers.failing,
      summary.cannot_run, summary.ended]);
    if (now === before) return;
    before = now;
    const found = [tried()].filter(Boolean);
    if (summary.paused && summary.ended) found.push(ended(summary.ended));
    else if (summary.paused) found.push(paused(summary.paused_because));
    if (summary.creating) found.push(doing("Creating", summary.creating));
    if (summary.bulk) found.push(doing(DOING[summary.bulk.action] || "Changing", summary.bulk));
    if (summary.workers.failing) found.push(failing(summary.workers.failing));
    found.push(...summary.cannot_run.map(stranded));
    place.replaceChildren(...found);
  };
}
