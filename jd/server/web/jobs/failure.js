// Why the latest attempt of a job has failed, and how many others failed so.

import {el} from "../common.js";
import {count, number} from "../format.js";

const MOST = 1000;  // the server counts no more

// How an attempt ends that was interrupted, which is no failure of the script.
const APART = ["lost", "preempted"];

/** A line for the head of the job's page; nothing where its latest attempt has not failed. */
export function failureLine({error, alike, attempts}) {
  if (!alike) return null;
  const apart = APART.includes(attempts[0]?.verdict), like = apart ? "ended like this" : "failed like this";
  const filter = encodeURIComponent("error=E" + alike.kind), others = alike.jobs - 1;
  const text = alike.jobs > MOST ? `more than ${number(MOST)} jobs ${like}`
    : `${count(alike.jobs, "job")} ${like}`;
  return el("div", {class: `banner ${apart ? "warn" : "bad"} job-failure`, role: "note"},
    el("span", {class: "mono grow"}, error || "It has failed, and nothing was said."),
    others > 0 ? el("a", {href: "/jobs?filter=" + filter}, text) : null,
    el("a", {href: "/failures?filter=" + filter}, "why"));
}
