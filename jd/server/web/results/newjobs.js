// The way from results to new jobs near them: the form of the Jobs page, filled in.

import {go} from "../app.js";
import {ask, fail, toast} from "../common.js";
import {stringify} from "../exactjson.js";
import {addressOf, boxOf} from "./around.js";

async function open(data, id, box) {
  try {
    // Parameters that do not vary are no columns, and lists are texts in those.
    const {parameters: given} = await ask("job?id=" + id, undefined, undefined, ["parameters"]);
    const address = addressOf(boxOf({given, columns: data.columns, ...box}));
    if (address) go(address);
    else toast("These jobs have more parameters than an address can take along.", true);
  } catch (error) { fail(error); }
}

/** Around one job. */
export const aroundJob = (data, id) =>
  open(data, id,
    {places: [data.ids.indexOf(id)].filter((at) => at >= 0), ranges: new Map(), near: () => true});

/** Within ranges, of which these `places`, the best first, are the jobs. */
export const aroundThese = (data, places, ranges) =>
  open(data, data.ids[places[0]], {places, ranges, near: () => false});

/** Within a cell of two columns, whose `best` job is known; `sides` are {column, bin, single}. */
export function aroundCell(data, best, sides) {
  const lies = ({column, bin}, at) => {
    const value = column.values[at];
    if (column.kind === "number") {
      return value !== null && value >= Number(bin.least) && value <= Number(bin.most);
    }
    return value === (typeof bin.low === "string" ? bin.low : stringify(bin.low));
  };
  const places = data.ids.map((_, at) => at).filter((at) => sides.every((side) => lies(side, at)));
  const wide = sides.filter(({column, single}) => column.kind === "number" && !single);
  const ranges = new Map(wide.map(({column, bin}) =>
    [column.name, [bin.low, bin.high].map((end) => Number(Number(end).toPrecision(4)))]));
  const single = new Set(sides.filter((side) => side.single).map(({column}) => column.name));
  return open(data, best, {places, ranges, near: (name) => single.has(name)});
}
