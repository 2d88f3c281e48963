// Lines of code to take along, where a page has nothing yet.

import {copyButton, el} from "./common.js";

/** Examples side by side where there is room: [label, text] each. */
export const examples = (...wanted) => el("div", {class: "examples"}, ...wanted.map(([label, text]) => {
  const box = el("pre", {class: "code", tabindex: 0, "aria-label": label}, text);
  return el("div", {},
    el("div", {class: "example-head"}, el("span", {class: "hint grow"}, label), copyButton(box, "small")),
    box);
}));
