// The sign-in above a page, for somebody whose sign-in has ended while something is typed that going to the
// page of the sign-in would lose.

import {askNow, at, base, dialog, el, field, onSignedOut, toSignIn} from "./common.js";
import {live} from "./live.js";

const typed = new Set();
let waiting = null, declined = false;

// A filter stands in the address, so it is not lost.
function note({target}) {
  if (target.form && !target.closest("[role=search]")) typed.add(target);
}

function unsaved() {
  for (const one of typed) if (!one.isConnected) typed.delete(one);
  return typed.size > 0 || document.querySelector("dialog[open]") !== null;
}

/** Ask for the PIN in place where somebody would lose what they typed; `account()` is the name under which
 * browsers keep it. */
export function keepWhatIsTyped(account) {
  document.addEventListener("input", note);
  onSignedOut(async () => {
    if (!waiting) {
      if (!unsaved()) return toSignIn();
      if (declined) return false;
      waiting = signInHere(account()).finally(() => { waiting = null; });
    }
    return waiting;
  });
}

// Whether somebody has signed in, here or in another tab. Whatever was asked meanwhile waits for it.
function signInHere(account) {
  return new Promise((answer) => {
    const pin = field("PIN",
      {type: "password", inputmode: "numeric", maxlength: 20, autocomplete: "current-password"});
    let signedIn = false;
    const done = () => { signedIn = true; };
    const {box} = dialog({title: "Sign in again", action: "Sign in",
      content: [el("p", {class: "hint"}, "You are signed out. What you have typed is still here."),
        el("input", {name: "username", autocomplete: "username", value: account, hidden: true}), pin.node],
      submit: () => askNow("signin", {pin: pin.input.value, path: base}).then(done, (error) => {
        pin.input.select();
        throw error;
      }),
      close: () => {
        removeEventListener("focus", look);
        answer(signedIn);
        if (signedIn) live.wake(); else decline();
      }});
    pin.input.focus();
    const look = async () => {
      if (!await elsewhere() || !box.open) return;
      done();
      box.close();
    };
    addEventListener("focus", look);
  });
}

// Whoever closes it wants to read or copy: what the page asks by itself brings it up no more, a click does.
function decline() {
  declined = true;
  document.addEventListener("click", () => { declined = false; }, {capture: true, once: true});
}

// Whether another tab has signed in meanwhile: without `ask`, which would wait for this dialog.
async function elsewhere() {
  try {
    return (await fetch(at("/web/me"))).ok;
  } catch (error) { return false; }
}
