"""Headless Chromium, driven over WebDriver (W3C) with urllib alone."""

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.support import free_env, wait_until

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER),
    reason="no browser: chromium and chromedriver are not installed (Debian: chromium chromium-driver)")

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update", "--disable-sync",
          "--disable-dev-shm-usage", "--no-proxy-server", "--force-color-profile=srgb"]
_MOVED = ("not interactable", "stale element", "click intercepted")  # what was found is no longer there
_LONGEST = 45
ENTER, TAB, ESCAPE = "\ue007", "\ue004", "\ue00c"


class WebDriverError(Exception):
    """What chromedriver answered instead of a result."""


class Browser:
    """A browser with an empty profile; both its processes are gone when the `with` block ends."""

    def __init__(self, directory: Path, dark: bool = False) -> None:
        # A socket of Chromium's lies in here, whose path has a limit of 107 bytes (unix(7)).
        near = str(directory) if len(str(directory)) <= _LONGEST else "/tmp"
        self._scratch = tempfile.mkdtemp(prefix="jdb", dir=near)
        self._log = Path(self._scratch, "driver.log")
        self._session = ""
        self._popen = self._start_driver()
        try:
            port = wait_until(self._port, message="chromedriver listens")
            self._url = "http://127.0.0.1:%s" % port
            flags = _FLAGS + ["--user-data-dir=" + str(Path(self._scratch, "profile"))]
            if dark:
                flags.append("--blink-settings=preferredColorScheme=0")
            made = self._send("POST", "/session", {"capabilities": {"alwaysMatch": {
                "goog:chromeOptions": {"binary": CHROMIUM, "args": flags},
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}})
            self._session = "/session/" + made["sessionId"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Quit Chromium, stop chromedriver by its pid, remove the profile."""
        try:
            if self._session:
                self._send("DELETE", self._session)
        finally:
            self._popen.terminate()
            try:
                self._popen.wait(60)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait(60)
            shutil.rmtree(self._scratch, ignore_errors=True)

    # ---- pages

    def go(self, url: str) -> None:
        """Load a page."""
        self._command("POST", "/url", {"url": url})

    @property
    def tab(self) -> str:
        """The handle of the tab that is looked at."""
        return str(self._command("GET", "/window"))

    @tab.setter
    def tab(self, handle: str) -> None:
        self._command("POST", "/window", {"handle": handle})

    def new_tab(self) -> str:
        """Open another tab, in the background; its handle."""
        return str(self._command("POST", "/window/new", {"type": "tab"})["handle"])

    def close_tab(self) -> None:
        """Close the tab that is looked at; another has to be looked at next."""
        self._command("DELETE", "/window")

    @property
    def path(self) -> str:
        """Where the browser is, without scheme and host."""
        return str(self.run("return location.pathname + location.search"))

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self._command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script: str, *arguments: Any) -> Any:
        """Until the expression is true; its value."""
        def look() -> Any:
            try:
                return self.run("return " + script, *arguments)
            except WebDriverError:  # the page is changing
                return None
        try:
            return wait_until(look, message=script)
        except AssertionError as error:
            raise AssertionError("%s; %s shows: %s" % (
                error, self.path, self.run("return document.body.innerText"))) from None

    def wait_path(self, path: str) -> None:
        """Until the browser is at this path and the page has loaded."""
        self.wait("location.pathname + location.search === arguments[0]"
                  " && document.readyState === 'complete'", path)

    def wait_text(self, text: str) -> None:
        """Until the page shows this text."""
        self.wait("document.body.innerText.includes(arguments[0])", text)

    # ---- hands

    def click(self, css: str, text: Optional[str] = None) -> None:
        """Click on what can be seen of this selector, of those with this text the first.

        A page that is told of something new may take it away, or move it, between the look and the click:
        then it is looked for again, as a person does.
        """
        def clicked() -> bool:
            element = self.wait(
                "[...document.querySelectorAll(arguments[0])].find((one) => one.getClientRects().length"
                " && !one.disabled && (arguments[1] === null || one.textContent.trim() === arguments[1]))",
                css, text)
            try:
                self._command("POST", "/element/%s/click" % element[_ELEMENT], {})
            except WebDriverError as error:
                if not any(word in str(error) for word in _MOVED):
                    raise
                return False
            return True

        wait_until(clicked, message="a click on %s %s" % (css, text or ""))

    def type(self, css: str, text: str) -> None:
        """Type into an empty field."""
        self.wait("document.querySelector(arguments[0])?.getClientRects().length > 0", css)
        element = self._command("POST", "/element", {"using": "css selector", "value": css})[_ELEMENT]
        self._command("POST", "/element/%s/clear" % element, {})
        self._command("POST", "/element/%s/value" % element, {"text": text})

    def keys(self, text: str) -> None:
        """Press keys, wherever the focus is."""
        pressed: List[Dict[str, str]] = []
        for character in text:
            pressed += [{"type": kind, "value": character} for kind in ("keyDown", "keyUp")]
        self._command("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": pressed}]})

    def size(self, width: int, height: int) -> None:
        """The size of the page in CSS pixels, also below the least width of a window."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
                      deviceScaleFactor=1, mobile=width < 500, screenWidth=width, screenHeight=height)

    # ---- facts

    def cookies(self) -> List[Dict[str, Any]]:
        """The cookies of this page."""
        return list(self._command("GET", "/cookie"))

    def console(self) -> List[str]:
        """What the console said since the last call, without plain refusals of the Hub (4xx)."""
        entries = self._command("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries
                if "responded with a status of 4" not in entry["message"]]

    def requested(self) -> List[str]:
        """URLs that pages asked for since the last call."""
        messages = [json.loads(entry["message"])["message"]
                    for entry in self._command("POST", "/se/log", {"type": "performance"})]
        urls = [message["params"]["request"]["url"] for message in messages
                if message["method"] == "Network.requestWillBeSent"]
        # The browser's own first page.
        return [url for url in urls if not url.startswith(("chrome:", "data:"))]

    def devtools(self, method: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._command("POST", "/goog/cdp/execute", {"cmd": method, "params": parameters})

    def screenshot(self, path: Path) -> None:
        """What can be seen, as PNG."""
        path.write_bytes(base64.b64decode(self._command("GET", "/screenshot")))

    # ---- the wire

    def _start_driver(self) -> "subprocess.Popen[bytes]":
        with open(str(self._log), "wb") as log:
            return subprocess.Popen(
                [str(CHROMEDRIVER), "--port=0"], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=free_env(Path(self._scratch), TMPDIR=self._scratch))

    def _port(self) -> Optional[str]:
        ended = self._popen.poll() is not None
        said = self._log.read_text(errors="replace")
        if ended:
            # It takes a free port of ::1, and then that of 127.0.0.1, which somebody else may have.
            assert "Address already in use" in said, said
            self._popen = self._start_driver()
            return None
        _, found, rest = said.partition("on port ")
        # "Starting ChromeDriver … on port 0" comes first.
        while found:
            port = rest.split()[0].rstrip(".")
            if port.isdigit() and port != "0":
                return port
            _, found, rest = rest.partition("on port ")
        return None

    def _command(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Any:
        return self._send(method, self._session + path, body)

    def _send(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
                return json.loads(answer.read())["value"]
        except HTTPError as error:
            raise WebDriverError(json.loads(error.read())["value"]["message"]) from None
        except URLError as error:
            raise WebDriverError("chromedriver: %s" % error.reason) from error
