"""How checks are run and shown."""

import json
import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any, List

import pytest

from jd.cli.checkup import page
from jd.cli.checkup.examine import examine
from jd.cli.checkup.finding import OK, PROBLEM, WARNING, Check, Finding, Group, Notes, worst
from jd.errors import UsageError
from tests.support import PATIENCE, wait_until

FINE = Check("fine", lambda: Notes("Topic").ok("all is well"))


def group(*checks: Check, topic: str = "Topic") -> Group:
    return Group(topic, checks)


def examined(*groups: Group, limit: float = 5.0) -> List[Finding]:
    return [finding for _, findings in examine(groups, limit) for finding in findings]


def test_findings_come_in_the_order_of_the_page(tmp_path: Path) -> None:
    def after_the_other() -> List[Finding]:
        wait_until(lambda: (tmp_path / "second").exists())
        return Notes("First").warn("one", "do this")

    def at_once() -> List[Finding]:
        (tmp_path / "second").touch()
        return Notes("Second").ok("two \N{SNOWMAN}")
    found = examined(group(Check("a", after_the_other), FINE, topic="First"), group(Check("b", at_once)))
    assert [f.what for f in found] == ["one", "all is well", "two \N{SNOWMAN}"]
    assert found[0] == Finding(WARNING, "First", "one", "do this")


def hang(pid_file: Path) -> List[Finding]:
    child = os.fork()
    signal.alarm(30)  # of each: nothing outlives a test that fails
    if child == 0:
        signal.pause()
    pid_file.write_text("%d %d" % (os.getpid(), child))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def gone(pid: int) -> bool:
    stat = Path("/proc/%d/stat" % pid)
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_check_that_hangs_costs_its_time_and_nothing_else(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    found = examined(group(FINE, Check("the dead disk", lambda: hang(pids)), FINE), group(FINE), limit=2.0)
    assert [(f.level, f.what) for f in found] == [
        (OK, "all is well"), (PROBLEM, "the dead disk: no answer within 2 s"), (OK, "all is well")]
    assert "hangs" in found[1].advice
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda: gone(pid))


def test_all_groups_are_looked_into_at_the_same_time(tmp_path: Path) -> None:
    def meet(name: str) -> List[Finding]:
        (tmp_path / name).touch()
        wait_until(lambda: len(os.listdir(str(tmp_path))) == 5)
        return Notes("Topic").ok(name)
    found = examined(*[group(Check("x", partial(meet, name))) for name in "abcde"], limit=2 * PATIENCE)
    assert [(f.level, f.what) for f in found] == [(OK, name) for name in "abcde"]


def test_every_check_has_the_whole_time() -> None:
    def take_a_while() -> List[Finding]:
        threading.Event().wait(0.5)
        return []
    found = examined(group(*[Check("slow", take_a_while)] * 6, FINE), limit=2.9)
    assert [f.level for f in found] == [OK]


def test_a_check_that_fails_is_a_finding() -> None:
    def fail() -> List[Finding]:
        raise ZeroDivisionError("by nought")
    found = examined(group(Check("it", fail), FINE))
    assert found[0].level == PROBLEM
    assert "it could not be looked at: ZeroDivisionError: by nought" in found[0].what
    assert found[1].level == OK


def test_an_error_that_explains_itself_is_shown_as_it_is() -> None:
    def fail() -> List[Finding]:
        raise UsageError("no home directory", "set HOME")
    assert examined(group(Check("it", fail))) == [Finding(PROBLEM, "Topic", "no home directory", "set HOME")]


def test_a_check_that_is_killed_is_a_finding() -> None:
    def die() -> List[Finding]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []
    found = examined(group(FINE, Check("it", die)), group(FINE))
    assert [f.level for f in found] == [OK, PROBLEM, OK]
    assert "looking at it ended early" in found[1].what


def test_ignored_child_signals_do_no_harm() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert [f.level for f in examined(group(FINE), group(FINE))] == [OK, OK]
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_who_stops_early_leaves_no_process(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    for _ in examine([group(FINE), group(Check("x", lambda: hang(pids)))]):
        wait_until(lambda: pids.exists() and pids.read_text().count(" "))
        break
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda: gone(pid))


# ---- the page

LONG = "a warning that goes on " * 8
FOUND = [Finding(OK, "A", "fine"), Finding(WARNING, "A", LONG.strip(), "and what to do about it " * 6),
         Finding(PROBLEM, "B", "/a/path/" + "x" * 90, "move it")]


def test_a_section_is_aligned_and_fits() -> None:
    lines = page.section("A", FOUND[:2], 60)
    assert lines[0] == "A"
    assert lines[1] == "  ok       fine"
    assert lines[2].startswith("  warning  a warning that")
    assert lines[3][:12] == " " * 11 + lines[3].strip()[0]
    assert lines[-1][:14] == " " * 13 + lines[-1].strip()[0]
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines[2:]).split()) == "warning " + (LONG + FOUND[1].advice).strip()


def test_paths_stay_whole_and_control_characters_out() -> None:
    lines = page.section(None, [FOUND[2], Finding(OK, "B", "a\x1b[31mb")], 60)
    assert any(FOUND[2].what in line for line in lines)
    assert lines[-1] == "  ok       a?[31mb"


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\033" not in "".join(page.section("A", FOUND, 80)) + page.summary(FOUND)
    monkeypatch.setattr("jd.terminal.colours", lambda _stream: True)
    lines = page.section("B", FOUND[2:], 80)
    assert lines[0] == "\033[1mB\033[0m" and "\033[31mproblem\033[0m" in lines[1]


@pytest.mark.parametrize("count, text", [
    (3, "1 problem, 1 warning, 1 ok"), (2, "1 warning, 1 ok"), (1, "1 ok"), (0, "0 ok")])
def test_the_last_line_counts(count: int, text: str) -> None:
    assert page.summary(FOUND[:count]) == text
    assert page.summary(FOUND + FOUND) == "2 problems, 2 warnings, 2 ok"


def test_json() -> None:
    told: Any = json.loads(page.as_json(FOUND))
    assert told["worst"] == PROBLEM
    assert told["findings"][0] == {"level": "ok", "topic": "A", "what": "fine", "advice": ""}
    assert json.loads(page.as_json([])) == {"worst": "ok", "findings": []}
    assert worst(FOUND[:2]) == WARNING
