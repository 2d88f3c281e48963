// Parameters as small whole numbers, as trees take them. Pure functions.

import {quantile, sorted} from "../../charts/statistics.js";
import {chance} from "./forest.js";

const FEW = 12;  // values of a number that may stand for kinds
const MOST = 31;  // codes besides the one of what is missing: all of them are bits of one number

/** A column as {name, ordered, codes: a number from 0 for each job, count: how many there are, centres: the
 * value that stands for each code}. Of more than 31 numbers as many equally full groups have a code, of more
 * texts those that many have, the rest shares one. What has no value has the code 0, null at its centre. */
export function coded({name, kind, values, distinct}) {
  const ordered = kind === "number";
  const groups = ordered ? numberGroups(values, distinct) : textGroups(values, distinct);
  const of = new Map(distinct.map((value) => [value, groups.of(value) + 1]));
  const codes = Uint8Array.from(values, (value) => (value === null ? 0 : of.get(value)));
  return {name, ordered, codes, count: groups.centres.length + 1, centres: [null, ...groups.centres]};
}

/** Columns of which another one tells who has a value, such as a momentum that one optimizer has, with the
 * code of any other job for those who have none, and `has`, whether a job has one: that they lack it says no
 * more than the other column, and must not stand for it. */
export function untied(columns) {
  return columns.map((column) => {
    if (!column.codes.includes(0)) return column;
    const has = column.codes.map((code) => Number(code > 0));
    const telling = (other) => other !== column && !other.codes.includes(0) && tells(other, has);
    if (!columns.some(telling)) return column;
    const there = column.codes.filter((code) => code), random = chance(3);
    const some = () => there[Math.floor(random() * there.length)];
    return {...column, has, codes: column.codes.map((code) => code || some())};
  });
}

// Whether all jobs of each code are alike in that, where a code is a kind of jobs and no number.
function tells({codes, count, ordered}, has) {
  const said = new Int8Array(count).fill(-1);
  return !(ordered && count > FEW) && codes.every((code, at) => {
    if (said[code] < 0) said[code] = has[at];
    return said[code] === has[at];
  });
}

function numberGroups(values, distinct) {
  if (distinct.length <= MOST) {
    const at = new Map(distinct.map((value, index) => [value, index]));
    return {of: (value) => at.get(value), centres: distinct};
  }
  const all = sorted(values), edges = new Set();
  for (let part = 1; part < MOST; part += 1) edges.add(quantile(all, part / MOST));
  const ends = [...edges], of = (value) => ends.filter((end) => end < value).length;
  const members = Array.from({length: ends.length + 1}, () => []);
  for (const value of all) members[of(value)].push(value);
  // A group in which nobody is stands for its edge.
  const centre = (some, at) => (some.length ? quantile(some, 0.5) : ends[Math.min(at, ends.length - 1)]);
  return {of, centres: members.map(centre)};
}

function textGroups(values, distinct) {
  const counts = new Map(distinct.map((value) => [value, 0]));
  for (const value of values) if (value !== null) counts.set(value, counts.get(value) + 1);
  const often = distinct.slice().sort((a, b) => counts.get(b) - counts.get(a));
  const own = distinct.length > MOST ? often.slice(0, MOST - 1) : distinct;
  const at = new Map(own.map((value, index) => [value, index]));
  const rest = distinct.length > MOST ? ["others"] : [];
  return {of: (value) => (at.has(value) ? at.get(value) : own.length), centres: [...own, ...rest]};
}
