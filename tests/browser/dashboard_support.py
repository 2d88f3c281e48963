"""A job server with a PIN and a browser that is signed in to its dashboard.

A test module imports the fixtures `browser` and `dashboard` by name.
"""

from pathlib import Path
from typing import Any, Dict, Iterator, List
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from jd.net.multipart import encode_upload
from jd.protocol import UPLOAD
from tests.browser.webdriver import Browser
from tests.e2e.processes import Server

PIN = "271828"
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
DESKTOP, PHONE = (1440, 900), (360, 740)


class Dashboard(Server):
    """`jd_server` and what a test asks of it from outside the browser."""

    def __init__(self, directory: Path, *flags: Any) -> None:
        super().__init__(directory, *flags, JD_SERVER_PIN=PIN)
        self.page = self.ready["dashboard_url"]

    def create_jobs(self, jobs: List[Dict[str, Any]]) -> int:
        """Make jobs; the id of the first."""
        return int(self.call("/api/jobs/create", {"jobs": jobs})["start_id"])

    def claim(self, worker_id: str = "node1-0-0") -> Dict[str, Any]:
        """Take the next job, as an idle worker does."""
        answer = self.call("/worker/heartbeat", {
            "worker_id": worker_id, "host": worker_id.partition("-")[0], "machine_type": "cpu",
            "reported_status": "idle", "current_job_id": None, "applied_version": 0,
            "system_metrics": {"cpu_util": 12.5}, "jd_worker_version": "1.29.0"})
        return dict(answer["job"])

    def finish(self, job_id: int, status: str = "DONE", message: str = "finished") -> None:
        """Report the result of a job that is running."""
        self.call("/update_job_status", {"job_id": job_id, "status": status, "message": message})

    def upload(self, job_id: int, name: str, content: bytes) -> None:
        """Send a file of a job, as a script's jd_upload does."""
        frame = encode_upload({"job_id": str(job_id)}, "file", name, len(content))
        request = Request(self.url + UPLOAD, frame.prefix + content + frame.suffix,
                          {"Content-Type": frame.content_type})
        with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
            assert answer.status == 200


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for a module."""
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def dashboard(tmp_path: Path, browser: Browser) -> Iterator[Dashboard]:
    """A new server, the browser signed in; its pages must say nothing on the console and ask nobody else."""
    browser.go("about:blank")  # where a test that failed has left a page of its own server
    browser.devtools("Network.clearBrowserCookies")
    browser.size(*DESKTOP)
    browser.console()
    browser.requested()
    # The workers of these tests are calls that take no notice of a pause.
    with Dashboard(tmp_path, "--pause-failing", "false") as started:
        sign_in(browser, started)
        yield started
        said, asked = browser.console(), browser.requested()
        assert said == [], said
        elsewhere = [url for url in asked if not url.startswith(started.page + "/")]
        assert asked and elsewhere == [], elsewhere
        # Its live connection would go on asking a server that is gone.
        browser.go("about:blank")
        assert started.stop() == 0
        assert started.errors == "", started.errors


def sign_in(browser: Browser, dashboard: Dashboard) -> None:
    """By the form, as people do."""
    browser.go(dashboard.page + "/signin")
    browser.type("#pin", PIN)
    browser.click("form button")
    browser.wait_path("/jobs")
    browser.wait("document.getElementById('experiment').textContent !== ''")


def no_sideways_scrolling(browser: Browser) -> bool:
    """Whether the page fits its window.

    On a phone what is too wide makes innerWidth grow, but not the screen.
    """
    return bool(browser.run(
        "return document.documentElement.scrollWidth <= Math.min(innerWidth, screen.width)"))
