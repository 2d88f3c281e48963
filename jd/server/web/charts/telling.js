// What a drawing tells somebody who points at it goes on being told when a newer drawing takes its place.

let told = null;  // {surface, what}: the drawing that tells something now, and what
const drawings = new WeakMap();  // of a surface, what makes it tell

/** For a surface that tells: `again(what)` has it tell what an earlier one in its place told. Gives a
 * function to be called with `what` each time that something is told, and with null when that ends. `what`
 * names a mark so that another drawing finds it, or says where the pointer is. */
export function telling(surface, again) {
  drawings.set(surface, again);
  return (what) => {
    if (what !== null) told = {surface, what};
    else if (told && told.surface === surface) told = null;
  };
}

const surfaces = (node) => [...node.querySelectorAll("svg[role=application]")];

/** What is told within a node: a function that has the drawing at the same place of the node that it is
 * given tell this as well, if there is one. */
export function toldWithin(node) {
  const at = told ? surfaces(node).indexOf(told.surface) : -1;
  if (at < 0) return () => {};
  const {what} = told;
  return (next) => drawings.get(surfaces(next)[at])?.(what);
}
