// The page Users: who may sign in to this Hub. Only administrators see it.

import {$, ask, askNow, button, dialog, el, fail, field, secret, toast} from "./common.js";
import {actions, ago, frame, keepFresh, show, table} from "./page.js";

const KINDS = {active: "good", invited: "", suspended: "warn"};
let mine = null;  // the address of who is signed in

async function load() {
  mine = mine || (await frame()).email;
  const {now, users} = await askNow("users");
  show(table(["Email address", "Role", "Status", "Added", ""], users.map((user) => row(user, now))));
}

function row(user, now) {
  const state = el("span", {class: "state " + KINDS[user.status]}, user.status);
  const own = user.email === mine, suspended = user.status === "suspended";
  const standing = suspended ? button("Resume", () => resume(user))
    : button("Suspend", () => suspend(user), "danger");
  return {over: suspended, cells: [
    el("span", {}, user.email, own ? el("small", {}, "you") : null),
    user.admin ? "administrator" : "user", state, ago(now, user.created_at),
    actions(button("New link", () => renew(user)), own ? null : standing)]};
}

function add() {
  const email = field("Email address", {type: "email", placeholder: "colleague@example.org"});
  const box = el("input", {type: "checkbox", id: "admin"});
  const admin = el("label", {class: "check", for: "admin"}, box, "Administrator of this Hub");
  dialog({title: "Add a user", content: [email.node, admin], action: "Add user",
    submit: async () => {
      const made = await ask("users", {email: email.input.value, admin: box.checked});
      load().catch(fail);
      return () => present(made);
    }});
}

function present(user) {
  dialog({title: "Sign-up link of " + user.email, content: [
    el("p", {class: "note"}, "Send it to them now: it is not shown again. It works once, for 7 days, "
      + "and sets their password."),
    secret(user.signup_url, "the link", "link")]});
}

function renew(user) {
  dialog({title: "New link for " + user.email + "?", action: "Make link",
    content: [el("p", {}, "With it they set a new password. An earlier link stops working.")],
    submit: async () => {
      const made = await ask("users/link", {email: user.email});
      return () => present(made);
    }});
}

function suspend(user) {
  dialog({title: "Suspend " + user.email + "?", action: "Suspend", danger: true,
    content: [el("p", {}, "They are signed out, their keys are refused and their workers stop. "
      + "Nothing of theirs is deleted.")],
    submit: async () => {
      await ask("users/suspend", {email: user.email});
      toast(user.email + " is suspended");
      load().catch(fail);
    }});
}

async function resume(user) {
  try {
    await ask("users/resume", {email: user.email});
    toast(user.email + " may sign in again");
    await load();
  } catch (error) { fail(error); }
}

$("new").addEventListener("click", add);
keepFresh(load);
