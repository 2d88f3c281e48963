// The sign-in to the Hub.

import {$, ask, at, base} from "./common.js";

const PAGES = ["/experiments", "/api-keys", "/users"];

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const go = event.submitter || event.target.querySelector("button");
  go.disabled = true;
  $("problem").textContent = "";
  try {
    await ask("signin", {email: $("email").value, password: $("password").value, path: base});
    const next = new URLSearchParams(location.search).get("next");
    location.assign(at(PAGES.includes(next) ? next : PAGES[0]));
  } catch (error) {
    $("problem").textContent = error.message;
    go.disabled = false;
    $("password").select();
  }
});
