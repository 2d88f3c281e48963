// Which parameters act together, and which go together. Pure functions.

const PARTS = 6;  // of a column with more codes
const CLEAR = 4;  // standard deviations of chance from which a pair counts; there are hundreds of pairs
const SAME = 0.8;  // of Cramér's V, which is 1 where one column tells the other

// The codes of a column in at most PARTS parts, about equally full where they have an order.
function parts({codes, count, ordered}) {
  const jobs = new Float64Array(count);
  for (const code of codes) jobs[code] += 1;
  const there = [...jobs.keys()].filter((code) => jobs[code]);
  if (there.length <= PARTS) return {of: codes, count};
  const of = new Uint8Array(count);
  if (ordered) {
    let before = 0;
    for (const code of there) {
      of[code] = Math.min(PARTS - 1, Math.floor(PARTS * (before + jobs[code] / 2) / codes.length));
      before += jobs[code];
    }
  } else {
    const often = there.sort((a, b) => jobs[b] - jobs[a]);
    for (const code of there) of[code] = Math.min(PARTS - 1, often.indexOf(code));
  }
  return {of: codes.map((code) => of[code]), count: PARTS};
}

/** {together, alike}: pairs of places of columns that act on `y` together, by an analysis of variance of two
 * ways, and those that hardly differ. */
export function pairs(columns, y) {
  const coarse = columns.map(parts), together = [], alike = [];
  for (let one = 0; one < columns.length; one += 1) {
    for (let other = 0; other < one; other += 1) {
      const {beyond, association} = compared(coarse[one], coarse[other], y);
      const tied = columns[one].has || columns[other].has;  // what only some have goes with what tells who
      if (association > SAME && !tied) alike.push([other, one]);
      else if (beyond > CLEAR) together.push([other, one]);
    }
  }
  return {together, alike};
}

function compared(a, b, y) {
  const n = y.length, size = a.count * b.count, jobs = new Float64Array(size), sums = new Float64Array(size);
  let squares = 0, sum = 0;
  for (let at = 0; at < n; at += 1) {
    const cell = a.of[at] * b.count + b.of[at];
    jobs[cell] += 1;
    sums[cell] += y[at];
    squares += y[at] * y[at];
    sum += y[at];
  }
  const rows = margin(jobs, sums, a.count, (at) => Math.floor(at / b.count));
  const lines = margin(jobs, sums, b.count, (at) => at % b.count);
  const base = sum * sum / n, cells = explained(jobs, sums);
  const free = cells.groups - rows.groups - lines.groups + 1;
  // Of an uneven table this is less than what they do together, never much more.
  const both = cells.share - rows.share - lines.share + base;
  const noise = (squares - cells.share) / Math.max(1, n - cells.groups);
  let chi = 0;
  for (let at = 0; at < size; at += 1) {
    const expected = rows.jobs[Math.floor(at / b.count)] * lines.jobs[at % b.count] / n;
    if (expected) chi += (jobs[at] - expected) * (jobs[at] - expected) / expected;
  }
  const least = Math.min(rows.groups, lines.groups) - 1;
  const ratio = noise > 1e-12 * squares / n ? both / free / noise : both > 1e-9 * squares ? Infinity : 0;
  return {association: least > 0 ? Math.sqrt(chi / (n * least)) : 0,
    beyond: free > 0 && n > cells.groups ? (ratio - 1) * Math.sqrt(free / 2) : 0};
}

function margin(jobs, sums, count, of) {
  const their = new Float64Array(count), total = new Float64Array(count);
  jobs.forEach((some, at) => {
    their[of(at)] += some;
    total[of(at)] += sums[at];
  });
  return {jobs: their, ...explained(their, total)};
}

function explained(jobs, sums) {
  let share = 0, groups = 0;
  jobs.forEach((some, at) => {
    if (!some) return;
    share += sums[at] * sums[at] / some;
    groups += 1;
  });
  return {share, groups};
}
