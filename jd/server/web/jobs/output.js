// The output of an attempt: a box that follows while it runs.

import {copyButton, el} from "../common.js";
import {plain} from "./terminal.js";

/** The box; `show(text, running)` fills it without moving what somebody reads. */
export function outputBox() {
  const box = el("pre",
    {class: "output", tabindex: 0, role: "log", "aria-label": "Output", "aria-live": "off"});
  const follow = el("input", {type: "checkbox", checked: true, onchange: () => follow.checked && end()});
  const wrap = el("input", {type: "checkbox", checked: true,
    onchange: () => box.classList.toggle("unwrapped", !wrap.checked)});
  const state = el("span", {class: "hint", role: "status"});
  const copy = copyButton(box, "small");
  const end = () => { box.scrollTop = box.scrollHeight; };
  box.addEventListener("scroll", () => {
    follow.checked = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  }, {passive: true});
  const tools = el("div", {class: "output-tools"}, state,
    el("label", {class: "check"}, follow, "Follow"), el("label", {class: "check"}, wrap, "Wrap"), copy);
  return {
    tools, box,
    show(text, running) {
      const said = plain(text);
      state.textContent = running ? "live" : "";
      box.classList.toggle("nothing", said === "");
      const wanted = said || (running ? "No output yet." : "It wrote nothing.");
      if (box.textContent === wanted) return;
      const following = follow.checked;
      box.textContent = wanted;
      if (following) end();
    },
  };
}
