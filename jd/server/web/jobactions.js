// What can be done to jobs, and the dialog that says what it will do before it is done.

import {ask, dialog, el, fail, field, toast} from "./common.js";
import {count, number, status, STATUSES} from "./format.js";

/** By action: its verb, its past, what it means, which statuses it takes. */
export const ACTIONS = {
  retry: {verb: "Retry", past: "retried", takes: ["ABORTED", "DONE"],
    text: "They become pending again and their failures are forgotten. From scratch: with an empty "
      + "directory, no checkpoint and no results; files of earlier attempts stay to be looked at."},
  abort: {verb: "Abort", past: "aborted", takes: ["PENDING", "SERVED"], danger: true,
    text: "Pending jobs are not run; the scripts of running ones are stopped "
      + "at their worker's next heartbeat, within a minute."},
  prioritise: {verb: "Prioritise", past: "put first", takes: ["PENDING"],
    text: "They are given out before all other pending jobs."},
  normal: {verb: "Lower to normal", past: "put back in line", takes: ["PENDING"],
    text: "They are given out in their turn again."},
  delete: {verb: "Delete", past: "deleted", takes: ["PENDING", "DONE", "ABORTED"], danger: true,
    text: "They are hidden and not run; Restore brings them back."},
  restore: {verb: "Restore", past: "restored", takes: ["DELETED"],
    text: "They get the status back that they had before they were deleted."},
  tag: {verb: "Tag", past: "tagged", takes: STATUSES,
    text: "Short words of letters, digits, . _ and -, by which jobs are found again: filter by tag=word."},
};

/** Ask the person, then do `action` to jobs: those of `ids`, or those that match `filter`.
 * `done(answer)` is called when the server has done it. */
export function openAction({action, ids, filter, done}) {
  const known = ACTIONS[action], target = ids ? {ids} : {filter};
  const what = el("div", {class: "preview", "aria-live": "polite"}, el("p", {class: "hint"}, "Counting…"));
  const reason = field("Reason (optional, kept in each job's history)", {maxlength: 500});
  const start = action === "retry" ? startChoice() : action === "tag" ? tagFields() : null;
  const {go, box} = dialog({
    title: known.verb + " " + targetName(ids) + "?", action: known.verb, danger: known.danger,
    content: [what, el("p", {class: "hint"}, known.text), ...(start ? [start.node] : []), reason.node],
    submit: async () => {
      const order = {action, ...target, ...(start ? start.read() : {}), reason: reason.input.value};
      const sent = ask("jobs/act", order).then((answer) => {
        told(known, answer);
        if (done) done(answer);
      });
      // Many jobs take a while: the strip at the top of the page shows the progress.
      if (ids) await sent;
      else sent.catch(fail);
    }});
  go.disabled = true;
  const stopping = new AbortController();
  box.addEventListener("close", () => stopping.abort());
  ask("jobs/act", {action, ...target, preview: true}, stopping.signal).then((found) => {
    what.replaceChildren(...preview(known, found));
    if (start) start.fit?.(found.by_status);
    go.disabled = found.eligible === 0;
    go.textContent = known.verb + (found.eligible > 1 ? " " + count(found.eligible, "job") : "");
  }, (error) => {
    if (error.name !== "AbortError") what.replaceChildren(el("p", {class: "problem"}, error.message));
  });
}

// Where jobs that are retried begin: {node, fit(by_status), read()}; the first choice is what the server does
// without one.
function startChoice() {
  const ways = {
    usual: ["done jobs from scratch, others from their last checkpoint", {}],
    scratch: ["from scratch", {keep_checkpoint: false}],
    keep: ["from the last checkpoint, if there is one", {keep_checkpoint: true}]};
  const select = el("select", {id: "retry-start"});
  const offer = (names) => select.replaceChildren(
    ...names.map((name) => el("option", {value: name}, ways[name][0])));
  offer(["usual", "scratch", "keep"]);
  return {
    node: el("div", {}, el("label", {for: "retry-start"}, "Begin"), select),
    fit({DONE: done, ABORTED: aborted}) {
      if (done && !aborted) offer(["scratch", "keep"]);
      else if (!done && aborted) offer(["keep", "scratch"]);
    },
    read: () => ways[select.value][1],
  };
}

// Which tags jobs get, and which are taken from them: {node, read()}.
function tagFields() {
  const plain = {maxlength: 1100, autocomplete: "off", autocapitalize: "none", spellcheck: "false"};
  const add = field("Add", {placeholder: "baseline, round-2", ...plain}), remove = field("Remove", plain);
  return {node: el("div", {class: "tag-fields"}, add.node, remove.node),
    read: () => ({add: words(add.input.value), remove: words(remove.input.value)})};
}

/** The words of a text that has blanks or commas between them. */
export const words = (text) => text.split(/[\s,]+/).filter(Boolean);

function targetName(ids) {
  if (!ids) return "all jobs that match";
  return ids.length === 1 ? "job " + ids[0] : count(ids.length, "job");
}

// Say what was done. Where nothing was, somebody else has done something to these jobs meanwhile.
function told({past}, {changed, skipped}) {
  if (skipped && !changed) {
    const so = skipped === 1 ? "is so already, or its" : "are so already, or their";
    toast(`No job was ${past}: ${count(skipped, "job")} ${so} status does not allow it any more.`, true);
  } else toast(count(changed, "job") + " " + past + (skipped ? `; ${number(skipped)} left alone` : ""));
}

function preview(known, found) {
  const left = found.matching - found.eligible;
  const parts = STATUSES.filter((name) => found.by_status[name]).map((name) =>
    el("li", {class: known.takes.includes(name) ? false : "none"},
      status(name), el("b", {}, number(found.by_status[name]))));
  const subject = found.matching === 1 ? "This job cannot be " : "None of these jobs can be ";
  const none = subject + known.past + " now.";
  const some = number(found.eligible) + " of " + number(found.matching) + " will be " + known.past + "; "
    + (left === 1 ? "one is" : number(left) + " are") + " left alone.";
  const said = found.eligible === 0 ? none : left ? some : null;
  return [el("ul", {class: "counts"}, ...parts), ...(said ? [el("p", {}, said)] : [])];
}
