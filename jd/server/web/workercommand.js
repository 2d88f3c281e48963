// The command lines that start a worker for this experiment.

import {me} from "./app.js";

const quoted = (text) => (/^[\w:/.@%+=,-]+$/.test(text) ? text : "'" + text.replace(/'/g, "'\\''") + "'");

/** Where the server is found by itself: by its access file, or at the Hub. */
export function foundCommand() {
  return "jd_worker_cli expId=" + quoted(me.expId) + " entry_script=train.py";
}

/** Anywhere. */
export function workerCommand() {
  const command = foundCommand();
  return me.hub ? command : command + " server=" + quoted(me.server_url || location.hostname);
}
