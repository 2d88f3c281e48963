// Curves as lists of numbers: where their reports stand, smoothing, what a drawing of so many pixels can show
// of them, and which one is nearest to a place. Pure functions.

import {metricWantsLog} from "./axis.js";
import {quantile, sorted} from "./statistics.js";

const MANY = 50;  // curves from which the utmost 5 % at each end do not stretch the colours
const SAMPLE = 5000;  // values of which the median is taken
const MARGIN = 0.04;  // of the height, free above and below

/** Up to so many curves are few: each has a colour of its own. */
export const FEW_CURVES = 8;

// Where a report stands: at its step, at the seconds since its attempt began, or at that Unix time.
const PLACES = {
  step: (curve) => curve.step,
  relative: (curve) => curve.time,
  time: (curve) => curve.time.map((seconds) => curve.started + seconds),
};

/** What there is to have along: [name, words]. */
export const ALONG = [["step", "Step"], ["relative", "Time since start"], ["time", "Time of day"]];

/** A curve ({step, time, value, started}) as {xs, ys}, in the order of x; a value that is no number is NaN, a
 * gap. */
export function seriesOf(curve, x) {
  const places = PLACES[x](curve), n = places.length;
  const xs = new Float64Array(n), ys = new Float64Array(n);
  let ordered = true;
  for (let at = 0; at < n; at += 1) {
    xs[at] = places[at] === null ? NaN : places[at];
    ys[at] = curve.value[at] === null ? NaN : curve.value[at];
    if (at && !(xs[at] >= xs[at - 1])) ordered = false;
  }
  if (ordered) return {xs, ys};
  // A script that went back to a checkpoint reports some steps twice.
  const order = [...xs.keys()].filter((at) => !Number.isNaN(xs[at])).sort((a, b) => xs[a] - xs[b] || a - b);
  return {xs: Float64Array.from(order, (at) => xs[at]), ys: Float64Array.from(order, (at) => ys[at])};
}

/** How far reports are apart on average, `n` being how many there were. */
export const spacing = ({xs}, n) => (n > 1 && xs.length ? (xs[xs.length - 1] - xs[0]) / (n - 1) : 0);

/** The values of a series, smoothed: each is the mean of itself and all before it, in which one that lies
 * `unit` further back weighs `weight` (0 to below 1) times as much. Where reports are that far apart from
 * each other this is the exponential moving average without bias that TensorBoard draws; elsewhere it counts
 * how far they are apart, not how many lie between. Gaps stay gaps and weigh nothing. */
export function smoothed({xs, ys}, weight, unit) {
  const found = new Float64Array(ys.length), rate = unit > 0 ? Math.log(weight) / unit : 0;
  let sum = 0, mass = 0, before = 0;
  for (let at = 0; at < ys.length; at += 1) {
    if (!Number.isFinite(ys[at])) {
      found[at] = NaN;
      continue;
    }
    const left = mass ? Math.exp(rate * (xs[at] - before)) : 0;
    sum = sum * left + ys[at];
    mass = mass * left + 1;
    before = xs[at];
    found[at] = sum / mass;
  }
  return found;
}

// The first place of a list in order at which `value` or more stands.
function firstFrom(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1; else high = middle;
  }
  return low;
}

/** The range of places of a series that a drawing from `from` to `to` shows: with a report at each side, to
 * which its line goes on. */
export function windowOf({xs}, from, to) {
  const first = Math.max(0, firstFrom(xs, from) - 1);
  let end = firstFrom(xs, to);
  while (end < xs.length && xs[end] === to) end += 1;
  return [first, Math.min(xs.length, end + 1)];
}

// The value of a line at x, between two of its reports.
const between = ({xs, ys}, at, x) => ys[at] + (ys[at + 1] - ys[at]) * (x - xs[at]) / (xs[at + 1] - xs[at]);

/** From where to where series go along, null if none has a place: of a logarithmic axis only what is
 * above 0. */
export function acrossOf(list, log) {
  let low = Infinity, high = -Infinity;
  for (const {xs} of list) {
    const first = log ? firstFrom(xs, Number.MIN_VALUE) : 0;
    if (first >= xs.length) continue;
    low = Math.min(low, xs[first]);
    high = Math.max(high, xs[xs.length - 1]);
  }
  return low <= high ? [low, high] : null;
}

/** From where to where series go up between `from` and `to`, null where they have no value there: of a
 * logarithmic axis only what is above 0. */
export function upOf(list, from, to, log) {
  let low = Infinity, high = -Infinity;
  const take = (value) => {
    if (!Number.isFinite(value) || (log && value <= 0)) return;
    if (value < low) low = value;
    if (value > high) high = value;
  };
  for (const one of list) {
    const [first, end] = windowOf(one, from, to);
    for (let at = first; at < end; at += 1) {
      if (one.xs[at] >= from && one.xs[at] <= to) take(one.ys[at]);
      if (at + 1 >= end) continue;
      for (const edge of [from, to]) {
        if (one.xs[at] < edge && one.xs[at + 1] > edge) take(between(one, at, edge));
      }
    }
  }
  return low <= high ? [low, high] : null;
}

/** A range with a margin at both ends, of a logarithmic axis if it is one. */
export function roomy([low, high], log) {
  if (low === high) return [low, high];  // an axis makes room around a single value itself
  if (log) {
    const by = Math.pow(high / low, MARGIN);
    return [low / by, high * by];
  }
  const by = (high - low) * MARGIN;
  return [low - by, high + by];
}

/** Whether the values of curves are worth a logarithmic axis. */
export function wantsLogUp(curves) {
  const total = curves.reduce((sum, {value}) => sum + value.length, 0), every = Math.ceil(total / SAMPLE);
  const some = [];
  let min = Infinity, max = -Infinity, seen = 0;
  for (const {value: values} of curves) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < min) min = value;
      if (value > max) max = value;
      if (seen % every === 0) some.push(value);
      seen += 1;
    }
  }
  return seen > 1 && metricWantsLog({min, median: quantile(sorted(some), 0.5), max});
}

/** What a drawing shows of a series: {px, py}, its pixels in order, NaN between two where the line breaks.
 * `toX` and `toY` give pixels, NaN for what has no place. Of the reports in one column of pixels the first,
 * the last, the lowest and the highest are there: no others could be seen. Of a sketch only each `every`-th
 * report and the last one are there, and gaps between them do not show. */
export function pathOf({xs, ys}, [first, end], toX, toY, every = 1) {
  const most = 2 * (Math.ceil((end - first) / every) + 1);
  const px = new Float32Array(most), py = new Float32Array(most);
  let size = 0, gap = false;  // whether the line breaks in front of the next report
  let column = NaN, low = 0, high = 0, last = 0, begin = 0;  // of the present column of pixels, places in px
  const put = (x, y) => {
    px[size] = x;
    py[size] = y;
    size += 1;
  };
  // Of what the column has, keep the four, in their order.
  const settle = () => {
    if (size - begin <= 4) return;
    const kept = [begin, Math.min(low, high), Math.max(low, high), last];
    let to = begin;
    kept.forEach((from, at) => {
      if (at && from === kept[at - 1]) return;
      px[to] = px[from];
      py[to] = py[from];
      to += 1;
    });
    size = to;
  };
  for (let at = first; at < end; at = at < end - 1 ? Math.min(at + every, end - 1) : end) {
    const x = toX(xs[at]), y = toY(ys[at]);
    if (Number.isNaN(x) || Number.isNaN(y)) {
      gap = true;
      continue;
    }
    const here = Math.floor(x);
    if (here !== column) {
      settle();
      if (gap && size) put(NaN, NaN);
      column = here;
      begin = low = high = size;
    }
    gap = false;  // within a column of pixels one cannot be seen
    last = size;
    put(x, y);
    if (y < py[low]) low = last;
    if (y > py[high]) high = last;
  }
  settle();
  return {px: px.subarray(0, size), py: py.subarray(0, size)};
}

// How far a place is from the piece of a line between two pixels, squared.
function apart(x, y, x1, y1, x2, y2) {
  const dx = x2 - x1, dy = y2 - y1, long = dx * dx + dy * dy;
  const share = long ? Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / long)) : 0;
  const farX = x1 + share * dx - x, farY = y1 + share * dy - y;
  return farX * farX + farY * farY;
}

/** The place in a list of paths of the one that passes nearest to a pixel, -1 where none is within `reach`;
 * of equal ones the last, which lies on top. */
export function nearestPath(paths, x, y, reach) {
  let best = -1, least = reach * reach;
  paths.forEach(({px, py}, index) => {
    // Gaps have no place: a search by halves is led on by the next pixel that has one.
    let low = 0, high = px.length;
    while (low < high) {
      const middle = (low + high) >> 1, here = Number.isNaN(px[middle]) ? px[middle + 1] : px[middle];
      if (here < x - reach) low = middle + 1; else high = middle;
    }
    for (let at = Math.max(0, low - 1); at < px.length; at += 1) {
      if (Number.isNaN(px[at])) continue;
      const alone = at + 1 >= px.length || Number.isNaN(px[at + 1]);
      const next = alone ? at : at + 1;
      const far = apart(x, y, px[at], py[at], px[next], py[next]);
      if (far <= least) [least, best] = [far, index];
      if (px[at] > x + reach) break;
    }
  });
  return best;
}

/** The place of the report of a series that is nearest to x and has a value; -1 where none has. */
export function nearestReport({xs, ys}, x) {
  const has = (at) => Number.isFinite(ys[at]);
  let below = firstFrom(xs, x) - 1, above = below + 1;
  while (below >= 0 && !has(below)) below -= 1;
  while (above < xs.length && !has(above)) above += 1;
  if (below < 0) return above < xs.length ? above : -1;
  if (above >= xs.length) return below;
  return x - xs[below] <= xs[above] - x ? below : above;
}

/** The next report with a value, so many steps on (`by` is 1 or -1); the same where there is none. */
export function nextReport({ys}, at, by) {
  for (let next = at + by; next >= 0 && next < ys.length; next += by) {
    if (Number.isFinite(ys[next])) return next;
  }
  return at;
}

/** A curve with what is known in more detail from `from` to `to` of x. */
export function withDetail(curve, detail, x, from, to) {
  const own = PLACES[x](curve);
  const before = own.findIndex((place) => place >= from), cut = before < 0 ? own.length : before;
  const after = own.findIndex((place, at) => at >= cut && place > to), rest = after < 0 ? own.length : after;
  const joined = (name) => [...curve[name].slice(0, cut), ...detail[name], ...curve[name].slice(rest)];
  return {...curve, step: joined("step"), time: joined("time"), value: joined("value")};
}

/** How good the last values of curves are: `of(value)` from 0 (worst) to 1 (best), NaN for none; `low` and
 * `high` are the ends, `beyond` whether values lie outside of them. Of many curves the utmost 5 % at each end
 * share the goodness of the end. null where no curve has a last value. */
export function goodness(lasts, less) {
  const all = sorted(lasts.map((value) => (value === null ? NaN : value)));
  if (!all.length) return null;
  const min = all[0], max = all[all.length - 1];
  const ends = all.length > MANY ? [quantile(all, 0.05), quantile(all, 0.95)] : [min, max];
  const [low, high] = ends;
  const log = metricWantsLog({min, median: quantile(all, 0.5), max});
  const turn = log ? Math.log10 : (value) => value;
  const of = (value) => {
    if (!Number.isFinite(value) || value === null) return NaN;
    const share = low === high ? 0.5 : (turn(value) - turn(low)) / (turn(high) - turn(low));
    const place = Math.max(0, Math.min(1, share));
    return less ? 1 - place : place;
  };
  return {of, low, high, beyond: low > min || high < max};
}
