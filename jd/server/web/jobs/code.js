// Which code the attempts of a job ran.

import {el} from "../common.js";

const SHORT = 7;  // digits of a commit or a hash, as git shows them

const commit = ({commit: full, clean}) => (full ? full.slice(0, SHORT) + (clean === false ? "+" : "") : "");

/** The version of one attempt, as a link to all jobs that ran it. */
export function version(code) {
  if (!code) return el("span", {class: "none", title: "Its worker has not told"}, "–");
  return el("a", {class: "mono", href: "/jobs?filter=" + encodeURIComponent("code=" + code.code),
    title: "All jobs that ran this version"}, code.code);
}

/** The codes of some attempts, each once, with the attempts that ran it. */
export function codes(attempts) {
  const found = new Map();
  for (const {number, code} of attempts) {
    if (!code) continue;
    const key = JSON.stringify(code);
    if (!found.has(key)) found.set(key, {code, numbers: []});
    found.get(key).numbers.push(number);
  }
  return [...found.values()].map(({code, numbers}) => one(code, numbers));
}

function one(code, numbers) {
  const line = ([name, text, title]) => [el("dt", {}, name), el("dd", {class: "mono", title: title || false},
    text)];
  const packages = Object.entries(code.distributions || {});
  const python = code.version ? " " + code.version : "";
  const facts = [
    ["attempts", [...numbers].reverse().join(", ")],
    ["version", version(code)],
    ["script", [code.script, code.hash && code.hash.slice(0, SHORT)].filter(Boolean).join(" "), code.hash],
    ["commit", commit(code), code.commit],
    ["snapshot", code.snapshot ? code.snapshot.slice(0, SHORT) : "", code.snapshot],
    ["interpreter", (code.interpreter || "") + python],
  ].filter(([, text]) => text);
  return el("div", {class: "job-code"}, el("dl", {class: "facts"}, ...facts.flatMap(line)),
    code.clean === false ? el("p", {class: "hint"}, "+: files of the commit had been changed.") : "",
    packages.length ? el("details", {},
      el("summary", {}, `${packages.length} ${packages.length === 1 ? "package" : "packages"}`),
      el("dl", {class: "facts"}, ...packages.flatMap(line))) : "");
}
