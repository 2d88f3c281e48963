// The box for the filter language, with its help.

import {button, el} from "./common.js";

const WAIT = 600;  // milliseconds that typing must pause
const MOST_NAMES = 40;
const EXAMPLES = [
  ["lr<0.01 opt=adam", "all conditions hold; =  !=  <  <=  >  >=, blanks on both sides or on neither"],
  ["status=DONE,ABORTED", "one of several"],
  ["opt=\"a b\"", "quotes around blanks"],
  ["started>-1h", "of the last hour; also 30m, 2d, 2026-01-31T12:00 (UTC)"],
  ["runtime>600 attempts>=2", "seconds; how often it was started"],
  ["worker=node7-0-1", "the whole worker id"],
  ["tag=baseline", "that have this tag"],
  ["result.loss<0.3 param.lr=0.1", "when a name is both"],
  ["message~\"out of memory\"", "a text in messages and errors; also error~, worker~ and of parameters; !~"],
  ["error!=null", "of which an attempt failed"],
  ["resnet",
    "a word alone: in parameters, worker ids and messages of attempts; digits also match the job's id"],
];

/** A filter box: {node, input, set(text), say(text, bad), names(list)}. `onchange(text)` is called when the
 * text has changed and typing has paused, or at Enter. */
export function filterBox({value, onchange, placeholder}) {
  let applied = value || "", timer = 0;

  function apply() {
    clearTimeout(timer);
    const text = input.value.trim();
    if (text === applied) return;
    applied = text;
    onchange(text);
  }

  const input = el("input", {
    type: "search", class: "filter", autocomplete: "off", autocapitalize: "none", spellcheck: "false",
    "aria-label": "Filter", "aria-describedby": "filter-say",
    placeholder: placeholder || "Filter: lr<0.01 opt=adam status=DONE",
    oninput: () => { clearTimeout(timer); timer = setTimeout(apply, input.value ? WAIT : 0); },
    onkeydown: (event) => { if (event.key === "Escape" && !input.value) input.blur(); }});
  input.value = applied;
  const say = el("p", {class: "say bad", id: "filter-say", "aria-live": "polite"});
  const help = filterHelp((text) => {
    input.value = (input.value.trim() + " " + text).trim();
    input.focus();
    if (!text.endsWith("=")) apply();
  });
  const submit = (event) => { event.preventDefault(); apply(); };
  const form = el("form", {role: "search", class: "filter-box", onsubmit: submit},
    input, help.button, help.panel);
  const node = el("div", {class: "grow"}, form, say);
  return {
    node, input,
    set(text) { applied = text; input.value = text; say.textContent = ""; },
    say(text, bad) {
      say.textContent = text || "";
      say.className = "say " + (bad ? "bad" : "");
      input.setAttribute("aria-invalid", String(Boolean(text && bad)));
    },
    names: help.names,
  };
}

// The question mark in the box and the panel that it opens; `put(text)` is called with what is clicked there.
function filterHelp(put) {
  let known = [];
  const panel = el("div", {class: "menu filter-help", popover: "auto"});
  const entry = (shown, text, kind) => button(shown, () => { panel.hidePopover(); put(text); }, kind);

  function open() {
    const examples = EXAMPLES.flatMap(([example, text]) =>
      [el("dt", {}, entry(example, example, "mono")), el("dd", {}, text)]);
    const names = known.slice(0, MOST_NAMES).map((name) => entry(name, name + "=", "chip"));
    panel.replaceChildren(
      el("dl", {}, ...examples),
      el("p", {class: "hint"}, "Names: status id worker host tag needs code attempts runtime started "
        + "finished priority error message, and those of parameters and results."),
      names.length ? el("p", {class: "filter-names"}, ...names) : "");
    panel.showPopover();
    const at = opener.closest(".grow").getBoundingClientRect();
    const most = document.documentElement.clientWidth - panel.offsetWidth - 8;
    panel.style.setProperty("left", Math.max(8, Math.min(at.left, most)) + "px");
    panel.style.setProperty("top", at.bottom + 4 + "px");
  }

  const opener = el("button", {type: "button", class: "filter-ask", "aria-label": "How to filter",
    title: "How to filter", onclick: open}, "?");
  return {button: opener, panel, names(list) { known = list; }};
}
