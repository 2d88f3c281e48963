// Lists of names as one text, for addresses. Pure functions.

/** A name in which what stands between names has a backslash before it. */
export const escaped = (name) => String(name).replace(/[\\,:]/g, "\\$&");

/** The name that was escaped. */
export const unescaped = (text) => text.replace(/\\(.)/gs, "$1");

/** Names as one text: commas between them, a backslash before a comma, a colon or a backslash within one;
 * of none a single comma. */
export const listText = (names) => names.map(escaped).join(",") || ",";

/** The names of such a text; null for an empty one, which says nothing. */
export function listOf(text) {
  return text ? (text.match(/(?:[^,\\]|\\.)+/gs) || []).map(unescaped) : null;
}
