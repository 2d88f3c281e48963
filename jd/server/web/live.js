// The newest summary of the experiment, over server-sent events or, where these fail, by asking.

import {ask, at} from "./common.js";

const POLL = 2000, AGAIN = 10000;
const listeners = new Set(), watchers = new Set();
let source = null, timer = 0, failures = 0, state = "connecting", offset = 0;

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
  /** "connecting", "live", "polling" or "lost"; `watcher(state)` at each change. */
  watch(watcher) {
    watchers.add(watcher);
    watcher(state);
    return () => watchers.delete(watcher);
  },
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
  for (const listener of [...listeners]) listener(summary);
}

// Browsers allow six connections to one host over all tabs: a tab that nobody sees holds none.
function wake() {
  close();
  if (document.hidden) return;
  failures = 0;
  open();
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
    become("lost");
    if (source && (failures >= 2 || source.readyState === EventSource.CLOSED)) poll(Date.now() + AGAIN);
  });
}

async function poll(until) {
  close();
  try {
    take(await ask("summary"));
    become("polling");
  } catch (error) { become("lost"); }
  if (document.hidden || source) return;
  timer = setTimeout(() => (Date.now() > until ? open() : poll(until)), POLL);
}
