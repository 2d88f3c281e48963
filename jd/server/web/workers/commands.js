// What workers are told: each command, whom it reaches before it is given, and what menus offer.

import {ask, button, dialog, el, toast} from "../common.js";
import {count, number} from "../format.js";

const COMMANDS = {
  run: {verb: "Resume",
    means: "They take jobs again. A drain or stop that is still queued goes first: "
      + "cancel it to take it back."},
  pause: {verb: "Pause",
    means: "A running job is finished; then no job is taken until Resume."},
  drain: {verb: "Drain", danger: true,
    means: "A running job is finished; then the worker exits. It can only be started again on its machine."},
  stop: {verb: "Stop", danger: true,
    means: "An idle worker exits at once, a busy one when its job has ended: no job is killed. "
      + "It can only be started again on its machine."},
  cancel: {verb: "Cancel the queued command of",
    means: "What was queued and not yet taken by the worker is taken back; it goes on as before."},
};

const NAMES = 6;  // workers named in a dialog; the rest is a number

/** Whom a command is for: `body` for the server, `title` for people; `single` where it is one worker. */
export const one = (id) => ({body: {workers: [id]}, title: id, single: true});
export const chosen = (ids) => ({body: {workers: ids}, title: "the selected workers"});
export const everybody = () => ({body: {all: true}, title: "all workers"});
export const onHost = (host, instance) => (instance
  ? {body: {host, instance}, title: `the workers of ${host}, instance ${instance}`}
  : {body: {host}, title: "the workers on " + host});

/** Ask whether `action` shall be given, showing whom it reaches. `after` is called when it was. */
export function command(action, scope, after) {
  const {verb, means, danger} = COMMANDS[action];
  const reach = el("div", {class: "reach", "aria-live": "polite"},
    el("p", {class: "hint"}, "Looking whom this reaches…"));
  const {go, box} = dialog({
    title: `${verb} ${scope.title}?`,
    content: [el("p", {}, means), reach], action: verb.split(" ")[0], danger,
    submit: async () => {
      const {affected} = await ask("workers/command", {action, ...scope.body});
      toast(action === "cancel" ? `Taken back for ${count(affected, "worker")}`
        : `${verb} is queued for ${count(affected, "worker")}`);
      return after;
    }});
  if (action === "cancel") box.querySelector(".foot button").textContent = "Leave it queued";
  go.disabled = true;
  ask("workers/command", {action, ...scope.body, preview: true}).then((found) => {
    reach.replaceChildren(...reached(found, action, scope));
    go.disabled = found.affected === 0;
    if (found.affected) {
      go.textContent = action === "cancel" ? "Take it back" : `${verb} ${count(found.affected, "worker")}`;
      if (!danger) go.focus();
    }
  }, (error) => reach.replaceChildren(el("p", {class: "problem"}, error.message)));
}

function reached({affected, workers}, action, scope) {
  if (!affected) {
    const why = action === "cancel" ? "Nothing is queued any more: the worker has taken it, or has left."
      : "No active worker is reached: it may have left, or been told this or more already.";
    return [el("p", {class: "note"}, why)];
  }
  if (scope.single) return [];
  const named = workers.slice(0, NAMES), more = affected - named.length;
  return [
    el("p", {}, "This reaches ", el("strong", {}, count(affected, "worker")), ":"),
    el("ul", {class: "wnames"}, ...named.map((id) => el("li", {class: "mono"}, id)),
      more > 0 ? el("li", {class: "hint"}, `and ${number(more)} more`) : null)];
}

/** Bring back the jobs that a worker failed, after showing how many. */
export function retryFailed(worker, after) {
  const running = worker.desired_state === "run" && !worker.left_at;
  const pause = el("input", {type: "checkbox", checked: running});
  const found = el("p", {"aria-live": "polite", class: "hint"}, "Counting its failed jobs…");
  const first = el("label", {class: "check"},
    pause, "Pause this worker first, so that it does not take them again");
  const {go} = dialog({
    title: `Retry what ${worker.worker_id} failed?`, action: "Retry",
    content: running ? [found, first] : [found],
    submit: async () => {
      if (running && pause.checked) {
        await ask("workers/command", {action: "pause", workers: [worker.worker_id]});
      }
      const {changed} = await ask("workers/retry-failed", {worker_id: worker.worker_id});
      toast(`${count(changed, "job")} pending again`);
      return after;
    }});
  go.disabled = true;
  ask("workers/retry-failed", {worker_id: worker.worker_id, preview: true}).then(({matching}) => {
    found.className = "";
    go.disabled = !matching;
    if (!matching) {
      found.textContent = "No aborted job was failed last by this worker.";
      return;
    }
    found.textContent = `${count(matching, "job")} aborted after failing on this worker `
      + `${matching === 1 ? "is" : "are"} put back to pending, with failures counted anew.`;
    go.textContent = "Retry " + count(matching, "job");
    go.focus();
  }, (error) => {
    found.className = "problem";
    found.textContent = error.message;
  });
}

// By precedence: what is queued gives way only to a later one.
const FOUR = ["run", "pause", "drain", "stop"];

// The commands that would be something new for a worker: some of `run`, `pause`, `drain`, `stop`, `cancel`.
function possible(worker) {
  if (worker.left_at != null) return [];
  if (!worker.queued) return FOUR.filter((action) => action !== worker.desired_state);
  return ["cancel", ...FOUR.slice(FOUR.indexOf(worker.desired_state) + 1)];
}

/** What a menu offers for one worker, as common.js `menu` takes it. */
export function entries(worker, after) {
  const cancel = `Cancel queued ${worker.queued || "command"}…`;
  const made = possible(worker).map((action) => [
    action === "cancel" ? cancel : COMMANDS[action].verb + "…",
    () => command(action, one(worker.worker_id), after), COMMANDS[action].danger && "danger"]);
  if (worker.jobs_failed) made.push(null, ["Retry what it failed…", () => retryFailed(worker, after)]);
  return made;
}

/** The four commands for many workers, as menu entries. */
export const choices = (scope, after) => FOUR.map((action) =>
  [COMMANDS[action].verb + "…", () => command(action, scope, after), COMMANDS[action].danger && "danger"]);

/** The same as buttons; `scope()` is asked when one is pressed. */
export const buttons = (scope, after) => FOUR.map((action) =>
  button(COMMANDS[action].verb, () => command(action, scope(), after), COMMANDS[action].danger && "danger"));
