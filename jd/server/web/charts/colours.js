// The colour scale of a metric. The hues are those of viridis, which grow evenly in lightness, so that they
// can be told apart without seeing red or green and when printed in grey. The best stands out from the page:
// dark on light, bright on dark.

import {printing} from "../print.js";

const STOPS = [
  [68, 1, 84], [71, 39, 119], [62, 73, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37]];
const SHADES = 64;

function viridis(at) {
  const place = Math.max(0, Math.min(1, at)) * (STOPS.length - 1);
  const below = Math.min(STOPS.length - 2, Math.floor(place));
  const next = STOPS[below + 1], share = place - below;
  return STOPS[below].map((part, index) => Math.round(part + (next[index] - part) * share));
}

/** Whether the page is dark now; paper never is. */
export function isDark() {
  if (printing()) return false;
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "dark" || chosen === "light") return chosen === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** 64 colours, from the worst to the best, each three parts of 0..255. */
export function shades(dark) {
  const [worst, best] = dark ? [0.22, 1] : [0.86, 0];
  return Array.from({length: SHADES}, (_, at) => viridis(worst + (best - worst) * at / (SHADES - 1)));
}

// Eight colours that differ in the same way for all of normal, red-blind, green-blind and blue-blind eyes (by
// 0.11 in OKLab at least), and stand out 3:1 from the page.
const APART = {
  light: ["#3735b1", "#b68b16", "#079e92", "#940500", "#9d74f8", "#9f5b27", "#006f9c", "#5e2154"],
  dark: ["#575eec", "#f8ca65", "#55b790", "#d4212d", "#a584dc", "#e08b20", "#6ad8f9", "#ab618c"],
};

/** The colour of one of few, told apart from those of the others; the ninth is that of the first. */
export function colourOf(index, dark) {
  const all = APART[dark ? "dark" : "light"];
  return all[index % all.length];
}

/** The shade of a goodness from 0 (worst) to 1 (best). */
export const shadeAt = (goodness) => Math.max(0, Math.min(SHADES - 1, Math.floor(goodness * SHADES)));

export const css = ([red, green, blue], alpha) =>
  alpha === undefined ? `rgb(${red} ${green} ${blue})` : `rgb(${red} ${green} ${blue} / ${alpha})`;

/** "ink-black" or "ink-white": the class of a text that reads well on a colour (WCAG contrast). */
export function inkOn(parts) {
  const [red, green, blue] = parts.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : Math.pow((share + 0.055) / 1.055, 2.4);
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "ink-black" : "ink-white";
}
