// What the page asks the thread that has the forest.

import {metricOf} from "./importance.js";

/** {learn(data), dependence(data, name), close()}: promises of what matter.js tells, null where nothing can
 * be said. The same numbers are learnt once. */
export function forestModel() {
  const waiting = new Map();
  let worker = null, turn = 0, known = null;

  function ask(message) {
    if (!worker) {
      worker = new Worker(new URL("./forestworker.js", import.meta.url), {type: "module"});
      worker.addEventListener("message", ({data}) => {
        waiting.get(data.turn)?.(data.found);
        waiting.delete(data.turn);
      });
      worker.addEventListener("error", (error) => {  // nothing of it is shown then
        console.warn(error.message);
        for (const tell of waiting.values()) tell(null);
        waiting.clear();
      });
    }
    return new Promise((tell) => {
      turn += 1;
      waiting.set(turn, tell);
      worker.postMessage({...message, turn});
    });
  }

  function learn(data) {
    if (known && known.answer === data.answer && known.log === data.log) return known.found;
    const columns = data.columns.map(({name, kind, values, distinct}) => ({name, kind, values, distinct}));
    known = {answer: data.answer, log: data.log, found: ask({columns, y: metricOf(data)})};
    return known.found;
  }

  return {
    learn,
    async dependence(data, name) {
      const told = await learn(data);
      if (!told || !told.shares) return null;
      const found = await ask({name});
      if (!found || !data.log) return found;
      const back = (list) => list.map((value) => Math.pow(10, value));
      return {...found, mean: back(found.mean), q1: back(found.q1), q3: back(found.q3),
        lines: found.lines.map(back)};
    },
    close() { if (worker) worker.terminate(); },
  };
}
