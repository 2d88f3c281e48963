// How much parameters matter together with all others: by how much worse a forest foretells jobs that it has
// not seen when a parameter's values are exchanged among them. Pure functions.

import {chance, forest, leafOf} from "./forest.js";
import {coded, untied} from "./coding.js";
import {pairs} from "./pairs.js";
import {constant} from "./variance.js";

export const ENOUGH = 20;  // jobs; of fewer nothing can be said
const TOP = 6;  // parameters whose pairs are looked at
const SURE = 2;  // standard errors from which a share is more than chance
const LEAST = 0.005;  // of the variance
const LINES = 300, DRAWN = 40;  // jobs of a partial dependence, and lines of single jobs that are drawn

/** The model of numbers `y` by columns, for jobs whose number is finite; null where nothing can be said. */
export function modelOf(columns, y) {
  const kept = y.map((_, at) => at).filter((at) => Number.isFinite(y[at]));
  if (kept.length < ENOUGH || !columns.length || constant(y)) return null;
  const all = columns.map((column) => coded({...column, values: kept.map((at) => column.values[at])}));
  const some = untied(all);
  const numbers = Float64Array.from(kept, (at) => y[at]);
  const known = pairs(some, numbers);
  const trees = forest(some, numbers, [...new Set(known.together.flat())]);
  return {columns: some, y: numbers, trees, alike: known.alike, said: []};
}

/** {explained, shares, together, alike}: the part of the variance of unseen jobs that the forest explains;
 * the share of each column, 0 where it may be chance, in their order; [one, other, share] of pairs of the
 * first ones, the most first; and pairs that hardly differ. `shares` is null where the forest explains
 * nothing.
 *
 * If exchanging a column makes the mean square error rise by d, its share is d / 2 of the variance: that is
 * the column's total effect (Sobol, by Jansen's formula), alone and in what it does together with others.
 * What two columns do together is the sum of their shares less that of both exchanged at once. */
export function matter(model) {
  const {columns, y, alike} = model, n = y.length;
  const mean = y.reduce((sum, value) => sum + value, 0) / n;
  const variance = y.reduce((sum, value) => sum + (value - mean) * (value - mean), 0) / n;
  const whole = shuffled(Array.from({length: n}, (_, at) => at));
  // What only some have is exchanged among these.
  const orders = columns.map(({has}) => (has ? shuffled([...has.keys()].filter((at) => has[at]), n) : whole));
  const plain = foretold(model, [], orders), fitted = fit(plain, y, mean);
  const errors = (changed) => {
    const found = changed.length ? foretold(model, changed, orders) : plain;
    return found.map((one, at) => (Number.isNaN(one) ? NaN : (y[at] - fitted(one)) ** 2));
  };
  const base = errors([]);
  const explained = variance > 0 ? sure(base.map((one, at) => ((y[at] - mean) ** 2 - one) / variance)) : 0;
  const told = {explained, alike: alike.map((pair) => pair.map((at) => columns[at].name)), together: []};
  if (!explained) return {...told, shares: null};
  const worse = (changed) => errors(changed).map((one, at) => (one - base[at]) / 2 / variance);
  const each = columns.map((_, at) => worse([at])), shares = each.map(sure);
  const first = shares.map((share, at) => at).filter((at) => shares[at] > 0)
    .sort((a, b) => shares[b] - shares[a]).slice(0, TOP);
  for (let one = 1; one < first.length; one += 1) {
    for (let other = 0; other < one; other += 1) {
      const [a, b] = [first[other], first[one]], both = worse([a, b]);
      const share = sure(both.map((joint, at) => each[a][at] + each[b][at] - joint));
      if (share >= 0.01) told.together.push([columns[a].name, columns[b].name, share]);
    }
  }
  told.together.sort((a, b) => b[2] - a[2]);
  return {...told, shares};
}

// The mean of differences if it is more than chance, at most 1, else 0.
function sure(differences) {
  const some = differences.filter((one) => !Number.isNaN(one)), n = some.length;
  const mean = some.reduce((sum, one) => sum + one, 0) / n;
  const spread = some.reduce((sum, one) => sum + (one - mean) * (one - mean), 0) / (n - 1);
  return mean > LEAST && mean > SURE * Math.sqrt(spread / n) ? Math.min(1, mean) : 0;
}

// From which job each of `some` of n jobs takes a value; all others keep theirs.
function shuffled(some, n = some.length) {
  const random = chance(2), order = some.slice(), from = Int32Array.from({length: n}, (_, at) => at);
  for (let at = order.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    [order[at], order[other]] = [order[other], order[at]];
  }
  some.forEach((row, at) => { from[row] = order[at]; });
  return from;
}

// What the trees that have not seen a job say of it, on average, with the values of the columns at the places
// `changed` taken from another job; NaN where all have seen it.
function foretold({columns, y, trees, said}, changed, orders) {
  const n = y.length, sums = new Float64Array(n), votes = new Float64Array(n);
  const codes = columns.map((column) => column.codes), other = columns.map((_, at) => changed.includes(at));
  let row = 0;
  const codeOf = (feature) => codes[feature][other[feature] ? orders[feature][row] : row];
  trees.forEach((tree, which) => {
    const {out} = tree, same = said[which] && !changed.some((at) => tree.uses.has(at));
    const leaf = (job) => { row = job; return leafOf(tree, codeOf); };
    const leaves = same ? said[which] : Float64Array.from(out, leaf);
    if (!changed.length) said[which] = leaves;
    for (let at = 0; at < out.length; at += 1) {
      sums[out[at]] += leaves[at];
      votes[out[at]] += 1;
    }
  });
  return Array.from(sums, (sum, at) => (votes[at] ? sum / votes[at] : NaN));
}

// A forest draws all to the middle; the line that fits best takes that back.
function fit(found, y, mean) {
  let n = 0, middle = 0;
  found.forEach((one) => { if (!Number.isNaN(one)) { middle += one; n += 1; } });
  middle /= n;
  let both = 0, own = 0;
  found.forEach((one, at) => {
    if (Number.isNaN(one)) return;
    both += (one - middle) * (y[at] - mean);
    own += (one - middle) * (one - middle);
  });
  const slope = own > 0 ? Math.max(0, Math.min(2, both / own)) : 0;
  return (one) => mean + slope * (one - middle);
}

/** The partial dependence on the column of a name: {values, mean, q1, q3, lines}. For each of its values what
 * the forest says of the jobs if all had that value: the mean, the quartiles, and the lines of some jobs. */
export function dependence({columns, y, trees}, name) {
  const place = columns.findIndex((column) => column.name === name), column = columns[place];
  const step = Math.max(1, y.length / LINES), rows = [];
  for (let at = 0; at < y.length; at += step) rows.push(Math.floor(at));
  const used = new Set(column.codes), shown = [];
  for (let code = 1; code < column.count; code += 1) if (used.has(code)) shown.push(code);
  const lines = rows.map((row) => shown.map((code) => {
    const codeOf = (feature) => (feature === place ? code : columns[feature].codes[row]);
    return trees.reduce((sum, tree) => sum + leafOf(tree, codeOf), 0) / trees.length;
  }));
  const at = shown.map((_, index) => lines.map((line) => line[index]).sort((a, b) => a - b));
  const quantile = (all, q) => all[Math.round((all.length - 1) * q)];
  const every = Math.max(1, Math.ceil(lines.length / DRAWN));
  return {values: shown.map((code) => column.centres[code]),
    mean: at.map((all) => all.reduce((sum, one) => sum + one, 0) / all.length),
    q1: at.map((all) => quantile(all, 0.25)), q3: at.map((all) => quantile(all, 0.75)),
    lines: lines.filter((_, index) => index % every === 0)};
}
