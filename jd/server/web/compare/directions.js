// Which values of a result are better: as the address of the page says, else as Results has it, else as the
// name of the result suggests; of many nothing is known, and nothing is guessed.

import {chooseDirection, knownDirection, nameSays} from "../direction.js";
import {listOf, listText} from "../lists.js";

/** {less(name), turn(name), query(names)}, for an address, a URLSearchParams. `less` is undefined where
 * nothing is known; `turn` has the other values be better, the lower ones first; `query` gives what an
 * address says of names, as `setQuery` takes it. One that says something is not mixed with what is kept. */
export function directionsIn(query) {
  const said = ["less", "more"].map((name) => listOf(query.get(name)) || []);
  const chosen = new Map(said.flatMap((names, more) => names.map((name) => [name, !more])));
  const usual = chosen.size ? nameSays : knownDirection;
  const less = (name) => chosen.get(name) ?? usual(name);
  const told = (names, wanted) => {
    const found = names.filter((name) => less(name) === wanted && nameSays(name) !== wanted);
    return found.length ? listText(found) : "";
  };
  return {
    less,
    turn(name) {
      chosen.set(name, !less(name));
      chooseDirection(name, less(name));
    },
    query: (names) => ({less: told(names, true), more: told(names, false)}),
  };
}
