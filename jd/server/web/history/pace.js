// When a view that is open asks again for what has changed.

const EVERY = 5000;  // milliseconds between two questions

/** Calls `load()` again after changes: at most every five seconds, and more seldom when an answer takes long.
 * `again()` says that something has changed, `run()` loads now; both while it runs lead to one more. */
export function pacing(load) {
  let timer = 0, cost = 0, ended = 0, closed = false;
  const run = async () => {
    clearTimeout(timer);
    timer = 0;
    const from = performance.now();
    await load();
    ended = performance.now();
    cost = ended - from;
  };
  return {
    run,
    again() {
      if (timer || closed) return;
      const wait = ended + Math.max(EVERY, 10 * cost) - performance.now();
      timer = setTimeout(run, Math.max(0, wait));
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
