"""Making jobs and the page of one job in Chromium, against `jd_server`."""

import json
import struct
import zlib
from typing import Any

import pytest

from tests.browser.dashboard_support import (
    DESKTOP,
    EVIL,
    PHONE,
    Dashboard,
    browser,
    dashboard,
    no_sideways_scrolling,
)
from tests.browser.webdriver import Browser, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]
__all__ = ["browser", "dashboard"]

EVIL_NAME = "<img src=x onerror=document.title='owned'>.csv"
BUSY = {"worker_id": "node1-0-0", "host": "node1", "machine_type": "cpu", "reported_status": "busy",
        "applied_version": 0, "system_metrics": {"cpu_util": 41.5}, "jd_worker_version": "1.15.0"}


def picture() -> bytes:
    """A PNG of one red pixel (PNG specification, 11.2)."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00")) + chunk(b"IEND", b""))


def fill(browser: Browser, css: str, text: str, at: int = 0) -> None:
    """Put text into the field at a place among those of a selector."""
    browser.wait("document.querySelectorAll(arguments[0]).length > arguments[1]", css, at)
    browser.run("const one = document.querySelectorAll(arguments[0])[arguments[1]]; one.value = arguments[2];"
                "one.dispatchEvent(new Event('input', {bubbles: true}))", css, at, text)


def parameters(dashboard: Dashboard) -> Any:
    return [job["parameters"] for job in dashboard.jobs()]


def test_a_grid_from_the_form(browser: Browser, dashboard: Dashboard) -> None:
    browser.click("button", "New jobs")
    browser.wait("document.activeElement.matches('.grid-name')")
    browser.keys("lr")
    fill(browser, ".grid-values", "1e-3..1e-1 log 3")
    fill(browser, ".grid-name", "opt", 1)
    fill(browser, ".grid-values", "adam, \"a, b\"", 1)
    browser.wait("document.querySelector('.grid-sum').textContent === '3 × 2 = 6'")
    browser.click("summary", "Advanced")
    fill(browser, "#create-time", "3600")
    for name, text in (("needs", "gpu-a100, cpu"), ("priority", "-3"), ("timeout", "90"), ("attempts", "5")):
        fill(browser, "#create-" + name, text)
    browser.run("document.querySelector('#create-flags').value = 'hydra'")
    browser.click("dialog button", "Create 6 jobs")
    browser.wait_text("6 jobs are made: 1 to 6.")
    assert parameters(dashboard) == [{"lr": lr, "opt": opt} for lr in (0.001, 0.01, 0.1)
                                     for opt in ("adam", "a, b")]
    browser.wait("document.querySelectorAll('.jobs tbody tr').length === 6")
    short = dict(BUSY, reported_status="idle", current_job_id=None, time_left=60.0)
    assert dashboard.call("/worker/heartbeat", short)["job"] is None
    made = dashboard.jobs()[5]
    assert [made[name] for name in ("needs", "priority", "timeout", "max_attempts", "flags")] == [
        ["cpu", "gpu-a100"], -3, 90.0, 5, "hydra"]
    browser.wait("document.querySelector('.jobs tbody td[data-label=Needs]').textContent === 'cpu, gpu-a100'")
    browser.go(dashboard.page + "/jobs/1")
    browser.wait_text("needs cpu and gpu-a100")
    browser.wait_text("5 attempts at most")
    dashboard.create(1, flags="switches")
    browser.go(dashboard.page + "/jobs/7")
    browser.wait_text("parameters as flags=switches")


def test_samples_of_a_space_from_the_form(browser: Browser, dashboard: Dashboard) -> None:
    def say(text: str) -> None:
        browser.wait("[...document.querySelectorAll('dialog .say.bad')].some("
                     "(one) => one.textContent === arguments[0])", text)

    browser.click("button", "New jobs")
    browser.click("dialog .seg button", "Samples")
    browser.click("dialog button", "Add parameter")
    for at, (name, kind) in enumerate((("lr", "log"), ("opt", "list"), ("momentum", "number"))):
        fill(browser, ".grid-name", name, at)
        fill(browser, ".grid-kind", kind, at)
    fill(browser, ".grid-values", "adam, sgd", 1)
    for at, end in ((0, "1"), (1, "0.1"), (4, "0"), (5, "1")):
        fill(browser, ".grid-end", end, at)
    say("The lowest value must be below the highest.")
    fill(browser, ".grid-end", "1e-5", 0)
    # By keyboard: from the last value to the condition.
    browser.run("document.querySelectorAll('.grid-end')[5].focus()")
    browser.keys("\ue004 opt=rms")
    say("when: 'rms' is no value of 'opt'.")  # what the server says stands beside the row as well
    fill(browser, ".grid-when", "opt=sgd", 2)
    fill(browser, "#create-n", "0")
    say("Give how many jobs: a whole number from 1 on.")
    fill(browser, "#create-n", "6")
    fill(browser, "#create-repeat", "2")
    fill(browser, "#create-tags", "drawn")
    browser.wait_text("12 jobs")
    shown = browser.run("return [...document.querySelectorAll('.create-sample tbody tr')].map("
                        "(row) => row.cells[0].textContent)")
    browser.size(*PHONE)
    assert no_sideways_scrolling(browser)
    browser.size(*DESKTOP)
    browser.click("dialog button", "Create 12 jobs")
    browser.wait_text("12 jobs are made: 1 to 12.")
    made = parameters(dashboard)
    assert [float(text) for text in shown] == [job["lr"] for job in made[:5]]
    assert all(("momentum" in job) == (job["opt"] == "sgd") and 1e-5 <= job["lr"] <= 0.1 for job in made)
    assert [job["seed"] for job in made] == [1, 2] * 6 and {job["opt"] for job in made} == {"adam", "sgd"}
    assert all(job["tags"] == ["drawn"] for job in dashboard.jobs())


def test_a_file_with_a_space_and_tags_of_many(browser: Browser, dashboard: Dashboard) -> None:
    browser.click("button", "New jobs")
    browser.click("[role=tab]", "JSON")
    browser.run("const given = new DataTransfer(); given.items.add(new File([arguments[0]], 'space.json'));"
                "document.querySelector('.create-edit').dispatchEvent("
                "new DragEvent('drop', {dataTransfer: given, bubbles: true, cancelable: true}))",
                json.dumps({"space": {"x": {"low": 1, "high": 9}}, "n": 3}))
    browser.click("dialog button", "Create 3 jobs")
    browser.wait_text("3 jobs are made: 1 to 3.")
    browser.wait("document.querySelectorAll('.jobs tbody tr').length === 3")
    browser.click("th.check input")
    browser.click(".bulk button", "More")
    browser.click(".menu button", "Tag")
    browser.wait("document.querySelector('dialog .counts')")
    browser.type(".tag-fields input", "fine, round-2")
    browser.click("dialog button", "Tag 3 jobs")
    browser.wait_text("3 jobs tagged")
    browser.click("td[data-label=Tags] a", "fine")
    browser.wait("document.querySelector('.filter').value === 'tag=fine'")
    assert [job["tags"] for job in dashboard.jobs()] == [["fine", "round-2"]] * 3


def test_jobs_that_no_worker_can_run_are_told_of(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create(2, needs=["gpu", "big"])
    browser.wait_text("2 jobs need big and gpu: no living worker has that all.")
    idle = dict(BUSY, worker_id="node2-0-0", reported_status="idle", current_job_id=None, tags=["gpu", "big"])
    assert dashboard.call("/worker/heartbeat", idle)["job"]["job_id"] == 1
    browser.wait("!document.querySelector('#notices .notice')")


def test_an_absurd_product_is_refused_before_anything_is_made(browser: Browser, dashboard: Dashboard) -> None:
    browser.click("button", "New jobs")
    for at, name in enumerate(("a", "b")):
        fill(browser, ".grid-name", name, at)
        fill(browser, ".grid-values", "1..1001", at)
    browser.wait_text("That makes 1,002,001 jobs; at most 1,000,000 at once.")
    assert browser.run("return document.querySelector('dialog .primary').disabled")
    fill(browser, ".grid-values", "5..1 step -1", 1)
    browser.wait_text("-1 is not a positive number.")
    fill(browser, ".grid-name", "no good", 1)
    fill(browser, ".grid-values", "true, null", 1)
    browser.wait_text("cannot be a --flag")  # the server's word
    assert dashboard.counts() == {}


def test_json_and_a_table(browser: Browser, dashboard: Dashboard) -> None:
    browser.click("button", "New jobs")
    browser.click("[role=tab]", "JSON")
    fill(browser, ".create-text", '{"parameters":\n {"lr": [1, 2}}')
    browser.wait_text("is not JSON: Expecting ',' delimiter at line 2 column 14")  # the server's word
    fill(browser, ".create-text", "lr: [1, 2]")
    browser.wait_text("YAML is not read")
    fill(browser, ".create-text", '[{"lr":1},{"lr":2,"deep":{"a":[1]}}]')
    browser.click("dialog button", "Format")
    browser.wait("document.querySelector('.create-text').value.includes('\\n')")
    browser.click("dialog button", "Create 2 jobs")
    browser.wait_text("2 jobs are made: 1 to 2.")
    browser.click("button", "New jobs")
    browser.click("[role=tab]", "CSV / TSV")
    browser.click("label", "Replace what is pending")
    fill(browser, ".create-text", "lr\topt\n0.5\tsgd\n0.25\n")
    browser.wait_text("Line 3 has")
    fill(browser, ".create-text", "lr\topt\n0.5\tsgd\n")
    browser.wait_text("2 pending jobs go to Deleted")
    browser.click("dialog button", "Create 1 job")
    browser.wait_text("Job 3 is made.")
    assert dashboard.counts() == {"PENDING": 1, "DELETED": 2}
    assert parameters(dashboard) == [{"lr": 0.5, "opt": "sgd"}]  # lists leave out what is DELETED


def test_only_what_does_not_exist_yet(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 0.1}, {"lr": 0.2}])
    browser.click("button", "New jobs")
    browser.click("label", "Add only those that do not exist yet")
    fill(browser, ".grid-name", "lr", 0)
    fill(browser, ".grid-values", "0.1, 0.2", 0)
    browser.wait_text("2 of 2 exist already; there is nothing to make.")
    assert browser.run("return document.querySelector('dialog .primary').disabled")
    fill(browser, ".grid-values", "0.1, 0.3, 0.2", 0)
    browser.wait_text("2 of 3 exist already; 1 would be made.")
    browser.click("dialog button", "Create 1 job")
    browser.wait_text("Job 3 is made. 2 jobs existed already.")
    browser.click("button", "New jobs")
    browser.click("[role=tab]", "JSON")
    browser.click("label", "Add only those that do not exist yet")
    fill(browser, ".create-text", '{"lr": 0.3}\n{"lr": 0.4}')
    browser.click("dialog button", "Create 1 job")
    browser.wait_text("Job 4 is made. 1 job existed already.")
    assert [job["lr"] for job in parameters(dashboard)] == [0.1, 0.2, 0.3, 0.4]


def test_a_running_job_is_followed_live(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 0.1}])
    job = dashboard.claim()
    assert job["job_id"] == 1
    browser.go(dashboard.page + "/jobs/1")
    browser.wait_text("No output yet.")
    browser.run("window.box = document.querySelector('.output')")
    dashboard.call("/worker/heartbeat", dict(BUSY, current_job_id=1,
                                             output_tail="\x1b[31mepoch 1\x1b[0m\n10%\r99%\n"))
    browser.wait("document.querySelector('.output').textContent === 'epoch 1\\n99%\\n'")
    browser.wait("document.querySelector('#job-metrics').textContent.includes('41.5')")
    dashboard.upload(1, "result.json", json.dumps({"loss": 0.25, "test": {"f1": 0.5}}).encode())
    browser.wait("document.querySelector('#job-results').innerText.includes('test.f1')")
    dashboard.finish(1)
    browser.wait("document.querySelector('.job-title .status').textContent === 'done'")
    assert browser.run("return window.box.isConnected && window.box.textContent.startsWith('epoch 1')")


def test_all_of_a_long_output_is_shown_on_demand(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 0.1}])
    dashboard.claim()
    text = "".join("line %06d of the run\n" % number for number in range(5000))
    piece = {"job_id": 1, "attempt": 1, "offset": 0, "output": text}
    dashboard.call("/worker/output", piece)
    beat = dict(BUSY, current_job_id=1, attempt=1, output_tail=text[-1000:], output_size=len(text))
    dashboard.call("/worker/heartbeat", beat)
    browser.go(dashboard.page + "/jobs/1")
    browser.wait_text("The end of 115 kB.")
    assert browser.run("return document.querySelector('.output').textContent") == text[-16 * 1024:]
    more = "and one more line\n"
    dashboard.call("/worker/heartbeat", dict(beat, output_tail=more, output_size=len(text + more)))
    browser.wait("document.querySelector('.output').textContent.endsWith('one more line\\n')")
    assert browser.run("return document.querySelector('.output').textContent") == text[-16 * 1024:] + more
    browser.click("#job-output button", "Show from the beginning")
    browser.wait("document.querySelector('.output').textContent === arguments[0]", text + more)
    assert browser.run("return document.querySelector('.output-cut').hidden")
    href = browser.run("return document.querySelector('.output-tools a').getAttribute('href')")
    assert href == "/web/job/output/log?id=1&attempt=1"
    result = {"job_id": 1, "attempt": 1, "status": "ABORTED", "verdict": "preempted", "output_tail": more,
              "output_size": len(text + more)}
    dashboard.call("/update_job_status", result)
    dashboard.claim()
    dashboard.call("/worker/heartbeat", dict(beat, attempt=2, output_tail="again\n", output_size=6))
    browser.wait("document.querySelector('.output').textContent === 'again\\n'")
    browser.run("const one = document.querySelector('.output-tools select'); one.value = '1';"
                "one.dispatchEvent(new Event('change'))")
    browser.wait("document.querySelector('.output').textContent.endsWith('one more line\\n')")
    assert no_sideways_scrolling(browser)


def test_files_are_shown_and_stay_open(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 0.1}])
    dashboard.claim()
    dashboard.upload(1, "curve.csv", b"epoch,loss\n1,0.5\n2,0.25\n")
    dashboard.upload(1, "plot.png", picture())
    dashboard.upload(1, "page.html", b"<script>document.title='owned'</script>")
    dashboard.upload(1, "weights.bin", bytes(range(256)))
    browser.go(dashboard.page + "/jobs/1")
    browser.wait("document.querySelectorAll('.files > li').length === 4")
    offered = browser.run("return [...document.querySelectorAll('.files > li')]"
                          ".map((one) => one.innerText.includes('Preview'))")
    assert offered == [False, True, True, True]
    browser.run("document.querySelectorAll('[aria-controls^=preview]').forEach((one) => one.click())")
    browser.wait("document.querySelector('.preview-table tbody')?.innerText === '1\\t0.5\\n2\\t0.25'")
    browser.wait("document.querySelector('.preview img')?.naturalWidth === 1")
    browser.wait_text("<script>document.title='owned'</script>")
    dashboard.upload(1, "later.txt", b"more")
    browser.wait("document.querySelectorAll('.files > li').length === 5")
    assert browser.run("return document.querySelector('.preview img').getClientRects().length") == 1
    assert "owned" not in browser.run("return document.title")


def test_what_is_done_to_a_job_and_why_is_kept(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 0.1}, {"lr": 0.2}])
    browser.go(dashboard.page + "/jobs/1")
    browser.wait("document.getElementById('job-attempts') !== null")
    # No machine has run it yet.
    assert not browser.run("return document.getElementById('job-metrics').checkVisibility()")
    browser.click("button", "Edit parameters")
    browser.wait("document.activeElement.matches('dialog textarea')")
    fill(browser, "dialog textarea", "{\"lr\": ")
    browser.click("dialog button", "Save")
    browser.wait_text("This is not JSON")
    fill(browser, "dialog textarea", '{"lr": 0.3}')
    browser.type("#edit-reason", "a slip")
    browser.click("dialog button", "Save")
    browser.wait("document.querySelector('#job-parameters').innerText.includes('0.3')")
    browser.wait("document.querySelector('.timeline').innerText.includes('a slip')")
    browser.click("button", "Abort")
    browser.type("dialog input", "not needed")
    browser.click("dialog button", "Abort")
    browser.wait("document.querySelector('.timeline').innerText.includes('not needed')")
    dashboard.until(PENDING=1, ABORTED=1)
    browser.click("button", "Retry")
    browser.click("dialog button", "Retry")
    browser.wait("document.querySelector('.job-title .status').textContent === 'pending'")
    browser.go(dashboard.page + "/jobs/99")
    browser.wait_text("There is no job 99")
    assert browser.run("return document.querySelector('main a').pathname") == "/jobs"
    browser.console()  # the browser notes the 404 by itself


def edit(browser: Browser, dashboard: Dashboard, job_id: int, old: str, new: str) -> None:
    """Replace a text in the parameters of a job, on its page."""
    browser.go("%s/jobs/%d" % (dashboard.page, job_id))
    browser.wait("document.getElementById('job-parameters') !== null")
    browser.click("button", "Edit parameters")
    browser.wait("document.activeElement.matches('dialog textarea')")
    text = browser.run("return document.querySelector('dialog textarea').value")
    assert old in text
    fill(browser, "dialog textarea", text.replace(old, new))
    browser.click("dialog button", "Save")
    browser.wait_text("Job %d has new parameters." % job_id)


def test_numbers_go_through_the_pages_unchanged(browser: Browser, dashboard: Dashboard) -> None:
    seeds = [1798406481619217041, 1798406481619217042, 18446744073709551615]
    dashboard.create_jobs([{"seed": seed, "lr": 1.0, "x": 0.1, "n": [1.0, 2]} for seed in seeds])
    browser.go(dashboard.page + "/jobs")
    for seed in seeds:
        browser.wait_text(str(seed))
    assert "[1.0,2]" in browser.run("return document.querySelector('.jobs tbody').innerText")
    edit(browser, dashboard, 1, '"x": 0.1', '"x": 0.2')
    browser.wait("document.querySelector('#job-parameters').innerText.includes('0.2')")
    shown = browser.run("return document.querySelector('#job-parameters').innerText")
    assert "1798406481619217041" in shown and "1.0" in shown.split()
    edit(browser, dashboard, 2, '"x"', '"x"')
    wanted = [{"seed": seed, "lr": 1.0, "x": x, "n": [1.0, 2]} for seed, x in zip(seeds, (0.2, 0.1, 0.1))]
    assert json.dumps(parameters(dashboard)) == json.dumps(wanted)  # in Python 1 == 1.0
    browser.go(dashboard.page + "/jobs")
    browser.click("button", "New jobs")
    fill(browser, ".grid-name", "seed")
    fill(browser, ".grid-values", "18446744073709551615, 1.0")
    browser.click("dialog button", "Create 2 jobs")
    browser.wait_text("2 jobs are made: 4 to 5.")
    browser.click("button", "New jobs")
    browser.click("dialog [role=tab]", "JSON")
    fill(browser, "dialog textarea", '[{"seed":1798406481619217041,"lr":1.0}]')
    browser.click("dialog button", "Format")
    assert browser.run("return document.querySelector('dialog textarea').value.split(/\\s+/)") == [
        "[", "{", '"seed":', "1798406481619217041,", '"lr":', "1.0", "}", "]"]
    browser.click("dialog button", "Create 1 job")
    browser.wait_text("Job 6 is made.")
    made = [{"seed": seeds[2]}, {"seed": 1.0}, {"seed": seeds[0], "lr": 1.0}]
    assert json.dumps(parameters(dashboard)[3:]) == json.dumps(made)


def test_a_done_job_is_retried_from_scratch_unless_chosen_otherwise(browser: Browser,
                                                                    dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 0.1}])
    dashboard.claim()
    dashboard.upload(1, "result.json", b'{"loss": 0.5}')
    dashboard.finish(1)
    browser.go(dashboard.page + "/jobs/1")
    browser.wait("document.querySelector('.files')?.innerText.includes('attempt 1')")
    for way, begins in (("keep", None), ("scratch", 3)):
        browser.click("button", "Retry")
        browser.wait("document.querySelector('#retry-start').options.length === 2")
        assert browser.run("return document.querySelector('#retry-start').value") == "scratch"
        browser.run("document.querySelector('#retry-start').value = arguments[0]", way)
        browser.click("dialog button", "Retry")
        browser.wait("document.querySelector('.job-title .status').textContent === 'pending'")
        assert dashboard.claim().get("from_scratch") == begins
        if begins is None:
            dashboard.finish(1)
            browser.wait("document.querySelector('.job-title .status').textContent === 'done'")
    browser.wait("document.querySelector('.files').innerText.includes('before from scratch')")
    assert not browser.run("return document.getElementById('job-results').checkVisibility()")


def test_further_lines_of_a_message_show_on_a_click(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 1}])
    dashboard.claim()
    dashboard.finish(1, "ABORTED", "exit status 1\nTraceback (most recent call last):\n  what = 1 / 0")
    browser.go(dashboard.page + "/jobs/1")
    browser.wait("document.querySelector('.message details') !== null")
    assert browser.run("return document.querySelector('.message summary').textContent") == "exit status 1"
    shown = ("return [...document.querySelectorAll('.message pre, .timeline pre')]"
             ".map((one) => one.checkVisibility())")
    assert browser.run(shown) == [False, False]
    browser.click(".message summary")
    browser.click(".timeline summary")
    assert browser.run(shown) == [True, True]


def test_all_of_a_job_is_text_and_a_phone_needs_no_sideways_scrolling(browser: Browser,
                                                                      dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"evil": EVIL, "long": "x" * 400}])
    dashboard.claim("n" * 90 + "-0-0")
    dashboard.upload(1, EVIL_NAME, ("a,b\n%s,1\n" % EVIL).encode())
    dashboard.call("/worker/heartbeat", dict(BUSY, worker_id="n" * 90 + "-0-0", current_job_id=1,
                                             output_tail=EVIL + "y" * 300))
    dashboard.finish(1, "ABORTED", EVIL)
    for size in ((1440, 900), PHONE):
        browser.size(*size)
        browser.go(dashboard.page + "/jobs/1")
        browser.wait("document.querySelectorAll('.files > li').length === 1")
        browser.click("[aria-controls^=preview]")
        browser.wait("document.querySelector('.preview td') !== null")
        assert no_sideways_scrolling(browser), size
        assert browser.run("return document.querySelectorAll('main img, main script').length") == 0
        for place in ("#job-parameters", ".output", ".files", ".preview td", ".message", ".timeline"):
            text = browser.run("return document.querySelector(arguments[0]).textContent", place)
            assert "<img src=x onerror=" in text, place
    browser.go(dashboard.page + "/jobs")
    browser.click("button", "New jobs")
    browser.wait("document.querySelector('dialog.create').open")
    assert browser.run("return document.querySelector('dialog.create').scrollWidth <= innerWidth")
    assert "owned" not in browser.run("return document.title")


def test_what_a_script_measured_comes_before_what_it_repeats(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 0.1, "depth": 4}])
    dashboard.claim()
    dashboard.upload(1, "result.json", json.dumps({"lr": 0.1, "depth": 4, "accuracy": 0.5}).encode())
    browser.wait("[...document.querySelectorAll('.jobs th')].some((one) => one.textContent === 'accuracy')")
    heads = browser.run("return [...document.querySelectorAll('.jobs th')].map((one) => one.textContent)")
    assert heads.count("lr") == 1 and heads.index("depth") + 1 == heads.index("accuracy")
    browser.go(dashboard.page + "/jobs/1")
    browser.wait("document.querySelector('#job-results dt')?.textContent === 'accuracy'")
    browser.go(dashboard.page + "/results")
    browser.wait("document.querySelector('main select') !== null")
    assert browser.run("return document.querySelector('main select').value") == "accuracy"


def test_a_long_name_breaks_behind_its_dots(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"model.encoder.transformer.attention.dropout_rate": 0.1}])
    for size in ((1440, 900), PHONE):
        browser.size(*size)
        browser.go(dashboard.page + "/jobs/1")
        browser.wait("document.querySelector('#job-parameters dt') !== null")
        assert browser.run(
            "return [...document.querySelector('#job-parameters dt').childNodes].every((part) => {"
            " const all = document.createRange(); all.selectNodeContents(part);"
            " return new Set([...all.getClientRects()].map((one) => one.top)).size <= 1; })")
    browser.size(*DESKTOP)


def test_the_history_of_a_job_that_runs_says_that_no_attempt_has_ended(browser: Browser,
                                                                       dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 0.1}])
    dashboard.claim()
    browser.go(dashboard.page + "/jobs/1")
    browser.wait("document.querySelector('#job-history .hint')?.textContent === 'No attempt has ended yet.'")


def test_which_code_ran_and_that_jobs_mix_two_versions(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create(3)
    code = {"script": EVIL_NAME, "hash": "ab" * 32, "commit": "c0ffee" + "0" * 34, "clean": False,
            "interpreter": "/usr/bin/python3", "version": "3.11.2",
            "distributions": {"numpy": "1.26.4", "torch": "2.3.0"}}

    def ran(code: Any) -> None:
        job = dashboard.claim()
        dashboard.upload(job["job_id"], "result.json", b'{"loss": 0.5}')
        answer = dashboard.call("/update_job_status", {
            "job_id": job["job_id"], "attempt": job["attempt"], "status": "DONE", "code": code})
        assert answer["status"] == "DONE"
    ran(code)
    ran(dict(code, interpreter="/opt/bin/python3"))
    browser.wait("document.querySelectorAll('.status.done').length >= 2")
    assert browser.run("return document.querySelector('#code-mix').hidden")
    ran(dict(code, hash="cd" * 32, distributions={"numpy": "2.0.0"}))
    browser.wait_text("Jobs ran 2 versions of the code: ")
    browser.wait_text("(1 job), ")
    browser.wait_text("They differ in the script and numpy.")
    browser.run("document.querySelectorAll('#code-mix a')[1].click()")
    browser.wait("document.querySelectorAll('.jobs tbody tr').length === 2")
    assert browser.run("return document.querySelector('.filter').value").startswith("code=")
    browser.go(dashboard.page + "/jobs/1")
    browser.wait_text("c0ffee0+")
    browser.wait_text("/usr/bin/python3 3.11.2")
    browser.click("#job-code summary", "2 packages")
    browser.wait("document.querySelector('#job-code details').open")
    browser.wait_text("numpy")
    assert "owned" not in browser.run("return document.title")
    for size in (PHONE, (1440, 900)):
        browser.size(*size)
        for path, text in (("/jobs/1", "c0ffee0+"), ("/results", "Jobs ran 2 versions of the code: ")):
            browser.go(dashboard.page + path)
            browser.wait_text(text)
            assert no_sideways_scrolling(browser)


def test_the_way_to_the_jobs_beside_says_which_they_are(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.create_jobs([{"lr": 0.1}] * 2)
    ways = "[...document.querySelectorAll('.job-way a')].map((one) => one.textContent).join()"
    for job, way in ((1, "Jobs,#2 ›"), (2, "Jobs,‹ #1")):
        browser.go("%s/jobs/%d" % (dashboard.page, job))
        browser.wait_text("No worker has had it yet")
        assert browser.run("return " + ways) == way
    dashboard.create_jobs([{"lr": 0.2}])
    browser.wait(ways + " === 'Jobs,‹ #1,#3 ›'")
