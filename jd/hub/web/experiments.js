// The page Experiments: those that one owns or shares, their job servers and dashboards.

import {$, ask, askNow, button, dialog, el, empty, fail, field, secret, toast} from "./common.js";
import {actions, ago, frame, keepFresh, show, table} from "./page.js";

const SERVERS = {online: ["online", "good"], silent: ["silent", "warn"], none: ["none yet", ""]};
const HEADS = ["Name", "Job server", "Last activity", "Shared", ""];

async function load() {
  const {now, experiments} = await askNow("experiments");
  if (experiments.length) return show(table(HEADS, experiments.map((one) => row(one, now))));
  return show(empty("No experiments yet",
    "An experiment is one parameter sweep: its job server registers here, and its workers find it by name.",
    button("Create your first experiment", create, "primary")));
}

function row(one, now) {
  const [text, kind] = SERVERS[one.server];
  const seen = one.server === "silent" ? el("small", {}, "last seen ", ago(now, one.server_seen_at)) : null;
  const pin = one.pin_waits ? el("small", {}, "new PIN waits for it") : null;
  const server = el("div", {}, el("span", {class: "state " + kind}, text), seen, pin);
  const own = one.own ? [
    button("Share", () => share(one)),
    button("Reset dashboard PIN", () => resetPin(one)),
    button("Delete", () => remove(one), "danger")] : [];
  return {cells: [
    one.name, server, ago(now, one.last_activity), shared(one), actions(dashboard(one), ...own)]};
}

function shared(one) {
  if (!one.own) return el("span", {class: "cut", title: one.owner}, "by " + one.owner);
  return one.shared_with.length ? "with " + one.shared_with.length : "–";
}

function dashboard(one) {
  if (!/^https?:\/\//i.test(one.dashboard_url || "")) return null;
  return el("a", {class: "button", href: one.dashboard_url, target: "_blank", rel: "noopener noreferrer",
    "aria-label": "Dashboard of " + one.name}, "Dashboard ↗");
}

function create() {
  const name = field("Name", {maxlength: 47, placeholder: "digits-tune"});
  const rule = "2 to 47 of a-z, 0-9 and -, the first a letter. Workers join by this name.";
  let timer = 0, asked = 0;
  name.say(rule);
  name.input.addEventListener("input", () => {
    clearTimeout(timer);
    const text = name.input.value, number = (asked += 1);
    if (!text) return name.say(rule);
    timer = setTimeout(async () => {
      try {
        const found = await ask("experiments/check", {name: text});
        if (number !== asked) return;  // a later question may have been answered first
        if (found.free) name.say(text + " is free", "good");
        else name.say(found.reason, "bad");
      } catch (error) { name.say(error.message, "bad"); }
    }, 200);
  });
  dialog({title: "New experiment", content: [name.node], action: "Create", submit: async () => {
    clearTimeout(timer);
    asked += 1;
    name.say(rule);  // what is wrong with the name is said once
    const made = await ask("experiments", {name: name.input.value});
    toast("Experiment " + made.name + " is created");
    load().catch(fail);
  }});
}

function share(one) {
  const email = field("Email address", {type: "email", placeholder: "colleague@example.org"});
  const people = el("ul", {class: "people", "aria-label": "Shared with"});
  const path = "experiments/" + encodeURIComponent(one.name);
  const edit = el("input", {type: "checkbox", id: "edit"});
  const fill = (shares) => people.replaceChildren(...shares.map(({email: who, role}) =>
    el("li", {}, role === "edit" ? who + " – may edit jobs" : who,
      button("Remove", () => unshare(who), "danger quiet"))));
  const unshare = async (who) => {
    try {
      fill((await ask(path + "/unshare", {email: who})).shared_with);
      toast(who + " has no access any more");
    } catch (error) { fail(error); }
  };
  fill(one.shared_with);
  dialog({title: "Share " + one.name, action: "Share", close: () => load().catch(fail),
    content: [
      el("p", {class: "hint"}, "Their workers may join this experiment and run its jobs. "
        + "Share again to change what they may."),
      email.node,
      el("label", {class: "check", for: "edit"}, edit,
        "May also create and see jobs, and download their files"),
      people],
    submit: async () => {
      const role = edit.checked ? "edit" : "work";
      fill((await ask(path + "/share", {email: email.input.value, role})).shared_with);
      toast("Shared with " + email.input.value.trim());
    }});
}

function resetPin(one) {
  const means = "Its dashboard gets a new PIN, and everybody who is signed in there has to sign in again.";
  dialog({title: "Reset the PIN of " + one.name + "?", action: "Reset PIN", danger: true,
    content: [el("p", {}, means)],
    submit: async () => {
      const made = await ask("experiments/" + encodeURIComponent(one.name) + "/pin", {});
      return () => dialog({title: "New PIN of " + one.name, close: () => load().catch(fail), content: [
        secret(made.pin, "PIN", "new-pin"),
        el("p", {class: "note"}, "It is not shown again. The job server takes it within 30 seconds while it "
          + "runs, else after its next start.")]});
    }});
}

function remove(one) {
  const typed = field("Type " + one.name + " to confirm", {});
  const means = "Its job server and its workers are told to stop. Results that the job server keeps stay "
    + "where they are.";
  const {go} = dialog({title: "Delete " + one.name + "?", action: "Delete experiment", danger: true,
    content: [el("p", {}, means), typed.node],
    submit: async () => {
      await ask("experiments/" + encodeURIComponent(one.name) + "/delete", {confirm: typed.input.value});
      toast("Experiment " + one.name + " is deleted");
      load().catch(fail);
    }});
  go.disabled = true;
  typed.input.addEventListener("input", () => { go.disabled = typed.input.value !== one.name; });
}

$("new").addEventListener("click", create);
frame().catch(() => {});
keepFresh(load);
