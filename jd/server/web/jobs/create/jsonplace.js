// Where a text stops being JSON.

/** {line, column}, both from 1, by the message of JSON.parse; null where that does not tell. */
export function jsonPlace(text, error) {
  const named = /line (\d+) column (\d+)/.exec(error.message);
  if (named) return {line: Number(named[1]), column: Number(named[2])};
  const position = /position (\d+)/.exec(error.message);
  if (!position) return null;
  const before = text.slice(0, Number(position[1])).split("\n");
  return {line: before.length, column: before[before.length - 1].length + 1};
}
