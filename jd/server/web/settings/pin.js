// The form that changes the PIN and signs everybody out.

import {ask, at, base, el, field} from "../common.js";

const PIN = /^\d{6}$/;

/** The form. `account` is the name under which browsers keep the PIN. */
export function pinForm(account) {
  const digits = {type: "password", inputmode: "numeric", maxlength: 6};
  const current = field("Current PIN", {...digits, autocomplete: "current-password"});
  const next = field("New PIN", {...digits, autocomplete: "new-password"});
  const again = field("New PIN again", {...digits, autocomplete: "new-password"});
  const problem = el("p", {class: "problem", role: "alert"});
  const go = el("button", {class: "primary"}, "Change PIN and sign out");
  next.say("6 digits, not easy to guess.");

  // The first field with a mistake, which is said below it; null when all is well.
  function mistake() {
    const wrong = (one, text) => { one.say(text, "bad"); return one; };
    current.say("");
    again.say("");
    if (!PIN.test(current.input.value)) return wrong(current, "The PIN has 6 digits.");
    if (!PIN.test(next.input.value)) return wrong(next, "Give 6 digits.");
    next.say("");
    if (again.input.value !== next.input.value) return wrong(again, "The two new PINs differ.");
    return null;
  }

  async function submit(event) {
    event.preventDefault();
    problem.textContent = "";
    const wrong = mistake();
    if (wrong) return wrong.input.focus();
    go.disabled = true;
    try {
      await ask("pin", {current: current.input.value, new: next.input.value, path: base});
      location.assign(at("/signin"));
    } catch (error) {
      problem.textContent = error.message;
      go.disabled = false;
      current.input.select();
    }
    return undefined;
  }

  return el("form", {class: "set-pin", novalidate: true, onsubmit: submit},
    el("input", {name: "username", autocomplete: "username", value: account, hidden: true}),
    el("p", {class: "hint"}, "Whoever knows the PIN may do everything here. A new one signs everyone out, "
      + "you too."),
    current.node, next.node, again.node, problem, el("div", {}, go));
}
