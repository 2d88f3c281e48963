// New jobs around those that are there: what their parameters can be, near one job or within ranges. Pure
// functions.

import {Exact, exactNumber, isNumber, isWhole, parse, stringify} from "../exactjson.js";
import {axisOf} from "../charts/axis.js";
import {FEW} from "../charts/column.js";
import {sorted} from "../charts/statistics.js";

const LONGEST = 6000;  // characters of an address that servers take with room to spare
const MOST_JOBS = 500;  // of a grid that is offered; beyond, samples are
const MOST_TEXTS = 50;  // values of a parameter that is no number
const NEAR = 0.1;  // of the different values of a parameter: so far its neighbourhood goes to either side

/** The box of new jobs: {sampled, parameters: {name: {values} or {low, high, log, whole, values}}}, with
 * `when` for those that only jobs with certain values of another one have. `given` are the parameters of the
 * job that it is about, `columns` those that vary and `places` the jobs in it. `ranges`, a Map of names to
 * [low, high], are its sides; of numbers that are `near` (a function of the name) the sides are a step away
 * from the job's value; all others are what the jobs in it have. */
export function boxOf({given, columns, places, ranges, near}) {
  const varying = new Map(columns.map((column) => [column.name, column]));
  const own = Object.keys(given), made = [];
  for (const name of [...own, ...varying.keys()]) {
    if (made.some(([one]) => one === name)) continue;
    const column = varying.get(name), when = column && dependence(column, columns, places);
    const some = column && places.map((at) => column.raw[at]).find((one) => one != null);
    const value = own.includes(name) ? given[name] : some;
    if (!own.includes(name) && (!when || value === undefined)) continue;
    made.push([name, {...side(column, value, {places, range: ranges.get(name), near: near(name)}), when}]);
  }
  const wide = made.filter(([, one]) => one.low !== undefined);
  const options = made.reduce((product, [, {values}]) => product * (values ? values.length : 1), 1);
  const steps = [5, 3].find((count) => options * count ** wide.length <= MOST_JOBS);
  for (const [, one] of wide) fill(one, steps || 3);
  const tried = wide.every(([name]) => varying.get(name).distinct.length <= FEW);
  const tied = made.some(([, {when}]) => when);  // which a grid knows nothing of
  return {sampled: !steps || !tried || tied,
    parameters: Object.fromEntries(made.map(([name, one]) => [name, told(one)]))};
}

// Of which values of another parameter the jobs have this one, as a condition of a space; null where all have
// it, or no other one decides.
function dependence(column, columns, places) {
  const having = places.filter((at) => column.values[at] !== null);
  if (!having.length || having.length === places.length) return null;
  const lacking = places.filter((at) => column.values[at] === null);
  for (const {name, kind, values, raw} of columns) {
    if (kind !== "category" || name === column.name || !/^[\w.-]+$/.test(name)) continue;
    const those = new Map(having.map((at) => [values[at], raw[at]]));
    if (those.has(null) || lacking.some((at) => those.has(values[at]))) continue;
    return {[name]: [...those.values()]};
  }
  return null;
}

// What one parameter can be.
function side(column, value, {places, range, near}) {
  if (!column) return {values: [value]};
  const raw = places.map((at) => column.raw[at]).filter((one) => one != null);
  if (column.kind !== "number" || !isNumber(value)) {
    return {values: near && !range ? [value] : different(raw, value).slice(0, MOST_TEXTS)};
  }
  const axis = axisOf(column), whole = column.raw.every((one) => one == null || isWhole(one));
  const numbers = sorted([...raw.map(Number), Number(value)]);
  let [low, high] = range || [numbers[0], numbers[numbers.length - 1]];
  if (near) [low, high] = neighbourhood(column.distinct, Number(value), axis.log);
  if (whole) [low, high] = [Math.ceil(low - 1e-9), Math.floor(high + 1e-9)];
  if (!(low < high)) return {values: [range && !near ? written(low, whole) : value]};
  return {low, high, log: Boolean(axis.log && low > 0), whole, middle: near ? Number(value) : null};
}

// The values of some jobs, each once, and that of the job that it is about; lists are lists again.
function different(raw, value) {
  const isList = typeof value === "object" && value !== null && !(value instanceof Exact);
  const all = [value, ...raw.map((one) => (isList && typeof one === "string" ? read(one) : one))];
  return [...new Map(all.map((one) => [stringify(one), one])).values()];
}

function read(text) {
  try {
    return parse(text);
  } catch (error) { return text; }
}

// The numbers that were tried beside a value, of many those a tenth of them away; at an end as far as on the
// other side. Positive numbers stay positive, and parts of one do not exceed it.
function neighbourhood(distinct, value, log) {
  const step = distinct.length <= FEW ? 1 : Math.max(1, Math.round(NEAR * distinct.length));
  const below = distinct.filter((one) => one < value), above = distinct.filter((one) => one > value);
  let low = below[Math.max(0, below.length - step)], high = above[Math.min(above.length, step) - 1];
  const mirror = (one) => (log ? value * value / one : 2 * value - one);
  const first = distinct[0], last = distinct[distinct.length - 1];
  if (low === undefined) {
    low = high === undefined ? value : mirror(high);
    if (first >= 0 && low <= 0) low = value / 2;
  }
  if (high === undefined) {
    high = mirror(low);
    if (first >= 0 && last <= 1) high = Math.min(1, high);
  }
  return [low, high];
}

// The finer grid of a range: `count` values, evenly or by equal ratios; around a middle half way to its
// neighbours, of five these as well.
function fill(one, count) {
  const {low, high, log, whole, middle} = one;
  const between = (from, to, share) => (log ? from * (to / from) ** share : from + (to - from) * share);
  const halves = (share) => (share < 0 ? between(middle, low, -share) : between(middle, high, share));
  const raw = middle === null
    ? Array.from({length: count}, (_, at) => between(low, high, at / (count - 1)))
    : (count === 5 ? [-1, -0.5, 0, 0.5, 1] : [-0.5, 0, 0.5]).map(halves);
  const found = raw.map((value) => (whole ? Math.round(value) : Number(value.toPrecision(4))));
  one.values = [...new Set(found)].map((value) => written(value, whole));
}

// A number that stays what it is to Python: 2.0 where others are no whole numbers.
const written = (value, whole) =>
  (Number.isInteger(value) && !whole && Math.abs(value) < 1e15 ? exactNumber(value + ".0") : value);

function told({low, high, log, whole, values, when}) {
  const only = when ? {when} : {};
  if (low === undefined) return {values, ...only};
  const ends = [low, high].map((one) => (whole ? one : Number(one.toPrecision(6))));
  return {low: ends[0], high: ends[1], ...(log ? {log} : {}), ...(whole ? {whole} : {}), values, ...only};
}

/** The address of the form that has such a box; null where it would be too long. */
export function addressOf(box) {
  const lean = Object.fromEntries(Object.entries(box.parameters).map(([name, one]) =>
    [name, one.low === undefined ? one : {...one, values: undefined}]));
  return [box, {sampled: true, parameters: lean}]
    .map((one) => "/jobs?new=" + encodeURIComponent(stringify(one)))
    .find((address) => address.length <= LONGEST) || null;
}
