// Which columns the leaderboard has: a list to tick.

import {button, el, menu} from "../../common.js";
import {cut} from "../../format.js";

const MOST = 40;  // columns; more of them nobody compares
const NARROWED = 12;  // names from which there is a box that narrows them

/** "param.lr" → "lr". */
export const plainName = (name) => name.slice(name.indexOf(".") + 1);

/** A button that opens the list. `all()` gives the names that there are, `shown()` those that are columns,
 * `isChosen()` whether somebody has chosen them; `choose(names)` is told, null for the usual ones. */
export function columnChooser({all, shown, isChosen, choose}) {
  return menu("Columns", () => {
    const names = all(), ticked = shown(), box = el("div", {class: "leader-columns"});
    const group = (label, prefix) => {
      const some = names.filter((name) => name.startsWith(prefix));
      return some.length ? [el("h3", {}, label), ...some.map(entry)] : [];
    };
    function entry(name) {
      const tick = el("input", {type: "checkbox", checked: ticked.includes(name), onchange: () => {
        const rest = ticked.filter((one) => one !== name);
        ticked.splice(0, ticked.length, ...rest, ...(tick.checked ? [name] : []));
        choose([...ticked]);
        limit();
      }});
      return el("label", {title: plainName(name), "data-name": name}, tick, cut(plainName(name), 48));
    }
    const limit = () => {
      for (const tick of box.querySelectorAll("input[type=checkbox]:not(:checked)")) {
        tick.disabled = ticked.length >= MOST;
      }
    };
    box.append(...group("Metrics", "result."), ...group("Parameters", "param."));
    limit();
    const narrow = el("input", {type: "search", placeholder: "Find a name", "aria-label": "Find a name",
      oninput: () => {
        const part = narrow.value.trim().toLowerCase();
        for (const line of box.querySelectorAll("label")) {
          line.hidden = !line.dataset.name.toLowerCase().includes(part);
        }
      }});
    const usual = button("The usual columns", () => {
      choose(null);
      ticked.splice(0, ticked.length, ...shown());
      for (const line of box.querySelectorAll("label")) {
        line.firstChild.checked = ticked.includes(line.dataset.name);
      }
      limit();
    }, "small quiet");
    usual.disabled = !isChosen() && !ticked.length;
    return [...(names.length > NARROWED ? [narrow] : []), box, usual];
  });
}
