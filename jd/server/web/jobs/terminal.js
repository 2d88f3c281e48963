// What programs write for terminals, as plain text.

// Colours and cursor movements (ECMA-48); what they would colour stays.
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;

// A progress bar goes back with \r to write its line again: what it wrote last is left.
const last = (line) => line.slice(line.replace(/\r+$/, "").lastIndexOf("\r") + 1).replace(/\r/g, "");

/** What a terminal would leave of `text`: no escapes, and of rewritten lines what was written last. */
export const plain = (text) =>
  text.replace(ESCAPES, "").replace(/\r\n/g, "\n").split("\n").map(last).join("\n");
