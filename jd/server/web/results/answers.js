// What the Results page asks the server for.

import {ask} from "../common.js";
import {Exact} from "../exactjson.js";
import {measuredFirst} from "../resultnames.js";

const EXACT = ["parameters", "value", "bins", "given"];  // plots draw results as near as they can

/** The names of parameters and results, {parameters: [{name}], results: [{name, n}]}. */
export async function askNames() {
  const found = await ask("results/names"), by = new Map(found.results.map((one) => [one.name, one]));
  const order = measuredFirst([...by.keys()], found.parameters.map(({name}) => name));
  return {parameters: found.parameters, results: order.map((name) => by.get(name))};
}

/** Asks what is counted over all jobs of a filter that have the metric: `counted("boxes", "cells" or
 * "leaders", {name: value})`. Each question is asked once. */
export function counting({metric, filter}) {
  const asked = new Map();
  return (what, values) => {
    const path = `results/${what}?` + new URLSearchParams({metric, filter, ...values});
    if (!asked.has(path)) asked.set(path, ask(path, undefined, undefined, EXACT));
    return asked.get(path);
  };
}

/** The jobs of a filter that have the metric, of many a sample, with what all of them span. */
export const askResults = ({metric, filter}) =>
  ask("results/columns?" + new URLSearchParams({metric, filter}), undefined, undefined, EXACT);

/** The metrics that jobs have reported while they ran. */
export async function askReported() {
  try {
    return new Set((await ask("curves/names")).metrics.map(({name}) => name));
  } catch (error) { return new Set(); }  // it only decides whether there is a way to them
}

/** Whether two answers show the same, so that nothing need be drawn. */
export function same(one, other) {
  const counts = ["total", "jobs", "nan", "infinite", "without", "not_done"];
  return one.metric === other.metric && counts.every((name) => one[name] === other[name])
    && JSON.stringify(one.spread) === JSON.stringify(other.spread)
    && alike(one.ids, other.ids) && alike(one.values, other.values)
    && ["parameters", "results"].every((kind) => {
      const columns = Object.entries(one[kind]), others = Object.keys(other[kind]);
      return alike(columns.map(([name]) => name), others)
        && columns.every(([name, column]) => alike(column, other[kind][name]));
    });
}

const written = (value) => (value instanceof Exact ? value.text : value);
const alike = (one, other) => one.length === other.length
  && one.every((value, at) => written(value) === written(other[at]));
