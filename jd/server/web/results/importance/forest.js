// A random forest for regression (Breiman 2001) on coded parameters. Pure functions.
//
// Where no single split tells more than chance would, a tree goes on with parameters that are known to act
// together, split anywhere: of such a pair neither tells anything alone, and a greedy tree would not find it.

const TREES = 40, LEAF = 3;  // trees; jobs that a leaf has at least
const LOOKED_AT = 2500;  // jobs that are foretold, of more as many of them, drawn at random
const FEW = 8;  // parameters up to which trees go on at random where nothing tells

/** Numbers from 0 to below 1, always the same ones (mulberry32). */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** The trees of a forest for numbers `y` and columns as `coded` gives them. `together`: places of the columns
 * that act in pairs. A tree is {feature (-1: a leaf), mask (of the codes that go left), left, right, value,
 * out: the jobs that it has not seen, uses: the columns that it splits}. */
export function forest(columns, y, together) {
  const random = chance(1), trees = [];
  const looked = Array.from(y, () => random() * y.length < LOOKED_AT);
  for (let at = 0; at < TREES; at += 1) {
    const {seen, ...made} = tree(columns, y, together, random);
    const out = Int32Array.from(seen.keys()).filter((row) => !seen[row] && looked[row]);
    trees.push({...made, out});
  }
  return trees;
}

/** What a tree says of a job, `codeOf(column)` being its codes. */
export function leafOf(tree, codeOf) {
  let node = 0;
  while (tree.feature[node] >= 0) {
    node = (tree.mask[node] >>> codeOf(tree.feature[node])) & 1 ? tree.left[node] : tree.right[node];
  }
  return tree.value[node];
}

function tree(columns, y, together, random) {
  const n = y.length, rows = new Int32Array(n), seen = new Uint8Array(n);
  for (let at = 0; at < n; at += 1) {
    rows[at] = Math.floor(random() * n);
    seen[rows[at]] = 1;
  }
  const made = {feature: [], mask: [], left: [], right: [], value: [], uses: new Set()};
  const waiting = [[add(made), 0, n]];
  while (waiting.length) {
    const [node, from, to] = waiting.pop();
    const split = bestSplit(columns, y, rows, {from, to}, together, random);
    made.value[node] = split.mean;
    if (split.feature < 0) continue;
    const middle = partition(rows, from, to, columns[split.feature].codes, split.mask);
    if (middle === from || middle === to) continue;
    made.feature[node] = split.feature;
    made.mask[node] = split.mask;
    made.uses.add(split.feature);
    made.left[node] = add(made);
    made.right[node] = add(made);
    waiting.push([made.left[node], from, middle], [made.right[node], middle, to]);
  }
  return {...made, seen, feature: Int16Array.from(made.feature), mask: Uint32Array.from(made.mask),
    value: Float64Array.from(made.value)};
}

function add(made) {
  made.feature.push(-1);
  made.mask.push(0);
  made.left.push(0);
  made.right.push(0);
  return made.value.push(0) - 1;
}

// Bring the jobs that go left to the front; where the others begin.
function partition(rows, from, to, codes, mask) {
  let end = from;
  for (let at = from; at < to; at += 1) {
    const row = rows[at];
    if (!((mask >>> codes[row]) & 1)) continue;
    rows[at] = rows[end];
    rows[end] = row;
    end += 1;
  }
  return end;
}

const counts = new Float64Array(32), sums = new Float64Array(32);

function bestSplit(columns, y, rows, part, together, random) {
  const {from, to} = part, n = to - from;
  let sum = 0, squares = 0;
  for (let at = from; at < to; at += 1) {
    sum += y[rows[at]];
    squares += y[rows[at]] * y[rows[at]];
  }
  const found = {feature: -1, mask: 0, mean: sum / n}, all = squares - sum * sum / n;
  if (n < 2 * LEAF || !(all > 1e-12 * (squares + 1e-300))) return found;
  let best = 0, tried = 0;
  for (const feature of drawn(columns.length, random)) {
    const order = tally(columns[feature], y, rows, part);
    let left = 0, total = 0, mask = 0;
    for (let at = 0; at < order.length - 1; at += 1) {
      left += counts[order[at]];
      total += sums[order[at]];
      mask = (mask | (1 << order[at])) >>> 0;
      tried += 1;
      if (left < LEAF || n - left < LEAF) continue;
      const gain = total * total / left + (sum - total) * (sum - total) / (n - left) - sum * sum / n;
      if (gain > best) {
        best = gain;
        Object.assign(found, {feature, mask});
      }
    }
  }
  // The best of as many splits of noise would gain about 2 ln(tried) of these.
  const unit = (all - best) / Math.max(1, n - 2);
  if (best > unit * (2 * Math.log(Math.max(1, tried)) + 3)) return found;
  found.feature = -1;
  const among = together.length || columns.length > FEW ? together : [...columns.keys()];
  if (!among.length) return found;
  const feature = among[Math.floor(random() * among.length)];
  const order = tally(columns[feature], y, rows, part);
  if (order.length < 2) return found;
  const left = order.slice(0, 1 + Math.floor(random() * (order.length - 1)));
  return {...found, feature, mask: left.reduce((bits, code) => (bits | (1 << code)) >>> 0, 0)};
}

// How many jobs have each code of a column, and the sums of their numbers; the codes that there are in their
// order, texts by the mean of their jobs, which is the best order to split them in (Breiman et al. 1984).
function tally({codes, count, ordered}, y, rows, {from, to}) {
  counts.fill(0, 0, count);
  sums.fill(0, 0, count);
  for (let at = from; at < to; at += 1) {
    const row = rows[at], code = codes[row];
    counts[code] += 1;
    sums[code] += y[row];
  }
  const present = [];
  for (let code = 0; code < count; code += 1) if (counts[code]) present.push(code);
  if (!ordered) present.sort((a, b) => sums[a] / counts[a] - sums[b] / counts[b] || a - b);
  return present;
}

// A third of the columns, three at least, none twice.
function drawn(n, random) {
  const all = Array.from({length: n}, (_, at) => at), some = Math.min(n, Math.max(3, Math.ceil(n / 3)));
  for (let at = 0; at < some; at += 1) {
    const other = at + Math.floor(random() * (n - at));
    [all[at], all[other]] = [all[other], all[at]];
  }
  return all.slice(0, some);
}
