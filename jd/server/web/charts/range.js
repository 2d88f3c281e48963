// The range of a drawing that a pointer drags over. Pure function.

const LEAST = 5;  // pixels from which a pointer that is down drags
const FLAT = 16;  // pixels up or down, or to the sides, that a range along one axis may have

/** What lies between two places of a drawing, as {x: [low, high], y: [low, high]} in shares 0..1 of its area;
 * x or y is null where the drag was along the other one. null: too little for a range. */
export function dragged(from, to, {left, top, width, height}) {
  const share = (place, start, size) => Math.max(0, Math.min(1, (place - start) / size));
  const ends = (one, other, start, size) =>
    [share(one, start, size), share(other, start, size)].sort((a, b) => a - b);
  const wide = Math.abs(to[0] - from[0]), high = Math.abs(to[1] - from[1]);
  if (Math.max(wide, high) < LEAST) return null;
  const x = ends(from[0], to[0], left, width), y = ends(from[1], to[1], top, height);
  const upright = [1 - y[1], 1 - y[0]];
  if (high < FLAT && high <= wide) return {x, y: null};
  return wide < FLAT ? {x: null, y: upright} : {x, y: upright};
}
