// Why the latest attempt of a job has failed, and how many others failed so.

import {el} from "../common.js";
import {count, number} from "../format.js";

const MOST = 1000;  // the server counts no more

/** A line for the head of the job's page; nothing where its latest attempt has not failed. */
export function failureLine({error, alike}) {
  if (!alike) return null;
  const filter = encodeURIComponent("error=E" + alike.kind), others = alike.jobs - 1;
  const text = alike.jobs > MOST ? `more than ${number(MOST)} jobs failed like this`
    : `${count(alike.jobs, "job")} failed like this`;
  return el("div", {class: "banner bad job-failure", role: "note"},
    el("span", {class: "mono grow"}, error || "It has failed, and nothing was said."),
    others > 0 ? el("a", {href: "/jobs?filter=" + filter}, text) : null,
    el("a", {href: "/failures?filter=" + filter}, "why"));
}
