// The output of an attempt: a box that follows while it runs.

import {button, el} from "../common.js";

// Colours and cursor movements of terminals (ECMA-48); what they would colour stays.
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;

/** What a terminal would leave of `text`: no escapes, and a line that a progress bar rewrote as it was last. */
export function plain(text) {
  return text.replace(ESCAPES, "").replace(/\r\n/g, "\n").split("\n")
    .map((line) => line.slice(line.replace(/\r+$/, "").lastIndexOf("\r") + 1).replace(/\r/g, "")).join("\n");
}

/** The box; `show(text, running)` fills it without moving what somebody reads. */
export function outputBox() {
  const box = el("pre", {class: "output", tabindex: 0, role: "log", "aria-label": "Output", "aria-live": "off"});
  const follow = el("input", {type: "checkbox", checked: true, onchange: () => follow.checked && end()});
  const wrap = el("input", {type: "checkbox", checked: true, onchange: () => box.classList.toggle("unwrapped", !wrap.checked)});
  const state = el("span", {class: "hint", role: "status"});
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(box.textContent);
      copy.textContent = "Copied";
    } catch (error) {  // browsers forbid it on pages that are neither https nor this machine's
      getSelection().selectAllChildren(box);
      copy.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl-C";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2500);
  }, "small");
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
