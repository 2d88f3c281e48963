// The newest summary of the experiment, over server-sent events or, where these fail, by asking.

import {askNow, at} from "./common.js";

const POLL = 2000, AGAIN = 10000;
const listeners = new Set(), watchers = new Set();
let source = null, silent = 0, timer = 0, failures = 0, state = "connecting", offset = 0;

export const live = {
  /** The newest Summary, null before the first. */
  summary: null,
  /** Call `listener(summary)` at each new summary, and soon with the present one. Gives the function that
   * ends this. */
  on(listener) {
    listeners.add(listener);
    if (live.summary) queueMicrotask(() => listeners.has(listener) && listener(live.summary));
    return () => listeners.delete(listener);
  },
  /** The server's clock now, in Unix seconds. */
  now: () => Date.now() / 1000 + offset,
  /** "connecting", "live", "polling", "lost" (the connection), "gone" (no answer at all), "out" (signed out);
   * `watcher(state)` at each change. */
  watch(watcher) {
    watchers.add(watcher);
    watcher(state);
    return () => watchers.delete(watcher);
  },
  /** When the server was first not reached, in Unix seconds of this machine; 0 while it is. */
  silentSince: () => silent,
  /** Connect anew, as after a sign-in. */
  wake,
  /** Begin. Pages need not call it. */
  start() {
    document.addEventListener("visibilitychange", wake);
    addEventListener("pagehide", close);
    addEventListener("online", wake);
    wake();
  },
};

function become(next) {
  if (next === state) return;
  state = next;
  for (const watcher of watchers) watcher(state);
}

function take(summary) {
  if (typeof summary.now === "number") offset = summary.now - Date.now() / 1000;
  live.summary = summary;
  silent = 0;
  for (const listener of [...listeners]) listener(summary);
}

// Browsers allow six connections to one host over all tabs: a tab that nobody sees holds none.
function wake() {
  close();
  if (document.hidden) return;
  failures = 0;
  open();
}

// "gone" holds until there is an answer, also while the connection is tried anew.
function lose(next) {
  silent = silent || Date.now() / 1000;
  if (state !== "gone") become(next);
}

function close() {
  clearTimeout(timer);
  if (source) source.close();
  source = null;
}

function open() {
  close();
  source = new EventSource(at("/web/events"));
  source.addEventListener("summary", (event) => {
    failures = 0;
    become("live");
    take(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    failures += 1;
    lose("lost");
    if (source) poll(failures > 1 ? Date.now() + AGAIN : 0);  // tells at once whether it is there
  });
}

async function poll(until) {
  close();
  try {
    take(await askNow("summary"));
    become("polling");
  } catch (error) {
    if (error.status === 401) return become("out");  // told once; whoever looks again is asked again
    lose(error.status === 0 ? "gone" : "lost");
  }
  if (document.hidden || source) return;
  timer = setTimeout(() => (Date.now() > until && state !== "gone" ? open() : poll(until)), POLL);
}
