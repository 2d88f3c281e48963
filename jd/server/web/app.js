// The shell: which page is shown, the frame around it, and when the page is asked to refresh itself.
//
// A page module exports `async function show(main, params, query)`: `main` is empty and the page's own,
// `params` the named parts of the path, `query` a URLSearchParams. It gives {refresh(changes, previous),
// close()}, both optional. `refresh` may be async; it is called at most once a second, one at a time, when a
// number in Summary.changes has moved, and only while the tab is seen.

import {$, ask, askNow, at, base, below, button, el, empty, fail, menu} from "./common.js";
import {minute} from "./format.js";
import {live} from "./live.js";
import {showNotices} from "./notices.js";
import {preparePrint} from "./print.js";
import {help, listen} from "./shortcuts.js";
import {keepWhatIsTyped} from "./signedout.js";

const EVERY = 1000, PATIENCE = 400, LATER = 1000;
const routes = [];
let page = null, shown = 0, seen = {}, refreshed = 0, timer = 0, busy = false;

/** What the server said of itself (/web/me); null until it did. */
export let me = null;

/** Show the module at a path for addresses like "/jobs/:id"; `title` stands in the tab. */
function route(pattern, module, title) {
  const names = [];
  const parts = pattern.replace(/:(\w+)/g, (_, name) => { names.push(name); return "([^/]+)"; });
  routes.push({test: new RegExp("^" + parts + "$"), names, module, title});
}

/** Go to a path of this site, such as "/jobs/12", as a link does. */
export function go(path) {
  if (path === below(location) + location.search) return show();
  remember();
  history.pushState({}, "", at(path));
  return show();
}

/** Put what the page shows into its address: an object of names and values, of which empty ones go.
 * `push` makes it a step to go back from. */
export function setQuery(values, push = false) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value == null || value === "") query.delete(name); else query.set(name, value);
  }
  // A comma may stand in a query as it is: a thousand ids must fit into an address.
  const path = location.pathname + (query.size ? "?" + String(query).replaceAll("%2C", ",") : "");
  if (path === location.pathname + location.search) return;
  if (push) remember();
  history[push ? "pushState" : "replaceState"](push ? {} : history.state, "", path);
}

/** Keep facts with this step of the history; `remembered()` gives them after a reload or on coming back. The
 * shell adds how far the page was scrolled and the link that had the focus. */
export function remember(facts) {
  const link = document.activeElement && document.activeElement.closest("main a[href]");
  const place = {scroll: scrollY, link: link ? link.getAttribute("href") : null};
  history.replaceState(Object.assign({}, history.state, facts, place), "");
}
export const remembered = () => history.state || {};

/** The title of the tab: "12 · demo". */
export function setTitle(text) {
  document.title = [text, me && me.expId].filter(Boolean).join(" · ") || "JobDistributor";
}

async function show() {
  const mine = (shown += 1), path = below(location);
  const found = routes.find((one) => one.test.test(path));
  if (page && page.close) page.close();
  page = null;
  for (const link of document.querySelectorAll(".nav a")) {
    const to = below(link), here = path === to || path.startsWith(to + "/");
    if (!here) {
      link.removeAttribute("aria-current");
      continue;
    }
    link.setAttribute("aria-current", "page");
    link.scrollIntoView({block: "nearest", inline: "center"});  // on a phone they have no room side by side
  }
  const main = el("main", {id: "main", tabindex: -1, class: "page"});
  $("main").replaceWith(main);
  if (!found) {
    const jobs = el("a", {class: "button primary", href: "/jobs"}, "Go to the jobs");
    return main.append(empty("There is no such page", "The address may be mistyped.", jobs));
  }
  setTitle(found.title);
  const values = found.test.exec(path).slice(1).map(decodeURIComponent);
  const params = Object.fromEntries(found.names.map((name, at) => [name, values[at]]));
  try {
    const module = await import(found.module).catch((error) => {
      console.warn(error);
      throw new Error("Its files could not be loaded. When the server is back, it is shown by itself.");
    });
    if (mine !== shown) return;
    const changes = live.summary && live.summary.changes;
    const made = await module.show(main, params, new URLSearchParams(location.search)) || {};
    if (mine !== shown) return made.close && made.close();
    page = made;
    seen = changes || {};
    const {scroll, link} = remembered();
    if (link) main.querySelector(`a[href="${CSS.escape(link)}"]`)?.focus({preventScroll: true});
    if (scroll) scrollTo(0, scroll);
    consider();
  } catch (error) {
    if (mine !== shown) return;
    console.warn(error);
    const again = button("Try again", show, "primary");
    main.replaceChildren(empty("This page could not be shown", error.message, again));
  }
}

// Something changed: ask the page to refresh, at most once in EVERY milliseconds and not while it still does.
function consider() {
  clearTimeout(timer);
  const changes = live.summary && live.summary.changes;
  if (!changes || !page || busy || document.hidden) return;
  if (Object.keys(changes).every((name) => changes[name] === seen[name])) return;
  const wait = refreshed + EVERY - Date.now();
  if (wait > 0) {
    timer = setTimeout(consider, wait);
    return;
  }
  const previous = seen;
  seen = changes;
  refreshed = Date.now();
  if (!page.refresh) return;
  busy = true;
  Promise.resolve(page.refresh(changes, previous)).catch((error) => console.warn(error)).finally(() => {
    busy = false;
    consider();
  });
}

// A click on a link to one of these pages shows it here; the browser follows all other links.
function follow(event) {
  const link = event.target.closest && event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download")) return;
  const path = below(link);
  if (path === null || !routes.some((one) => one.test.test(path))) return;
  if (link.hash && link.pathname === location.pathname) {
    // A jump within the page would be a step of the history, and steps show pages anew.
    if (link.matches(".skip")) {
      event.preventDefault();
      $("main").focus();
    }
    return;
  }
  event.preventDefault();
  go(path + link.search);
  scrollTo(0, 0);
  if (link.closest(".nav, .brand")) $("main").focus({preventScroll: true});
}

// ---- theme

const THEMES = [["System", ""], ["Light", "light"], ["Dark", "dark"]];

/** "" (the system's), "light" or "dark". */
export const theme = () => document.documentElement.dataset.theme || "";

/** Choose a theme. Charts that paint on a canvas listen to the event "theme" of document. */
export function setTheme(name) {
  showTheme(name);
  try {
    localStorage.setItem("theme", name);
  } catch (error) { /* storage is forbidden: the choice holds until the page is left */ }
}

function showTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  document.dispatchEvent(new Event("theme"));
}

function frame() {
  // Those of the HTML file are relative to the address that the page was loaded from, which changes.
  for (const link of document.querySelectorAll(".bar a, link[rel=icon]")) {
    link.setAttribute("href", new URL(link.href).pathname);
  }
  const mark = document.querySelector(".brand img");
  mark.setAttribute("src", new URL(mark.src).pathname);
  const themes = () => THEMES.map(([text, name]) =>
    [text, () => setTheme(name), name === theme() ? "checked" : ""]);
  $("theme").replaceWith(menu("Theme", themes, {class: "quiet", id: "theme", title: "Theme"}));
  const nav = document.querySelector(".nav");
  const edges = () => {
    nav.classList.toggle("before", nav.scrollLeft > 1);
    nav.classList.toggle("after", nav.scrollLeft + nav.clientWidth < nav.scrollWidth - 1);
  };
  nav.addEventListener("scroll", edges);
  new ResizeObserver(edges).observe(nav);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => document.dispatchEvent(new Event("theme")));
  // Another tab has chosen one.
  addEventListener("storage", ({key, newValue}) => { if (key === "theme") showTheme(newValue); });
  $("signout").addEventListener("click", () =>
    ask("signout", {path: base}).then(() => location.assign(at("/signin")), fail));
  $("keys").addEventListener("click", help);
  live.watch((state) => {
    const polling = state === "polling";
    const gone = state === "gone", back = !gone && !$("unreachable").hidden;
    $("unreachable").hidden = !gone;
    const since = minute(live.silentSince());
    $("unreachable").textContent = gone ? `Server unreachable since ${since}, trying again` : "";
    $("link").textContent = {lost: "reconnecting…", polling: "every 2 s", out: "signed out"}[state] || "";
    $("link").title = polling ? "The live connection fails; the page asks every two seconds" : "";
    if (back && !page) show();  // a page that could not be shown while the server was away
  });
}

// Have the other pages at hand: some are of dozens of modules, which take a while when first gone to.
async function ahead() {
  for (const found of routes) await import(found.module).catch((error) => console.warn(error));
}

async function begin() {
  route("/jobs", "./jobs/jobs.js", "Jobs");
  route("/jobs/:id", "./jobs/job.js", "Job");
  route("/results", "./results/results.js", "Results");
  route("/curves", "./curves/curves.js", "Curves");
  route("/failures", "./failures/failures.js", "Failures");
  route("/history", "./history/history.js", "History");
  route("/compare", "./compare/compare.js", "Compare");
  route("/workers", "./workers/workers.js", "Workers");
  route("/settings", "./settings/settings.js", "Settings");
  history.scrollRestoration = "manual";
  frame();
  listen(go);
  keepWhatIsTyped({label: "PIN", attributes: {inputmode: "numeric", maxlength: 20},
    account: () => $("experiment").textContent,
    signIn: (pin) => askNow("signin", {pin, path: base}), back: () => live.wake()});
  preparePrint();
  document.addEventListener("click", follow);
  addEventListener("popstate", show);
  live.on(showNotices($("notices")));
  live.on(consider);
  document.addEventListener("visibilitychange", consider);
  try {
    me = await ask("me");
    $("experiment").textContent = me.expId;
    $("experiment").title = me.expId;
  } catch (error) { fail(error); }
  live.start();
  // A page is refreshed when the summary differs from the one before it was loaded. Wait shortly for the
  // first summary: without one a page would load twice.
  await new Promise((ready) => { live.on(ready); setTimeout(ready, PATIENCE); });
  await show();
  setTimeout(ahead, LATER);
}

begin();
