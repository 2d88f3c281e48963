// What the page Curves asks the server for.

import {ask} from "../common.js";
import {withDetail} from "../charts/series.js";
import {MOST} from "./address.js";

/** The metrics that jobs have reported, [{name, n}]. */
export const askNames = async () => (await ask("curves/names")).metrics;

function get(metric, {ids, filter, best, x}, less, more) {
  const wanted = {metric, x, less: Number(less), ...more};
  if (ids.length) wanted.ids = ids.join(",");
  else {
    if (best < MOST) wanted.best = best;
    if (filter || best === MOST) wanted.filter = filter;
  }
  return ask("curves?" + short(wanted));
}

// A comma may stand in a query as it is, and a thousand ids must fit into an address.
const short = (values) => String(new URLSearchParams(values)).replaceAll("%2C", ",");

/** The curves of a metric that a view (address.js) asks for: {total, curves}. */
export const askCurves = (metric, view, less) => get(metric, view, less, {});

/** The same, between the ends of its range of x in more detail, as far as jobs have reported more there. */
export async function askDetail(whole, metric, view, less) {
  const {from, to} = view.zoom;
  const ends = Object.fromEntries(Object.entries({from, to}).filter(([, end]) => Number.isFinite(end)));
  if (!whole.curves.some(({n, step}) => n > step.length)) return whole;
  const found = new Map((await get(metric, view, less, ends)).curves.map((one) => [one.id, one]));
  const curves = whole.curves.map((curve) => {
    const detail = found.get(curve.id);
    if (!detail || detail.attempt !== curve.attempt) return curve;
    return withDetail(curve, detail, view.x, ends.from ?? -Infinity, ends.to ?? Infinity);
  });
  return {...whole, curves};
}

// A parameter as it is told beside a curve: of a number the digits that matter.
function told(text) {
  const long = text !== null && text.length > 9 && /[.e]/i.test(text) && Number.isFinite(Number(text));
  return long ? String(Number(Number(text).toPrecision(6))) : text;
}

/** The parameters in which jobs differ: {names, of(id)}, `of` giving texts by name. */
export async function askParameters(ids) {
  if (!ids.length) return {names: [], of: () => ({})};
  const {ids: found, parameters} = await ask("curves/parameters?" + short({ids: ids.join(",")}));
  const places = new Map(found.map((id, at) => [id, at])), names = Object.keys(parameters);
  const one = (name, id) => told(parameters[name][places.get(id)] ?? null);
  const of = (id) => Object.fromEntries(names.map((name) => [name, one(name, id)]));
  return {names, of};
}
