// A strip that says when the jobs of a sweep ran several versions of the code.

import {el} from "./common.js";
import {count, number} from "./format.js";
import {live} from "./live.js";

const listed = (words) => (words.length > 1
  ? words.slice(0, -1).join(", ") + " and " + words[words.length - 1] : words.join(""));

// The jobs of one version, as a link to them.
const version = ({code, jobs}, most) => el("span", {},
  el("a", {href: "/jobs?filter=" + encodeURIComponent("code=" + code), class: "mono"}, code),
  ` (${jobs > most ? "more than " + count(most, "job") : count(jobs, "job")})`);

function words({versions, differ_in: differ, most_counted: most}) {
  const all = versions.flatMap((one, at) => [at ? ", " : "", version(one, most)]);
  return el("span", {}, "Jobs ran ", el("b", {}, `${number(versions.length)} versions of the code`), ": ",
    ...all, `. They differ in ${listed(differ)}.`);
}

/** {node, close()}: the strip, hidden while there is one version only. */
export function codeMix() {
  const node = el("div", {class: "banner warn", role: "note", id: "code-mix", hidden: true});
  let before = "";
  const close = live.on(({codes}) => {
    const now = JSON.stringify(codes || null);
    if (now === before) return;
    before = now;
    node.hidden = !codes;
    node.replaceChildren(...(codes ? [words(codes)] : []));
  });
  return {node, close};
}
