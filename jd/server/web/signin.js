// The sign-in: one PIN, and how long to wait after too many wrong ones.

import {$, ask, at, base, below} from "./common.js";

const input = $("pin"), problem = $("problem"), go = $("form").querySelector("button");

/** Where the sign-in leads to: a page of this site, whatever the link says. */
function destination() {
  try {
    const next = new URLSearchParams(location.search).get("next") || "/";
    const url = new URL(at(next), location.origin), path = below(url);
    if (/^\/(?!\/)/.test(next) && path !== null && !path.startsWith("/signin")) return url.href;
  } catch (error) { /* not a URL */ }
  return at("/");
}

/** Say how long to wait, second by second, until it can be tried again. */
function wait(seconds, timer = 0) {
  const end = performance.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    if (left > 0) {
      const shown = left > 90 ? Math.ceil(left / 60) + " min" : left + " s";
      const text = "Too many wrong PINs. Try again in " + shown + ".";
      if (problem.textContent !== text) problem.textContent = text;
      return;
    }
    clearInterval(timer);
    problem.textContent = "";
    go.disabled = false;
    input.focus();
  };
  timer = setInterval(tick, 500);
  // A screen reader says it once, not every second.
  problem.setAttribute("aria-live", "off");
  tick();
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (go.disabled) return;
  go.disabled = true;
  problem.setAttribute("aria-live", "assertive");
  problem.textContent = "";
  try {
    const {wrong_pins: wrong} = await ask("signin", {pin: input.value, path: base});
    // For the page that comes next: somebody else may have tried.
    if (wrong) sessionStorage.setItem("wrong-pins", JSON.stringify(wrong));
    location.replace(destination());
  } catch (error) {
    problem.textContent = error.message;
    input.select();
    if (error.wait) wait(error.wait);
    else go.disabled = false;
  }
});

// A link from another site comes without the cookie, so the server answers with this page: whoever is signed
// in already goes on at once.
fetch(at("/web/me")).then((answer) => { if (answer.ok) location.replace(destination()); }, () => {});
