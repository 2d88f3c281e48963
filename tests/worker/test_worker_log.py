"""The worker log and its copy on the terminal."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from jd.errors import StorageError
from jd.worker import terminalcopy
from jd.worker.log import WorkerLog
from jd.worker.terminalcopy import TerminalCopy


def test_lines_carry_time_and_mark(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "logs" / "w.log", 10_000)
    log.event("claimed job 5\nsecond line \x1b[31m")
    log.output(b"epoch 1\nepoch 2\n")
    log.close()
    lines = (tmp_path / "logs" / "w.log").read_text().splitlines()
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
    for line, rest in zip(lines, [r"worker\| claimed job 5", r"worker\| second line \?\[31m",
                                  r"job   \| epoch 1", r"job   \| epoch 2"]):
        assert re.fullmatch(stamp + rest, line)
    assert len(lines) == 4
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700


def test_both_files_are_bounded_and_cut_between_lines(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "w.log", 1000)
    for number in range(200):
        log.event("event %d" % number)
    log.output(b"".join(b"row %d\n" % number for number in range(300)))
    log.close()
    current, old = (tmp_path / "w.log").read_bytes(), (tmp_path / "w.log.1").read_bytes()
    assert 0 < len(current) <= 1000
    assert 0 < len(old) <= 1000
    assert old.endswith(b"\n") and current.startswith(b"20")
    kept = re.findall(rb"row (\d+)\n", old + current)
    assert [int(n) for n in kept] == list(range(300 - len(kept), 300))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.log", "w.log.1"]


def test_a_line_larger_than_the_file_is_cut(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "w.log", 1000)
    log.output(b"x" * 5000 + b"\n")
    log.close()
    assert (tmp_path / "w.log").stat().st_size <= 1000
    assert (tmp_path / "w.log.1").stat().st_size <= 1000


def test_an_existing_log_is_appended_to(tmp_path: Path) -> None:
    for text in ("first", "second"):
        log = WorkerLog(tmp_path / "w.log", 1000)
        log.event(text)
        log.close()
    assert len((tmp_path / "w.log").read_text().splitlines()) == 2


def test_a_directory_that_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="log_dir=") as caught:
        WorkerLog(tmp_path / "file" / "w.log", 1000)
    assert str(tmp_path / "file" / "w.log") in str(caught.value)


def test_its_end_is_whole_lines_of_both_files(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "w.log", 12_000)
    assert log.tail() == ""
    log.event("claimed job 1")
    assert log.tail().endswith("worker| claimed job 1\n")
    for number in range(1000):
        log.event("event %d \u20ac" % number)
    tail = log.tail()
    lines = tail.splitlines()
    kept = re.findall(r"event (\d+)", tail)
    assert kept == [str(number) for number in range(1000 - len(kept), 1000)]
    assert len(lines) == len(kept) and 15_000 < len(tail.encode()) <= 16_384
    log.close()
    (tmp_path / "w.log").unlink()
    assert log.tail() == ""


def test_a_full_disk_loses_lines_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    log = WorkerLog(tmp_path / "w.log", 1000)

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        log.event("lost")
        log.event("lost too")
    log.event("the disk has room again")
    log.close()
    assert capsys.readouterr().err.count("No space left on device") == 1
    assert "room again" in (tmp_path / "w.log").read_text()


def test_a_new_name_is_a_new_file(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "a.log", 1000)
    log.event("before")
    log.move(tmp_path / "b.log")
    log.event("after")
    log.close()
    assert "after" not in (tmp_path / "a.log").read_text()
    assert "after" in (tmp_path / "b.log").read_text()


# ---- the terminal

@pytest.fixture
def pipe() -> Any:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            pass


def test_the_terminal_shows_the_same_lines_with_its_prefix(tmp_path: Path, pipe: Any) -> None:
    log = WorkerLog(tmp_path / "w.log", 10_000, TerminalCopy(pipe[1], "[3] "))
    log.event("hello")
    log.output(b"one\ntwo\n")
    log.close()
    shown = os.read(pipe[0], 65536).decode().splitlines()
    assert shown == ["[3] " + line for line in (tmp_path / "w.log").read_text().splitlines()]


def test_a_stopped_terminal_holds_nobody_up(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminalcopy, "PATIENCE", 0.05)
    terminal = TerminalCopy(pipe[1])
    line = b"x" * 99 + b"\n"
    for _ in range(50):
        terminal.write(line * 100)  # more than any pipe takes
    shown = b""
    os.set_blocking(pipe[0], False)
    try:
        while True:
            shown += os.read(pipe[0], 65536)
    except BlockingIOError:
        pass
    assert set(shown.split(b"\n")[:-1]) == {b"x" * 99}
    terminal.write(b"back\n")
    note = os.read(pipe[0], 65536)
    lost = 50 * 100 * 100 - len(shown)
    assert note == b"[%d bytes not shown: the terminal was stopped]\nback\n" % lost


def test_a_terminal_that_hung_up_is_left_alone(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        os.close(pipe[0])
        terminal = TerminalCopy(pipe[1])
        terminal.write(b"one\n")
        terminal.write(b"two\n")
        assert terminal._gone
    finally:
        signal.signal(signal.SIGPIPE, before)
