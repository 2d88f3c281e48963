// The box for the filter language, with its help; and what a page changes in such a text itself.

import {button, el} from "./common.js";
import {STATUSES} from "./format.js";

const WAIT = 600;
const EXAMPLES = [
  ["lr<0.01 opt=adam", "all conditions hold; =  !=  <  <=  >  >="],
  ["status=DONE,ABORTED", "one of several"],
  ["opt=\"a b\"", "quotes around blanks"],
  ["started>-1h", "of the last hour; also 30m, 2d, 2026-01-31T12:00 (UTC)"],
  ["runtime>600 attempts>=2", "seconds; how often it was started"],
  ["worker=node7-0-1", "the whole worker id"],
  ["result.loss<0.3 param.lr=0.1", "when a name is both"],
  ["resnet", "a word alone: in parameters, worker ids and messages of attempts; digits also match the job's id"],
];

const words = (text) => text.match(/(?:[^\s"]|"[^"]*"?)+/g) || [];
const isStatus = (word) => /^status=/i.test(word);

/** The statuses that a filter asks for; none where it says nothing of them. */
export function statusesOf(text) {
  const found = words(text).filter(isStatus).map((word) => word.slice(7).replace(/"/g, "").toUpperCase().split(","));
  return found.length === 1 ? found[0].filter((name) => STATUSES.includes(name)) : [];
}

/** The filter with exactly these statuses asked for (none: with all). */
export function withStatuses(text, statuses) {
  const rest = words(text).filter((word) => !/^status!?=/i.test(word));
  return (statuses.length ? ["status=" + statuses.join(",")] : []).concat(rest).join(" ");
}

/** A condition `name=value` as text of a filter. */
export const condition = (name, value) => name + "=" + (/[\s",]/.test(value) || value === "" ? "\"" + value.replace(/"/g, "") + "\"" : value);

/** A filter box: {node, input, set(text), say(text, bad), names(list)}. `onchange(text)` is called when the text has
 * changed and typing has paused, or at Enter. */
export function filterBox({value, onchange, placeholder}) {
  let applied = value || "", timer = 0, known = [];
  const apply = () => {
    clearTimeout(timer);
    const text = input.value.trim();
    if (text === applied) return;
    applied = text;
    onchange(text);
  };
  const input = el("input", {type: "search", class: "filter", autocomplete: "off", autocapitalize: "none", spellcheck: "false",
    "aria-label": "Filter", "aria-describedby": "filter-say", placeholder: placeholder || "Filter: lr<0.01 opt=adam status=DONE",
    oninput: () => { clearTimeout(timer); timer = setTimeout(apply, input.value ? WAIT : 0); },
    onkeydown: (event) => { if (event.key === "Escape" && !input.value) input.blur(); }});
  input.value = applied;
  const say = el("p", {class: "say bad", id: "filter-say", "aria-live": "polite"});
  const put = (text) => {
    input.value = (input.value.trim() + " " + text).trim();
    panel.hidePopover();
    input.focus();
    if (!text.endsWith("=")) apply();
  };
  const panel = el("div", {class: "menu filter-help", popover: "auto"});
  const help = el("button", {type: "button", class: "filter-ask", "aria-label": "How to filter", title: "How to filter", onclick: () => {
    panel.replaceChildren(
      el("dl", {}, ...EXAMPLES.flatMap(([example, text]) =>
        [el("dt", {}, button(example, () => put(example), "mono")), el("dd", {}, text)])),
      el("p", {class: "hint"}, "Names: status id worker attempts runtime started finished priority, and those of parameters and results."),
      known.length ? el("p", {class: "filter-names"}, ...known.slice(0, 40).map((name) => button(name, () => put(name + "="), "chip"))) : "");
    panel.showPopover();
    const at = node.getBoundingClientRect();
    panel.style.setProperty("left", Math.max(8, Math.min(at.left, document.documentElement.clientWidth - panel.offsetWidth - 8)) + "px");
    panel.style.setProperty("top", at.bottom + 4 + "px");
  }}, "?");
  const form = el("form", {role: "search", class: "filter-box", onsubmit: (event) => { event.preventDefault(); apply(); }}, input, help, panel);
  const node = el("div", {class: "grow"}, form, say);
  return {node, input,
    set(text) { applied = text; input.value = text; say.textContent = ""; },
    say(text, bad) {
      say.textContent = text || "";
      say.className = "say " + (bad ? "bad" : "");
      input.setAttribute("aria-invalid", String(Boolean(text && bad)));
    },
    names(list) { known = list; }};
}
