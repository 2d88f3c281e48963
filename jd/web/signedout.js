// The sign-in above a page, for somebody whose sign-in has ended while something is typed that going to the
// page of the sign-in would lose.

import {at, dialog, el, field, onSignedOut, toSignIn} from "./common.js";

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

/** Ask for the secret in place where somebody would lose what they typed. `service` is {label, attributes,
 * account(), signIn(secret), back()}: what the secret is called and its field is like, the name under which
 * browsers keep it, what signs in with it, and what is called then. */
export function keepWhatIsTyped(service) {
  document.addEventListener("input", note);
  onSignedOut(async () => {
    if (!waiting) {
      if (!unsaved()) return toSignIn();
      if (declined) return false;
      waiting = signInHere(service).finally(() => { waiting = null; });
    }
    return waiting;
  });
}

// Whether somebody has signed in, here or in another tab. Whatever was asked meanwhile waits for it.
function signInHere({label, attributes, account, signIn, back}) {
  return new Promise((answer) => {
    const secret = field(label, {type: "password", autocomplete: "current-password", ...attributes});
    let signedIn = false;
    const done = () => { signedIn = true; };
    const {box} = dialog({title: "Sign in again", action: "Sign in",
      content: [el("p", {class: "hint"}, "You are signed out. What you have typed is still here."),
        el("input", {name: "username", autocomplete: "username", value: account(), hidden: true}),
        secret.node],
      submit: () => signIn(secret.input.value).then(done, (error) => {
        secret.input.select();
        throw error;
      }),
      close: () => {
        removeEventListener("focus", look);
        answer(signedIn);
        if (signedIn) back(); else decline();
      }});
    secret.input.focus();
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
