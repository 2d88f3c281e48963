"""Processes that a program has left running are taken over by the next one, and no others are."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from jd.node.identity import process_identity
from jd.sweep import leftover


@pytest.fixture
def asleep() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_what_was_left_is_ours_once(tmp_path: Path, asleep: "subprocess.Popen[bytes]") -> None:
    leftover.write(tmp_path, {"server": asleep, "workers": None})
    assert leftover.is_there(tmp_path) and (tmp_path / leftover.NAME).stat().st_mode & 0o777 == 0o600
    (found,) = leftover.taken(tmp_path).values()
    assert leftover.taken(tmp_path) == {} and not leftover.is_there(tmp_path)
    assert found.pid == asleep.pid and found.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        found.wait(0.0)
    found.send_signal(signal.SIGTERM)
    assert found.wait(60) == 0 == found.poll()
    found.kill()  # of what has ended nothing is signalled


def test_a_number_that_another_process_has_by_now_is_not_taken(tmp_path: Path,
                                                               asleep: "subprocess.Popen[bytes]") -> None:
    identity = process_identity(asleep.pid)
    assert identity is not None
    (tmp_path / leftover.NAME).write_text(json.dumps({"server": [identity.boot_id, identity.pid, "0"]}))
    assert leftover.taken(tmp_path) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"server": 1}', '{"server": ["b", "x", "s"]}'])
def test_a_file_that_says_nothing_is_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / leftover.NAME).write_text(text)
    assert leftover.taken(tmp_path) == {}
