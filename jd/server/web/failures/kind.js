// One kind of failure as a card: what, how often, where, when, by which values, and what can be done.

import {go} from "../app.js";
import {button, el} from "../common.js";
import {count, number, when} from "../format.js";
import {openAction} from "../jobactions.js";
import {ending, howOften, jobsOf, pieces, what, where} from "./words.js";

const ENOUGH = 3;  // jobs or attempts that say more than chance

const APART = ["lost", "preempted"];  // no failure of the script

const link = (filter) => "/jobs?filter=" + encodeURIComponent(filter);

/** What became of jobs that failed: a bar and the same in words. `stayed` is said of those that stay so. */
export function became({good, failed, again, jobs}, stayed = "stayed failed") {
  const parts = [["failed", failed, stayed], ["again", again, "tried again"],
    ["good", good, "came good later"]].filter(([, n]) => n);
  const piece = ([kind, n]) => {
    const made = el("i", {class: "of-" + kind});
    made.style.setProperty("flex-grow", String(n / jobs));
    return made;
  };
  const word = ([kind, n, text]) => el("span", {},
    el("i", {class: "swatch of-" + kind}), number(n) + " " + text);
  return el("div", {class: "became"}, el("div", {class: "became-bar", "aria-hidden": "true"},
    ...parts.map(piece)), el("div", {class: "became-words"}, ...parts.map(word)));
}

/** The card of a kind: {node, compare(found)}. `filter` is that of the page, `tried` how many of its jobs
 * have ended or failed, `hosts` how many there are; `done` is called when jobs are tried again. `compare`
 * shows what stands out, once it is known; of what is no failure of the script nothing is compared. */
export function kindCard(kind, {filter, tried, hosts, done}) {
  const jobs = jobsOf(filter, kind.id), {example} = kind, apart = APART.includes(kind.verdict);
  const attempts = count(kind.attempts, "attempt");
  const form = pieces(kind.form || "nothing was said").map((text, at) =>
    (at % 2 ? el("span", {class: "slot"}, text) : text));
  const values = el("div", {class: "failure-values"});
  const facts = [
    el("span", {class: apart ? "badge" : "badge bad"}, ending(kind)),
    place(where(kind.hosts, kind.hosts_total, kind.attempts, "hosts"),
      kind.hosts_total === 1 && hosts > 1 && kind.attempts >= ENOUGH),
    kind.workers_total > 1 && kind.workers_total !== kind.hosts_total
      ? el("span", {title: where(kind.workers, kind.workers_total, kind.attempts, "workers")},
        count(kind.workers_total, "worker")) : null,
    kind.gpus.length ? el("span", {title: "attempts by GPU"},
      gpusOf(kind)) : null,
    kind.attempts === 1 ? el("span", {}, when(kind.last))
      : el("span", {}, when(kind.first), " to ", when(kind.last))];
  const retry = kind.failed ? button("Retry " + (kind.failed === 1 ? "it" : "these " + number(kind.failed)),
    () => openAction({action: "retry", filter: jobs + " status=ABORTED", done})) : null;
  const node = el("li", {class: "card failure", "data-kind": kind.id},
    el("div", {class: "failure-count"},
      el("b", {}, number(kind.jobs)), el("span", {}, kind.jobs === 1 ? "job" : "jobs"),
      el("span", {class: "hint"}, apart ? attempts : `of ${number(tried)} · ${attempts}`),
      became(kind, apart ? "stayed aborted" : "stayed failed")),
    el("div", {class: "failure-what"},
      el("h2", {}, el("a", {class: "mono", href: link(jobs), title: "Show these jobs"}, ...form)),
      example.error && example.error !== kind.form
        ? el("p", {class: "mono failure-line"}, example.error) : null,
      el("p", {class: "failure-facts"}, ...facts), values),
    el("div", {class: "failure-acts"},
      el("a", {class: "button small", href: `/jobs/${example.job}?attempt=${example.attempt}`,
        title: `Attempt ${example.attempt} of job ${example.job}, the latest that failed so`}, "Its output"),
      retry));
  retry?.classList.add("small");
  node.addEventListener("click", (event) => {
    const aside = event.target.closest("a, button, dialog") || !getSelection().isCollapsed;
    if (!aside && !event.metaKey && !event.ctrlKey) go(link(jobs));
  });

  return {node, compare(found) {
    if (apart || !found) return undefined;
    const none = kind.jobs < ENOUGH ? null : el("p", {class: "hint"}, "No value of a parameter stands out.");
    if (!found.length) return values.replaceChildren(none || "");
    return values.replaceChildren(el("ul", {class: "standouts", "aria-label": "Values that stand out"},
      ...found.map((one) => standout(one, link(jobsOf(filter, kind.id, one))))));
  }};
}

// Their host is named where there are several.
function gpusOf({gpus, gpus_total: total, hosts, hosts_total: onHosts}) {
  const short = (name) => (onHosts === 1 ? name.slice(hosts[0].name.length + 1) : name);
  const n = gpus.reduce((sum, one) => sum + one.n, 0);
  return where(gpus.map((one) => ({...one, name: short(one.name)})), total, n, "GPUs");
}

const place = (text, alone) => (alone ? el("b", {class: "failure-alone"}, text) : el("span", {}, text));

// A value that stands out: its name, two shares as bars, the counts that they are of.
function standout(one, href) {
  const bar = (kind, n, of) => {
    const made = el("i", {class: kind});
    made.style.setProperty("--share", String(of ? n / of : 0));
    return made;
  };
  return el("li", {},
    el("a", {class: "mono", href, title: `${what(one)}: show these jobs`}, what(one)),
    el("span", {class: "failure-shares", "aria-hidden": "true"}, bar("with", one.failed, one.n),
      bar("others", one.others_failed, one.others)),
    el("span", {}, howOften(one)));
}
