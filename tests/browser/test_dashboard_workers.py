"""The pages Workers and Settings in Chromium, against `jd_server`."""

from pathlib import Path
from typing import Any, Dict, List

import pytest

from tests.browser.dashboard_support import (
    DESKTOP,
    EVIL,
    PHONE,
    PIN,
    Dashboard,
    browser,
    dashboard,
    no_sideways_scrolling,
    sign_in,
)
from tests.browser.webdriver import ENTER, ESCAPE, Browser, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]
__all__ = ["browser", "dashboard"]

ONE, TWO, OTHER = "node1_egg_0", "node1_egg_1", "node2_fox_0"
ROWS = "[...document.querySelectorAll('.wname')].map((one) => one.textContent).join()"


def beat(dashboard: Dashboard, worker_id: str, **fields: Any) -> Dict[str, Any]:
    """A heartbeat of an idle worker."""
    host, _, _ = worker_id.split("_")
    body = {"worker_id": worker_id, "host": host, "machine_type": "cpu", "reported_status": "idle",
            "current_job_id": None, "applied_version": 0, "system_metrics": {"cpu_util": 12.5},
            "jd_worker_version": "1.29.0", "session": "session-of-" + worker_id}
    return dict(dashboard.call("/worker/heartbeat", dict(body, **fields)))


def start(dashboard: Dashboard, *worker_ids: str, **fields: Any) -> None:
    for worker_id in worker_ids:
        beat(dashboard, worker_id, **fields)


def open_page(browser: Browser, dashboard: Dashboard, path: str, rows: List[str]) -> None:
    browser.go(dashboard.page + path)
    browser.wait(ROWS + " === arguments[0]", ",".join(rows))


def row(worker_id: str) -> str:
    """The text of a worker's row, as a script."""
    return ("[...document.querySelectorAll('.wtable tbody tr')]"
            ".find((one) => one.textContent.includes('%s')).innerText" % worker_id)


def choose(browser: Browser, worker_id: str, entry: str) -> None:
    """An entry of a row's menu."""
    browser.click(".wtable [aria-label='Actions for %s']" % worker_id)
    browser.click(".wtable .menu button", entry)


def test_the_list_is_filtered_and_shows_one_in_full(browser: Browser, dashboard: Dashboard) -> None:
    start(dashboard, ONE, TWO)
    beat(dashboard, OTHER, machine_type=EVIL)
    open_page(browser, dashboard, "/workers", [ONE, TWO, OTHER])
    assert EVIL[:20] in browser.run("return " + row(OTHER))
    browser.run("const select = document.querySelector('select[aria-label=host]'); select.value = 'node1';"
                " select.dispatchEvent(new Event('change'))")
    browser.wait(ROWS + " === arguments[0]", ONE + "," + TWO)
    assert browser.path == "/workers?host=node1"
    browser.click("button", "Clear filters")
    browser.type("input[type=search]", "fox")
    browser.wait(ROWS + " === arguments[0]", OTHER)
    browser.click(".wname")
    browser.wait("document.querySelector('aside.side')?.innerText.includes('System metrics')")
    assert browser.path == "/workers?text=fox&worker=" + OTHER
    assert EVIL[:20] in browser.run("return document.querySelector('aside.side').innerText")
    browser.keys(ESCAPE)
    browser.wait_path("/workers?text=fox")
    assert browser.run("return document.activeElement.textContent") == OTHER
    browser.go(dashboard.page + "/workers?worker=" + ONE)
    browser.wait("document.querySelector('aside.side .whistory')?.innerText.includes('started')")
    assert browser.run("return document.title") != "owned"


def test_a_command_is_queued_cancelled_given_again_and_taken(browser: Browser, dashboard: Dashboard) -> None:
    start(dashboard, ONE, TWO)
    open_page(browser, dashboard, "/workers", [ONE, TWO])
    choose(browser, ONE, "Pause…")
    browser.wait("document.querySelector('dialog h2')?.textContent === arguments[0]", "Pause %s?" % ONE)
    browser.click("dialog button", "Pause 1 worker")
    browser.wait(row(ONE) + ".includes('queued pause')")
    browser.click("[aria-label='Cancel queued pause of %s']" % ONE)
    browser.click("dialog button", "Take it back")
    browser.wait("!" + row(ONE) + ".includes('queued pause')")
    choose(browser, ONE, "Drain…")
    browser.click("dialog button", "Drain 1 worker")
    browser.wait(row(ONE) + ".includes('queued drain')")
    answer = beat(dashboard, ONE)
    assert answer["desired_state"] == "drain"
    beat(dashboard, ONE, applied_version=answer["desired_version"])
    browser.wait(row(ONE) + ".includes('draining')")
    assert "queued" not in browser.run("return " + row(ONE))
    choose(browser, ONE, "Details")
    browser.wait("document.querySelectorAll('.wsteps li.past').length === 2")
    beat(dashboard, ONE, applied_version=answer["desired_version"], leave=True)
    browser.wait(ROWS + " === arguments[0]", TWO)
    browser.wait("document.querySelectorAll('.wsteps li.past').length === 3")
    browser.keys(ESCAPE)
    browser.click(".tabs [data-tab=disabled]")
    browser.wait(ROWS + " === arguments[0]", ONE)
    browser.click(".wtable [aria-label='Actions for %s']" % ONE)
    assert browser.run("return document.querySelector('.wtable .menu').innerText").split() == ["Details"]
    assert browser.run("return document.querySelectorAll('.wtable input').length") == 0


@pytest.mark.parametrize("where, told", [("", [ONE, TWO, OTHER]), ("?host=node1", [ONE, TWO])])
def test_a_command_for_a_host_or_for_all(browser: Browser, dashboard: Dashboard, where: str,
                                         told: List[str]) -> None:
    start(dashboard, ONE, TWO, OTHER)
    open_page(browser, dashboard, "/workers" + where, told)
    browser.click(".head [aria-haspopup]")
    browser.click(".head .menu button", "Stop…")
    browser.wait("document.querySelectorAll('dialog .wnames li').length === arguments[0]", len(told))
    browser.click("dialog button", "Stop %d workers" % len(told))
    browser.wait("[...document.querySelectorAll('.wtable tbody tr')].every("
                 "(one) => one.innerText.includes('queued stop'))")
    wanted = {worker_id: beat(dashboard, worker_id)["desired_state"] for worker_id in (ONE, TWO, OTHER)}
    assert wanted == {one: "stop" if one in told else "run" for one in (ONE, TWO, OTHER)}


def test_a_host_is_paused_with_three_clicks(browser: Browser, dashboard: Dashboard) -> None:
    start(dashboard, ONE, TWO, OTHER)
    open_page(browser, dashboard, "/workers", [ONE, TWO, OTHER])
    choose(browser, ONE, "Pause host node1…")
    browser.click("dialog button.primary", "Pause 2 workers")
    browser.wait(row(TWO) + ".includes('queued pause')")
    assert "queued" not in browser.run("return " + row(OTHER))


def test_workers_are_shown_by_host(browser: Browser, dashboard: Dashboard) -> None:
    """Means and counts of each host; sorted, in the address, and a click away from its workers."""
    beat(dashboard, ONE, system_metrics={"cpu_util": 90.0, "ram_util": 20.0, "gpu_util": 10.0})
    beat(dashboard, TWO, system_metrics={"cpu_util": 80.0, "ram_util": 40.0})
    beat(dashboard, OTHER, system_metrics={"cpu_util": 95.4})
    open_page(browser, dashboard, "/workers?sort=-cpu", [OTHER, ONE, TWO])
    browser.click("label.check", "By host")
    rows = ("[...document.querySelectorAll('.wtable tbody tr')].map((one) => "
            "[...one.querySelectorAll('td')].map((cell) => cell.textContent).slice(0, 8).join())")
    browser.wait(rows + ".join(' ').includes('node2,1')")
    browser.click(".sort", "CPU")
    browser.click(".sort", "CPU")
    browser.wait(rows + "[0].startsWith('node2')")
    assert browser.run("return " + rows) == [
        "node2,1,–,1,–,–,95 %,–", "node1,2,–,2,–,–,85 %,30 %"]
    assert browser.path == "/workers?by=host&sort=-cpu"
    browser.size(*PHONE)
    assert no_sideways_scrolling(browser)
    browser.click(".wname", "node1")
    browser.wait(ROWS + " === arguments[0]", ONE + "," + TWO)
    assert browser.path == "/workers?host=node1"


def test_a_row_opens_its_worker(browser: Browser, dashboard: Dashboard) -> None:
    start(dashboard, ONE, OTHER)
    open_page(browser, dashboard, "/workers", [ONE, OTHER])
    browser.click(".wtable tbody tr:nth-child(2) td[data-label=Done]")
    browser.wait("document.querySelector('aside.side h2')?.textContent === arguments[0]", OTHER)
    assert browser.path == "/workers?worker=" + OTHER


def test_many_workers_are_paged_and_selected_with_the_keyboard(browser: Browser,
                                                               dashboard: Dashboard) -> None:
    names = ["node_egg_%d" % number for number in range(510)]
    start(dashboard, *names)
    open_page(browser, dashboard, "/workers", names[:100])
    browser.keys("]")
    browser.wait(ROWS + " === arguments[0]", ",".join(names[100:200]))
    browser.wait_text("101–200 of 510")
    browser.keys("[")
    browser.wait(ROWS + " === arguments[0]", ",".join(names[:100]))
    browser.keys("jjx")
    browser.wait("document.querySelector('.bulk strong').textContent === '1 selected'")
    browser.click(".wtable th.check input")
    browser.click(".bulk button", "Select all 510")
    browser.wait("document.querySelector('.bulk strong').textContent === '510 selected'")
    browser.click(".bulk button", "Pause")
    browser.wait("document.activeElement.textContent === 'Pause 510 workers'")
    browser.keys(ENTER)
    browser.wait("document.querySelector('.bulk').hidden")
    assert beat(dashboard, names[509])["desired_state"] == "pause"


def test_a_failing_worker_stands_out_and_what_it_failed_is_tried_again(browser: Browser,
                                                                       dashboard: Dashboard) -> None:
    browser.go(dashboard.page + "/settings")
    browser.type("#set-failing_after", "2")
    browser.click("form button", "Save")
    browser.wait_text("Saved")
    first = dashboard.create_jobs([{"x": number} for number in range(3)])
    for job_id, worker_id, status in ((first, ONE, "ABORTED"), (first + 1, OTHER, "DONE"),
                                      (first + 2, ONE, "ABORTED")):
        assert beat(dashboard, worker_id)["job"]["job_id"] == job_id
        dashboard.finish(job_id, status)
    open_page(browser, dashboard, "/workers?state=failing", [ONE])
    browser.wait(row(ONE) + ".includes('2 failures in a row while others succeed')")
    browser.click(".wtable button", "Retry what it failed…")
    browser.click("dialog button", "Retry 2 jobs")
    browser.wait_text("2 jobs pending again")
    assert beat(dashboard, ONE)["desired_state"] == "pause"
    assert beat(dashboard, OTHER)["job"]["job_id"] == first


def test_without_workers_it_says_how_to_start_one(browser: Browser, dashboard: Dashboard) -> None:
    browser.size(*PHONE)
    browser.go(dashboard.page + "/workers")
    browser.wait_text("No workers yet")
    assert "jd_worker_cli expId=exp " in browser.run("return document.querySelector('.secret').innerText")
    assert no_sideways_scrolling(browser)


@pytest.mark.parametrize("path", ["/workers", "/workers?worker=" + ONE, "/settings"])
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, dashboard: Dashboard, path: str) -> None:
    start(dashboard, ONE, "a-host-with-a-very-long-name.cluster.example.org_instancewithalongname_12")
    browser.size(*PHONE)
    browser.go(dashboard.page + path)
    browser.wait("document.querySelector('.wsteps, .wtable tbody tr, .set-rows') !== null")
    assert no_sideways_scrolling(browser)
    assert browser.run("return [...document.querySelectorAll('.scroll:has(> .as-cards)')].every("
                       "(box) => box.scrollWidth <= box.clientWidth)")


def test_settings_are_checked_stored_and_in_force(browser: Browser, dashboard: Dashboard) -> None:
    browser.go(dashboard.page + "/settings")
    browser.type("#set-lease", "0")
    browser.click("form button", "Save")
    browser.wait("document.getElementById('set-lease').getAttribute('aria-invalid') === 'true'")
    assert "1" in browser.run("return document.getElementById('set-lease-say').textContent")
    browser.type("#set-lease", "900")
    browser.wait_text("15 min")
    browser.click("form button", "Save")
    browser.wait_text("Saved")
    browser.click("#set-paused")
    browser.wait_text("The experiment is paused")
    dashboard.create_jobs([{"x": 1}])
    assert beat(dashboard, ONE)["job"] is None
    browser.go(dashboard.page + "/settings")
    browser.wait("document.getElementById('set-lease')?.value === '900'")
    assert browser.run("return document.getElementById('set-paused').checked")
    browser.click("#set-paused")
    browser.wait("!document.body.innerText.includes('The experiment is paused')")
    assert beat(dashboard, ONE)["job"] is not None


def test_the_pin_is_changed_and_everybody_signed_out(browser: Browser, dashboard: Dashboard) -> None:
    browser.go(dashboard.page + "/settings")
    field = ".set-pin div:nth-of-type(%d) input"
    browser.type(field % 1, "000001")
    browser.type(field % 2, "483920")
    browser.type(field % 3, "483921")
    browser.click(".set-pin button")
    browser.wait_text("The two new PINs differ")
    browser.type(field % 3, "483920")
    browser.click(".set-pin button")
    browser.wait("document.querySelector('.set-pin .problem').textContent !== ''")
    browser.type(field % 1, PIN)
    browser.click(".set-pin button")
    browser.wait_path("/signin")
    assert browser.cookies() == []
    browser.type("#pin", "483920")
    browser.click("form button")
    browser.wait_path("/jobs")
    assert len(browser.cookies()) == 1


def test_a_sweep_ends_by_its_rule_and_goes_on_with_a_click(browser: Browser, tmp_path: Path) -> None:
    browser.size(*DESKTOP)
    with Dashboard(tmp_path) as server:
        sign_in(browser, server)
        server.create_jobs([{"x": number} for number in range(4)])
        browser.go(server.page + "/settings")
        browser.wait("document.getElementById('set-stop_when') !== null")
        browser.type("#set-stop_when", "acc<")
        browser.click("form button", "Save")
        browser.wait("document.getElementById('set-stop_when').getAttribute('aria-invalid') === 'true'")
        browser.type("#set-stop_when", "acc>0.9")
        browser.click("form button", "Save")
        browser.wait_text("there is no 'acc' to search or sort by")
        job = server.claim()
        server.upload(job["job_id"], "result.json", b'{"acc": 0.95}')
        browser.wait_text("The sweep has ended: job 1 has reached acc>0.9. 3 jobs that waited were aborted.")
        assert server.counts() == {"SERVED": 1, "ABORTED": 3}
        browser.wait_text("By the target the sweep has ended once; that counts again when it is changed")
        browser.go(server.page + "/jobs")  # where no scrolling has put the notice below the bar
        browser.click(".notice button", "Go on")
        server.until(SERVED=1, PENDING=3)
        browser.wait("!document.body.innerText.includes('The sweep has ended:')")
        browser.go("about:blank")
        assert server.stop() == 0
