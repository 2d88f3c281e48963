// What is shown where no worker is: how one is started.

import {me} from "../app.js";
import {button, el, empty, secret} from "../common.js";
import {count} from "../format.js";
import {foundCommand, workerCommand} from "../workercommand.js";

// The command lines that start workers here, as [label, text, hint].
function lines() {
  const start = workerCommand() + " num_workers=4";
  if (me.hub) {
    return [["With the Hub of this server",
      `export JD_HUB_URL=${me.hub_url}\nexport JD_API_KEY=YOUR_KEY\n${start}`,
      "The key is made on the Hub's page API keys. The Hub tells workers where this server is."]];
  }
  return [
    ["As the user who started the server, on every machine that shares the home",
      foundCommand() + " num_workers=4",
      "Other machines than the server's own reach it only if it listens for them: --host 0.0.0.0."],
    ["Elsewhere",
      "export JD_SERVER_TOKEN_FILE=token.txt\n" + start,
      "The file holds the server's token: that of --token-file, else the one in meta/token of its data."]];
}

/** What stands in the place of an empty list. `past`: it is the list of those that have left, of which there
 * are `left`; `narrowed`: filters are set, which `clear` takes off. */
export function emptyList(past, narrowed, left, clear) {
  if (narrowed) {
    const all = button("Clear filters", clear, "primary");
    return empty("No worker matches", "Other filters may find one.", all);
  }
  if (past) {
    return empty("No worker has left",
      "Workers that were stopped or are not heard of any more are listed here.", null);
  }
  const made = left
    ? empty("No worker is active", `${count(left, "has", "have")} stopped or been lost. Start some:`, null)
    : empty("No workers yet",
      "A worker asks this server for jobs and runs your script once for each. Start some:", null);
  made.append(el("div", {class: "wstarts"}, ...lines().map(([label, text, hint]) =>
    el("div", {}, el("h3", {}, label), secret(text, label), el("p", {class: "hint"}, hint)))));
  return made;
}
