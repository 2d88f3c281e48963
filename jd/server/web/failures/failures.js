// The Failures page: why runs fail, by kind, with the values that stand out.

import {setQuery} from "../app.js";
import {ask, button, el, empty} from "../common.js";
import {filterBox} from "../filterbox.js";
import {count, number} from "../format.js";
import {openAction} from "../jobactions.js";
import {pacing} from "../pace.js";
import {became, kindCard} from "./kind.js";
import {apartWords} from "./words.js";

/** The page (see app.js). */
export async function show(main, params, query) {
  const page = new FailuresPage(main, query.get("filter") || "");
  await page.load();
  page.pace.run(() => page.comparing);  // which takes longer, and is not waited for
  return {refresh: (changes, previous) => page.refresh(changes, previous), close: () => page.close()};
}

class FailuresPage {
  constructor(main, filter) {
    this.main = main;
    this.filter = filter;
    this.loads = 0;
    this.comparing = null;  // a promise, while it is found out what stands out
    this.pace = pacing(() => this.load().then(() => this.comparing),
      () => document.querySelector("dialog[open]") !== null);
    this.answer = "";  // as JSON, as it is shown
    this.values = {};  // what stands out, by kind
    this.cards = new Map();
    this.box = filterBox({value: filter, placeholder: "Filter: lr<0.01 opt=adam",
      onchange: (text) => this.search(text)});
    this.retry = el("span");
    this.said = el("div", {class: "failures-say", "aria-live": "polite"});
    this.list = el("ol", {class: "failures", "aria-label": "Kinds of failures"});
    this.note = el("p", {class: "hint"});
    this.apart = el("section", {class: "failures-apart", "aria-labelledby": "failures-apart", hidden: true});
    main.append(el("div", {class: "head"}, el("h1", {}, "Failures"), el("span", {class: "grow"}), this.retry),
      el("div", {class: "toolbar"}, this.box.node), this.said, this.list, this.note,
      this.apart);
  }

  search(text) {
    this.filter = text;
    this.values = {};  // those of other jobs
    setQuery({filter: text});
    return this.pace.run();
  }

  close() {
    this.loads += 1;
    this.pace.close();
  }

  async load() {
    const mine = (this.loads += 1);
    const query = this.filter ? "?filter=" + encodeURIComponent(this.filter) : "";
    this.main.setAttribute("aria-busy", "true");
    try {
      const found = await ask("failures" + query);
      if (mine !== this.loads) return;
      this.box.say("");
      this.show(found);
      this.comparing = found.total ? this.compare(query, mine) : null;
    } catch (error) {
      if (mine === this.loads) this.refuse(error);
    } finally {
      if (mine === this.loads) this.main.removeAttribute("aria-busy");
    }
  }

  /** Look for what stands out, which takes longer. */
  async compare(query, mine) {
    try {
      const found = await ask("failures/values" + query);
      if (mine !== this.loads) return;
      this.values = found.kinds;
      for (const [id, card] of this.cards) card.compare(found.kinds[id]);
      const left = found.names_total - found.names;
      this.note.textContent = this.more + (left > 0 ? ` ${number(left)} parameters are not compared.` : "");
    } catch (error) {
      if (mine === this.loads) this.note.textContent = error.message;
    }
  }

  refuse(error) {
    if (error.status === 400) return this.box.say(error.message, true);
    if (this.answer) {
      this.note.textContent = error.message;
      return undefined;
    }
    const again = button("Try again", () => this.pace.run(), "primary");
    return this.said.replaceChildren(empty("The failures could not be loaded", error.message, again));
  }

  refresh(changes, previous) {
    if (!previous || changes.jobs !== previous.jobs) this.pace.again();
  }

  show(found) {
    const answer = JSON.stringify([this.filter, found]);
    if (answer === this.answer) return;
    this.answer = answer;
    const {kinds, interrupted, total} = found, focus = this.focused();
    const done = () => this.pace.run();
    const {tried, hosts} = found;
    const card = (kind) => kindCard(kind, {filter: this.filter, tried, hosts, done});
    this.cards = new Map([...kinds, ...interrupted].map((kind) => [String(kind.id), card(kind)]));
    const nodes = (some) => some.map(({id}) => this.cards.get(String(id)).node);
    this.list.replaceChildren(...nodes(kinds));
    for (const [id, one] of this.cards) one.compare(this.values[id]);
    this.apart.hidden = !interrupted.length;
    this.apart.replaceChildren(el("h2", {id: "failures-apart"}, "Lost with their workers, or given back"),
      el("p", {class: "hint"}, apartWords(interrupted)),
      el("ol", {class: "failures"}, ...nodes(interrupted)));
    this.list.hidden = !total;
    this.said.replaceChildren(...(total ? summary(found) : [this.nothing(found)]));
    this.more = (total > kinds.length ? `${number(total - kinds.length)} more kinds are not shown.` : "")
      + (found.catching_up ? " Failures of a version before this one are still being looked at." : "");
    this.note.textContent = this.more;
    const filter = [this.filter, "error!=null", "status=ABORTED"].filter(Boolean).join(" ");
    this.retry.replaceChildren(found.stayed ? button(retryWords(found.stayed),
      () => openAction({action: "retry", filter, done})) : "");
    focus();
  }

  /** What puts the focus where it was, once the cards are others. */
  focused() {
    const one = document.activeElement, card = one && one.closest(".failure");
    if (!card) return () => {};
    const at = [...card.querySelectorAll("a, button")].indexOf(one);
    return () => this.cards.get(card.dataset.kind)?.node.querySelectorAll("a, button")[at]?.focus();
  }

  nothing({tried}) {
    if (this.filter) {
      const clear = button("Clear the filter", () => { this.box.set(""); this.search(""); });
      return empty("No failure to show", "No attempt of a job that matches has failed.", clear);
    }
    const words = tried ? `${count(tried, "job")} ended, and no attempt failed.` : "No job has ended yet.";
    return empty("Nothing has failed", words + " When one fails, why stands here.",
      el("a", {class: "button", href: "/jobs"}, "Jobs"));
  }
}

const retryWords = (n) =>
  (n === 1 ? "Retry the one that stayed aborted" : `Retry all ${number(n)} that stayed aborted`);

function summary(found) {
  const text = `${number(found.jobs)} of ${count(found.tried, "job")} failed at least once: `
    + `${count(found.attempts, "attempt")}, ${count(found.total, "kind")}.`;
  return [el("p", {}, text), became(found)];
}
