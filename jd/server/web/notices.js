// The strip below the bar: what is going on with the whole experiment.

import {ask, button, el, fail} from "./common.js";
import {count, moment, number, percent} from "./format.js";

const DOING = {delete: "Deleting", restore: "Restoring", retry: "Retrying", abort: "Aborting", prioritise: "Prioritising", normal: "Lowering"};

/** A bar of progress: `done` of `total`, labelled for those who do not see it. */
export function progress(done, total, label) {
  const bar = el("div", {class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0,
    "aria-valuemax": total, "aria-valuenow": done}, el("i"));
  bar.firstChild.style.setProperty("--share", total ? done / total : 0);
  return bar;
}

const doing = (text, {done, total}) => el("div", {class: "notice"},
  el("span", {}, text + " ", el("b", {}, number(done)), " of ", number(total), " jobs"),
  progress(done, total, text), el("span", {class: "hint"}, percent(total ? done / total : 0)));

/** Wrong PINs in words: how many, when, from where. */
export const wrongPins = ({count: n, first, last, addresses}) => `${count(n, "wrong PIN")}, `
  + `${n > 1 ? `from ${moment(first)} to ${moment(last)}` : moment(last)}, from ${addresses.join(", ")}`;

// What the sign-in told; it is shown until somebody has seen it.
function tried() {
  const kept = sessionStorage.getItem("wrong-pins");
  if (!kept) return null;
  const made = el("div", {class: "notice warn"}, el("span", {}, el("b", {}, "Before you signed in: "),
    wrongPins(JSON.parse(kept)), ". If that was not you, change the PIN."),
  el("a", {href: "/settings"}, "Settings"),
  button("Dismiss", () => { sessionStorage.removeItem("wrong-pins"); made.remove(); }, "small"));
  return made;
}

/** A listener for `live.on` that keeps `place` up to date. */
export function showNotices(place) {
  let before = "";
  return (summary) => {
    const now = JSON.stringify([summary.paused, summary.creating, summary.bulk, summary.workers.failing]);
    if (now === before) return;
    before = now;
    const found = [tried()].filter(Boolean);
    if (summary.paused) found.push(el("div", {class: "notice warn"}, el("span", {}, el("b", {}, "The experiment is paused."),
      " Running jobs go on, new ones are not given out."),
      button("Resume", () => ask("settings", {paused: false}).catch(fail), "small")));
    if (summary.creating) found.push(doing("Creating", summary.creating));
    if (summary.bulk) found.push(doing(DOING[summary.bulk.action] || "Changing", summary.bulk));
    if (summary.workers.failing) found.push(el("div", {class: "notice warn"}, el("span", {}, el("b", {}, count(summary.workers.failing, "worker")),
      summary.workers.failing === 1 ? " fails again and again while others succeed." : " fail again and again while others succeed."),
      el("a", {href: "/workers?state=failing"}, "Look")));
    place.replaceChildren(...found);
  };
}
