// Statistics of lists of numbers. Pure functions: no document, no clock, nothing random.

/** Numbers in order; Infinity and NaN stay out. */
export const sorted = (values) => Float64Array.from(values.filter(Number.isFinite)).sort();

/** The q-quantile (0..1) of numbers in order, interpolated between neighbours; NaN when there are none. */
export function quantile(ordered, q) {
  if (!ordered.length) return NaN;
  const at = (ordered.length - 1) * q, below = Math.floor(at);
  const next = ordered[Math.min(below + 1, ordered.length - 1)];
  return ordered[below] + (next - ordered[below]) * (at - below);
}

/** Places of a list, the best value first; equal ones by place. */
export function ranking(values, less) {
  const places = values.map((value, index) => index).filter((index) => Number.isFinite(values[index]));
  return places.sort((a, b) => (less ? values[a] - values[b] : values[b] - values[a]) || a - b);
}

/** A number in -1..1 that looks random, and is the same for a job each time it is drawn. */
export const noise = (id) => (Math.imul(id, 2654435761) >>> 0) / 2147483648 - 1;

/** At most `limit` of a list, from everywhere in it. */
export function evenly(list, limit) {
  if (list.length <= limit) return list;
  return Array.from({length: limit}, (_, index) => list[Math.floor(index * list.length / limit)]);
}

/** The medians and quartiles of y in `parts` equally full bins of x (places on an axis): a trend. */
export function trend(xs, ys, parts) {
  const both = (index) => Number.isFinite(xs[index]) && Number.isFinite(ys[index]);
  const order = xs.map((x, index) => index).filter(both);
  order.sort((a, b) => xs[a] - xs[b]);
  const size = order.length / parts, found = [];
  for (let part = 0; part < parts; part += 1) {
    const some = order.slice(Math.round(part * size), Math.round((part + 1) * size));
    if (!some.length) continue;
    const y = sorted(some.map((index) => ys[index]));
    found.push({x: quantile(sorted(some.map((index) => xs[index])), 0.5),
      q1: quantile(y, 0.25), median: quantile(y, 0.5), q3: quantile(y, 0.75)});
  }
  return found;
}
