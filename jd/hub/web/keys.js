// The page API keys: those of who is signed in.

import {$, ask, askNow, button, dialog, el, empty, fail, field, secret, toast} from "./common.js";
import {actions, ago, frame, keepFresh, show, table} from "./page.js";

const HEADS = ["Name", "Key", "Created", "Last used", ""];

async function load() {
  const {now, keys} = await askNow("api-keys");
  const over = (key) => Number(key.revoked_at !== null);
  const sorted = keys.slice().sort((a, b) => over(a) - over(b) || b.id - a.id);
  if (keys.length) return show(table(HEADS, sorted.map((key) => row(key, now))));
  return show(empty("No API keys yet",
    "Workers and job servers show a key to the Hub. Make one for each machine, so that you can revoke it "
      + "alone.",
    button("Create your first key", create, "primary")));
}

function row(key, now) {
  const over = key.revoked_at !== null;
  const action = over ? el("span", {class: "hint"}, "revoked ", ago(now, key.revoked_at))
    : button("Revoke", () => revoke(key), "danger");
  return {over, cells: [key.name, el("code", {}, key.prefix), ago(now, key.created_at),
    ago(now, key.last_used_at), actions(action)]};
}

function create() {
  const name = field("What is it for?", {maxlength: 60, placeholder: "laptop"});
  name.say("A machine or a project, so that you know it later.");
  dialog({title: "New API key", content: [name.node], action: "Create key", submit: async () => {
    const made = await ask("api-keys", {name: name.input.value});
    load().catch(fail);
    return () => present(made);
  }});
}

const quoted = (text) => "'" + text.replace(/'/g, "'\\''") + "'";

function present(made) {
  const plain = /^[\w:/.\-[\]]+$/.test(made.hub_url) ? made.hub_url : quoted(made.hub_url);
  dialog({title: "Key " + made.name + " is created", content: [
    el("p", {class: "note"}, "Copy it now: it is not shown again."),
    el("div", {class: "block"}, el("p", {class: "label"}, "API key"), secret(made.key, "the key", "key")),
    el("div", {class: "block"}, el("p", {class: "label"}, "For the terminal"),
      secret(`export JD_HUB_URL=${plain}\nexport JD_API_KEY=${made.key}`, "the lines for the terminal",
        "lines")),
  ]});
}

function revoke(key) {
  dialog({title: "Revoke " + key.name + "?", action: "Revoke key", danger: true,
    content: [el("p", {}, "Workers and job servers that use ", el("code", {}, key.prefix),
      " are refused from now on. This cannot be undone.")],
    submit: async () => {
      await ask("api-keys/" + key.id + "/revoke", {});
      toast("Key " + key.name + " is revoked");
      load().catch(fail);
    }});
}

$("new").addEventListener("click", create);
frame().catch(() => {});
keepFresh(load);
