// How a space is sampled: how many jobs, by which method, with which seed, how often each.

import {el} from "../../common.js";

const METHODS = [["random", "random"], ["halton", "quasi-random (Halton)"], ["grid", "all combinations"]];

/** {node, read(), say(texts), refuse(message)}: `read` gives {n, method, seed, repeat}, and throws an Error
 * for people; `refuse` puts what the server says beside its field, and tells whether there is one. */
export function sampling() {
  const whole = (placeholder, min) => el("input",
    {type: "number", min, step: 1, inputmode: "numeric", placeholder, autocomplete: "off"});
  const fields = {n: whole("64", 1), seed: whole("0", 0), repeat: whole("1", 1),
    method: el("select", {}, ...METHODS.map(([value, label]) => el("option", {value}, label)))};
  fields.n.value = "64";
  const said = {};
  const field = (name, label) => {
    const input = fields[name];
    Object.assign(input, {id: "create-" + name});
    said[name] = el("p", {class: "say bad", id: `create-${name}-say`, "aria-live": "polite"});
    input.setAttribute("aria-describedby", said[name].id);
    return el("div", {}, el("label", {for: input.id}, label), input, said[name]);
  };
  const count = field("n", "Jobs");
  const node = el("div", {class: "create-sampling"}, count, field("method", "Method"), field("seed", "Seed"),
    field("repeat", "Times each"));
  fields.repeat.title = "Repeats differ by a parameter seed of 1, 2, 3, …";

  function say(texts) {
    for (const [name, one] of Object.entries(said)) {
      one.textContent = texts[name] || "";
      fields[name].setAttribute("aria-invalid", String(Boolean(texts[name])));
    }
  }

  return {
    node, say,
    read() {
      const method = fields.method.value, found = {method};
      count.hidden = method === "grid";
      for (const [name, least, label] of [["n", 1, "how many jobs"], ["seed", 0, "a seed"],
        ["repeat", 1, "how often each"]]) {
        const text = fields[name].value;
        if (name === "n" && method === "grid") continue;
        if (text === "" && name !== "n" && !fields[name].validity.badInput) continue;
        const value = Number(text);
        if (text === "" || !Number.isSafeInteger(value) || value < least) {
          const wrong = `Give ${label}: a whole number from ${least} on.`;
          say({[name]: wrong});
          throw new Error(wrong);
        }
        if (name !== "repeat" || value > 1) found[name] = value;
      }
      return found;
    },
    refuse(message) {
      const [, name, sign, rest] = /^(n|seed|repeat|method)(:| is| must) (.*)$/is.exec(message) || [];
      if (!name) return false;
      say({[name.toLowerCase()]: sign === ":" ? rest : message});
      return true;
    },
  };
}
