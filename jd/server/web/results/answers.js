// What the Results page asks the server for.

import {ask} from "../common.js";
import {measuredFirst} from "../resultnames.js";

const LIMIT = 50000;  // jobs; of more the server gives an even sample
const BEST = 20;
const EXACT = ["parameters"];  // plots draw results as near as they can

/** The names of parameters and results, {parameters: [{name}], results: [{name, n}]}. */
export async function askNames() {
  const found = await ask("results/names"), by = new Map(found.results.map((one) => [one.name, one]));
  const order = measuredFirst([...by.keys()], found.parameters.map(({name}) => name));
  return {parameters: found.parameters, results: order.map((name) => by.get(name))};
}

/** The jobs of a filter that have the metric: {...the answer, best}. `best` is null where the answer has all
 * jobs, else {less, rows}: a sample may lack the best jobs, but the jobs list knows them. */
export async function askResults({metric, filter, less}) {
  const query = new URLSearchParams({metric, filter, limit: LIMIT});
  const answer = await ask("results/columns?" + query, undefined, undefined, EXACT);
  const sampled = answer.shown < answer.total && answer.values.length > 0;
  return {...answer, best: sampled ? await askBest(metric, filter, less) : null};
}

async function askBest(metric, filter, less) {
  const query = new URLSearchParams({filter, sort: (less ? "" : "-") + "result." + metric, limit: BEST});
  try {
    return {less, rows: (await ask("jobs?" + query, undefined, undefined, EXACT)).jobs};
  } catch (error) { return null; }
}

/** Whether two answers show the same, so that nothing need be drawn. */
export function same(one, other) {
  const counts = ["total", "jobs", "nan", "infinite", "without"];
  return one.metric === other.metric && counts.every((name) => one[name] === other[name])
    && one.ids.length === other.ids.length
    && one.ids.every((id, at) => id === other.ids[at])
    && one.values.every((value, at) => value === other.values[at])
    && JSON.stringify(one.best) === JSON.stringify(other.best);
}
