// The output of an attempt: a box that follows while it runs, and shows all of it on demand.

import {ask, at, button, copyButton, el, fail} from "../common.js";
import {bytes} from "../format.js";
import {plain} from "./terminal.js";

const MOST = 4 * 2 ** 20;  // characters in the box; what is before the last half of them goes
const LARGEST = 2 ** 20;  // bytes in one answer

/** What stands after `before` where so many bytes are not there. */
function joint(before, left) {
  const begin = before === "" || before.endsWith("\n") ? "" : "\n";
  return left ? `${begin}[... ${left.toLocaleString("en")} bytes of output are left out here ...]\n` : "";
}

/** The box of a job. `attempts(list)` tells which there are, newest first; `poll()` gets what is new. It
 * begins with the attempt `wanted`, if there is such a one. */
export function outputBox(jobId, wanted = null) {
  const box = el("pre",
    {class: "output", tabindex: 0, role: "log", "aria-label": "Output", "aria-live": "off"});
  const follow = el("input", {type: "checkbox", checked: true, onchange: () => follow.checked && end()});
  const wrap = el("input", {type: "checkbox", checked: true,
    onchange: () => box.classList.toggle("unwrapped", !wrap.checked)});
  const state = el("span", {class: "hint", role: "status"});
  const copy = copyButton(box, "small");
  const which = el("select", {"aria-label": "Attempt", hidden: true,
    onchange: () => choose(Number(which.value)).catch(fail)});
  const download = el("a", {class: "button small quiet", download: "", hidden: true}, "Download");
  const all = button("Show from the beginning", () => fromTheBeginning().catch(fail), "quiet");
  const cut = el("p", {class: "hint output-cut", role: "note", hidden: true}, el("span", {}), " ", all);
  const end = () => { box.scrollTop = box.scrollHeight; };
  box.addEventListener("scroll", () => {
    follow.checked = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  }, {passive: true});
  const tools = el("div", {class: "output-tools"}, state, which,
    el("label", {class: "check"}, follow, "Follow"), el("label", {class: "check"}, wrap, "Wrap"),
    copy, download);
  const node = el("div", {}, cut, box);

  let latest = null, shown = null;  // attempts
  let text = "", begins = 0, next = null, last = {};  // next is null until something was asked
  let busy = false;

  const get = (more) => ask(`job/output?id=${jobId}&attempt=${shown}${more}`);

  /** Put text into the box, without moving what somebody reads. */
  function put(fresh, instead) {
    const following = follow.checked;
    const before = text;
    text = instead ? fresh : text + fresh;
    if (text.length > MOST) {
      const from = text.indexOf("\n", text.length - MOST / 2) + 1;
      begins += new TextEncoder().encode(text.slice(0, from)).length;
      text = text.slice(from);
    } else if (!instead && before !== "") {
      if (fresh) box.append(fresh);
      if (fresh && following) end();
      return;
    }
    const wanted = text || (last.running ? "No output yet." : "It wrote nothing.");
    box.classList.toggle("nothing", text === "");
    if (box.textContent === wanted) return;
    box.textContent = wanted;
    if (following) end();
  }

  function take(answer) {
    const first = next === null || answer.tail_only;
    last = answer;
    if (first) begins = answer.offset;
    next = Math.max(answer.next, next || 0);
    put((first ? "" : joint(text, answer.left_out)) + plain(answer.output), first);
    state.textContent = answer.running ? "live" : "";
    download.hidden = text === "";
    cut.hidden = !answer.tail_only && begins === 0 || text === "";
    all.hidden = Boolean(answer.tail_only);
    cut.firstChild.textContent = answer.tail_only
      ? "The last that its worker has sent of it; the worker's own log has all."
      : `The end of ${bytes(answer.size)}.`;
  }

  async function poll() {
    const over = next !== null && last.running === false && next >= last.size;
    if (busy || over || shown === null) return;
    busy = true;
    const asked = shown;
    try {
      let answer;
      do {
        answer = await get(next === null || last.tail_only ? "" : "&offset=" + next);
        if (asked !== shown) return;
        take(answer);
      } while (answer.output && !answer.tail_only && answer.next < answer.size);
    } finally {
      busy = false;
      if (asked !== shown) poll().catch(fail);
    }
  }

  async function fromTheBeginning() {
    const asked = shown;
    let found = "", at = 0, answer;
    do {
      answer = await get(`&offset=${at}&limit=${LARGEST}`);
      if (asked !== shown) return;
      found += joint(found, answer.left_out) + plain(answer.output);
      at = answer.next;
    } while (answer.output && at < answer.size);
    begins = 0;
    next = at;
    put(found, true);
    cut.hidden = begins === 0;
    box.scrollTop = 0;
    follow.checked = false;
  }

  async function choose(attempt) {
    shown = attempt;
    next = null;
    last = {};
    download.href = at(`/web/job/output/log?id=${jobId}&attempt=${attempt}`);
    await poll();
  }

  return {
    tools, node, poll,
    async attempts(list) {
      const numbers = list.map((one) => one.number);
      const newest = numbers.length ? numbers[0] : null;
      which.hidden = numbers.length < 2;
      if (newest !== latest) {
        const asked = latest === null && numbers.includes(wanted);
        const follows = shown === latest && !asked;
        latest = newest;
        which.replaceChildren(...numbers.map((n) => el("option", {value: n}, "Attempt " + n)));
        which.value = String(follows ? newest : asked ? wanted : shown);
        if (asked) return choose(wanted);
        if (follows && newest !== null) return choose(newest);
      }
      return poll();
    },
  };
}
