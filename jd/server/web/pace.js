// When a page that is open asks again for what has changed.

const EVERY = 5000;  // milliseconds between two questions
const LATER = 1000;  // milliseconds until a page that somebody is busy with is looked at again

/** Calls `load()` again after changes: at most every five seconds, more seldom when an answer takes long, and
 * not while `busy()` says that it would disturb. `again()` says that something has changed; `run(what)` does
 * something now, `load` if nothing is given, which counts as a question. */
export function pacing(load, busy = () => false) {
  let timer = 0, cost = 0, last = 0, closed = false;
  const run = async (what = load) => {
    clearTimeout(timer);
    timer = 0;
    const from = last = performance.now();
    try {
      await what();
    } finally {
      last = performance.now();
      cost = last - from;
    }
  };
  const later = (wait) => {
    timer = setTimeout(() => {
      if (busy()) later(LATER);
      else run().catch((error) => console.warn(error));
    }, Math.max(0, wait));
  };
  return {
    run,
    again() {
      if (!timer && !closed) later(last + Math.max(EVERY, 10 * cost) - performance.now());
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
