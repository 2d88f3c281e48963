// What the Hub's pages of who is signed in share: their frame, and the list that each of them shows.

import {$, ask, askNow, at, base, button, el, empty, fail} from "./common.js";
import {keepWhatIsTyped} from "./signedout.js";

/** The frame of the page; gives who is signed in. Where that cannot be told the list says why. */
export async function frame() {
  if (!framed) listen();
  framed = true;
  const me = await ask("me");
  $("me").textContent = me.email;
  $("me").title = me.email;
  return me;
}

let framed = false;

function listen() {
  $("signout").addEventListener("click", async () => {
    try {
      await ask("signout", {path: base});
      location.assign(at("/signin"));
    } catch (error) { fail(error); }
  });
  const account = () => $("me").title;
  keepWhatIsTyped({label: "Password", account, back: () => {},
    signIn: (password) => askNow("signin", {email: account(), password, path: base})});
}

/** Load now, twice a minute, and when somebody comes back to the page. A list that could not be loaded again
 * stays, with a line that says since when. */
export async function keepFresh(load) {
  const old = el("p", {class: "note old", role: "status", hidden: true});
  $("list").before(old);
  let loaded = null;

  async function fresh() {
    try {
      await load();
      loaded = new Date();
      old.hidden = true;
    } catch (error) {
      if (loaded) {
        old.textContent = `${error.message} The list is that of ${loaded.toLocaleTimeString()}.`;
        old.hidden = false;
        return;
      }
      const again = button("Try again", () => location.reload(), "primary");
      show(empty("This list could not be loaded", error.message, again));
    }
  }

  const quietly = () => {
    if (!document.hidden && !document.querySelector("dialog")) fresh();
  };
  await fresh();
  document.addEventListener("visibilitychange", quietly);
  setInterval(quietly, 30000);
}

/** Put a fresh list into the page; the control that had the focus keeps it, by its place. */
export function show(list) {
  const section = $("list");
  const controls = () => [...section.querySelectorAll("button, a")];
  const at = controls().indexOf(document.activeElement);
  section.replaceChildren(list);
  section.setAttribute("aria-busy", "false");
  if (at >= 0) (controls()[at] || $("new")).focus();
}

/** A table from heads and rows of cells; `over` rows are those of the past. */
export function table(heads, rows) {
  const line = (row) => el("tr", {class: row.over ? "over" : false}, ...row.cells.map((cell, at) =>
    el("td", {"data-label": heads[at], class: heads[at] ? false : "acts"}, cell)));
  const head = (text) => el("th", {scope: "col"}, text || el("span", {"aria-label": "Actions"}));
  return el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map(head))), el("tbody", {}, ...rows.map(line)));
}

export const actions = (...made) => el("div", {}, ...made);

// From how many seconds on, the seconds of a unit, its name.
const STEPS = [
  [86400 * 60, 86400 * 30, "months"], [86400 * 2, 86400, "days"], [7200, 3600, "h"], [90, 60, "min"]];

/** How long ago, as people say it: "3 min ago". */
export function ago(now, then) {
  if (then == null) return el("span", {}, "never");
  const seconds = Math.max(0, now - then);
  const step = STEPS.find(([from]) => seconds >= from);
  const text = step ? Math.floor(seconds / step[1]) + " " + step[2] + " ago" : "just now";
  const date = new Date(then * 1000);
  return el("time", {datetime: date.toISOString(), title: date.toLocaleString()}, text);
}
