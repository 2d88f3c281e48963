// The page that a sign-up link leads to: somebody sets a password.

import {$, ask, at, base} from "./common.js";

const token = new URLSearchParams(location.search).get("token") || "";
// The secret has no business in the address bar, the history or a screenshot.
history.replaceState(null, "", at("/signup"));
let least = 10;

async function start() {
  try {
    const link = await ask("signup-link", {token});
    least = link.min_chars;
    if (link.email === null) {
      $("title").textContent = "Welcome to your Hub";
      $("first").hidden = false;
    } else {
      $("email").value = link.email;
      $("email").readOnly = true;
    }
    $("form").hidden = false;
    $(link.email === null ? "email" : "password").focus();
  } catch (error) {
    $("title").textContent = "This link does not work";
    $("why").textContent = error.message;
    $("bad").hidden = false;
  }
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const password = $("password").value;
  const say = (text, id) => { $("problem").textContent = text; $(id).focus(); };
  if (!$("email").value.trim()) return say("Give your email address.", "email");
  if ([...password].length < least) {
    return say("The password needs at least " + least + " characters.", "password");
  }
  if (password !== $("again").value) return say("The two passwords differ.", "again");
  const go = event.target.querySelector("button");
  go.disabled = true;
  $("problem").textContent = "";
  try {
    await ask("signup", {token, password, email: $("email").value, path: base});
    location.assign(at("/experiments"));
  } catch (error) {
    say(error.message, "password");
    go.disabled = false;
  }
});

start();
