"""Whether everybody can use the dashboard: names, contrast, keyboard, narrow windows; in Chromium,
in both themes.

Rules of WCAG 2.1: 1.4.3 (contrast of text), 4.1.2 (names of controls), 1.4.10 (reflow).
"""

import json
from typing import Any

import pytest

from tests.browser.dashboard_support import (
    DESKTOP,
    PHONE,
    Dashboard,
    browser,
    dashboard,
    no_sideways_scrolling,
)
from tests.browser.webdriver import TAB, Browser, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]
__all__ = ["browser", "dashboard"]

# What is hard to read: text whose colour stands out less than 4.5:1 from what is painted behind it, 3:1 where
# it is large. Colours are read back from a canvas, which knows every notation.
FAINT = r"""
const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = (text) => {
  paint.clearRect(0, 0, 1, 1);
  paint.fillStyle = text;
  paint.fillRect(0, 0, 1, 1);
  return [...paint.getImageData(0, 0, 1, 1).data];
};
const over = (top, below) => {
  const share = top[3] / 255;
  return [0, 1, 2].map((at) => top[at] * share + below[at] * (1 - share)).concat(255);
};
const behind = (one) => {
  const layers = [];
  for (let node = one; node; node = node.parentElement) {
    layers.push(rgba(getComputedStyle(node).backgroundColor));
  }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 255]);
};
// In a drawing it is the box below the text that counts.
const below = (one) => {
  one.scrollIntoView({block: "center", inline: "center"});
  const {x, y, width, height} = one.getBoundingClientRect();
  const box = document.elementsFromPoint(x + width / 2, y + height / 2).find((hit) => hit.tagName === "rect"
    && getComputedStyle(hit).fill !== "none");
  return box ? over(rgba(getComputedStyle(box).fill), behind(one)) : behind(one);
};
const light = (colour) => {
  const linear = (n) => n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = colour.slice(0, 3).map((n) => linear(n / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const faint = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const text = walk.currentNode.textContent.trim(), one = walk.currentNode.parentElement;
  if (!text || !one.checkVisibility({opacityProperty: true, visibilityProperty: true})
    || one.closest("script, :disabled, option, .sr, .skip")) continue;
  const style = getComputedStyle(one), drawn = one instanceof SVGElement;
  const back = drawn ? below(one) : behind(one);
  const ink = over(rgba(drawn ? style.fill : style.color), back);
  const [high, low] = [light(ink), light(back)].sort((a, b) => b - a), ratio = (high + 0.05) / (low + 0.05);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  if (ratio < (large ? 3 : 4.5)) {
    faint.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)} (${one.tagName} ${one.className})`);
  }
}
return faint;
"""

# Controls that a screen reader could not name.
NAMELESS = r"""
const controls = document.querySelectorAll("a[href], button, input, select, textarea, [role=tab], dialog");
const labelled = (one) => one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.title
  || (one.labels && one.labels.length);
const speaks = (one) => one.matches("a, button, [role=tab]")
  && (one.textContent.trim() || one.querySelector("img[alt]:not([alt=''])"));
return [...controls].filter((one) => one.checkVisibility() && !labelled(one) && !speaks(one))
  .map((one) => one.outerHTML.slice(0, 120));
"""

PAGES = ("/jobs", "/jobs/1", "/results", "/curves", "/failures", "/history", "/compare?ids=1,2,3",
         "/workers", "/settings")


def sweep(dashboard: Dashboard) -> None:
    """Jobs in every state, results, curves, workers that are busy, idle, failing and gone."""
    dashboard.create_jobs([{"lr": 10.0 ** -(at % 4), "opt": "adam" if at % 2 else "sgd", "depth": at}
                           for at in range(24)])
    for at in range(12):
        job = dashboard.claim("node%d_egg_%d" % (at % 2, at % 2))
        dashboard.upload(job["job_id"], "result.json",
               json.dumps({"loss": 1.0 / (at + 1), "f1": at / 12}).encode())
        dashboard.call("/worker/report", {"job_id": job["job_id"], "attempt": 1, "first": 0, "reports": [
            [step, {"step": step, "course": (at + 1) / (step + 1)}] for step in range(9)]})
        dashboard.finish(job["job_id"], "ABORTED" if at % 2 else "DONE", "exit 1" if at % 2 else "")
    dashboard.claim("node0_egg_0")
    dashboard.call("/workers/cli/stop", {"worker_id": "node1_egg_1", "source": "node1", "action": "stop"})


def ready(browser: Browser, path: str) -> None:
    """The page is there, with what it loads."""
    browser.wait({
        "/jobs": "document.querySelectorAll('.jobs tbody tr').length > 20",
        "/jobs/1": "document.querySelector('.files li') && document.querySelector('#job-curves canvas')",
        "/results": "document.querySelectorAll('main svg, main canvas').length > 3",
        "/curves": "document.querySelectorAll('.curves-runs tbody tr').length === 12",
        "/failures": "document.querySelector('.failure-values p, .standouts') !== null",
        "/history": "document.querySelector('.plot-best .surface') !== null",
        "/compare?ids=1,2,3": "document.querySelectorAll('.compare-table thead th').length === 3",
        "/workers": "document.querySelector('main tbody tr') !== null",
        "/settings": "document.querySelectorAll('main input').length > 5",
    }[path])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_and_controls_have_names(browser: Browser, dashboard: Dashboard, theme: str) -> None:
    sweep(dashboard)
    browser.run("localStorage.setItem('theme', arguments[0])", theme)
    for size in (DESKTOP, PHONE):
        browser.size(*size)
        for path in PAGES:
            browser.go(dashboard.page + path)
            ready(browser, path)
            where = (theme, size, path)
            assert browser.run("return document.documentElement.dataset.theme") == theme
            assert browser.run(FAINT) == [], where
            assert browser.run(NAMELESS) == [], where
            assert no_sideways_scrolling(browser), where
    browser.go(dashboard.page + "/jobs")
    browser.click("button", "New jobs")
    browser.wait("document.querySelector('dialog.create').open")
    assert browser.run(FAINT) == [] and browser.run(NAMELESS) == []


def test_faint_text_and_nameless_controls_are_found(browser: Browser, dashboard: Dashboard) -> None:
    browser.wait_text("New jobs")
    browser.run("const p = document.createElement('p'); p.textContent = 'faint'; p.style.color = '#999';"
                "p.style.background = '#ccc'; const b = document.createElement('button');"
                "document.getElementById('main').append(p, b)")
    assert [text.partition(":")[0] for text in browser.run(FAINT)] == ["faint"]
    assert browser.run(NAMELESS) == ["<button></button>"]


def test_tab_reaches_every_control_and_shows_where_it_is(browser: Browser, dashboard: Dashboard) -> None:
    sweep(dashboard)
    for path in ("/jobs", "/results", "/curves", "/failures", "/history", "/compare?ids=1,2,3",
                 "/workers", "/settings"):
        browser.go(dashboard.page + path)
        ready(browser, path)
        wanted = browser.run("""
            window.seen = new Set();
            const controls = document.querySelectorAll("a[href], button, input, select, textarea, summary");
            window.wanted = [...controls].filter((one) => one.checkVisibility({visibilityProperty: true})
              && !one.disabled && one.tabIndex >= 0 && one.type !== "radio"
              && !one.closest("tbody tr ~ tr ~ tr"));
            return window.wanted.length""")
        assert wanted > 8, path
        for _ in range(260):
            browser.keys(TAB)
            dim = browser.run("""
                const one = document.activeElement, style = getComputedStyle(one);
                window.seen.add(one);
                const shown = style.outlineStyle !== "none" || style.boxShadow !== "none";
                return one === document.body || shown ? "" : one.outerHTML.slice(0, 120)""")
            assert dim == "", path
            if browser.run("return window.wanted.every((one) => window.seen.has(one) || !one.isConnected)"):
                break
        missed: Any = browser.run(
            "return window.wanted.filter((one) => one.isConnected && !window.seen.has(one))"
            ".map((one) => one.outerHTML.slice(0, 120))")
        assert missed == [], path
