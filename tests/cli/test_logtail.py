"""The last lines of a log, and following it through rotation."""

import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable, List, Tuple

import pytest

from jd.cli.commands.look import worker_logs
from jd.cli.showing import logtail
from jd.errors import StorageError, UsageError
from jd.node.identity import Here
from jd.worker.log import WorkerLog
from tests.cli.info_support import Machine, gone, other_host, process
from tests.support import python, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w.log"


def last(path: Path, lines: int) -> bytes:
    got: List[bytes] = []
    logtail.tail(path, lines, got.append).close()
    return b"".join(got)


@pytest.mark.parametrize("content, lines, expected", [
    (b"", 5, b""), (b"a", 5, b"a"), (b"a\n", 1, b"a\n"), (b"a\nb\n", 1, b"b\n"),
    (b"a\nb", 1, b"b"), (b"a\nb\nc\n", 2, b"b\nc\n"), (b"a\nb\nc\n", 3, b"a\nb\nc\n"),
    (b"a\nb\nc\n", 9, b"a\nb\nc\n"), (b"a\nb\n", 0, b""), (b"\n\n\n", 2, b"\n\n"), (b"\n", 1, b"\n"),
    (b"\xff\x00\n\x80\n", 1, b"\x80\n"),
])
@pytest.mark.parametrize("block", [1, 2, 3, 64])
def test_last_lines(path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, lines: int,
                    expected: bytes, block: int) -> None:
    monkeypatch.setattr(logtail, "BLOCK", block)
    path.write_bytes(content)
    assert last(path, lines) == expected


@pytest.mark.parametrize("lines, expected", [
    (1, b"4\n"), (2, b"3\n4\n"), (3, b"2\n3\n4\n"), (9, b"1\n2\n3\n4\n"), (0, b"")])
def test_the_older_file_gives_what_is_lacking(path: Path, lines: int, expected: bytes) -> None:
    logtail.older_file(path).write_bytes(b"1\n2\n")
    path.write_bytes(b"3\n4\n")
    assert last(path, lines) == expected


def test_an_older_file_that_was_renamed_just_now_is_not_printed_twice(path: Path) -> None:
    path.write_bytes(b"1\n2\n")
    os.link(str(path), str(logtail.older_file(path)))
    assert last(path, 9) == b"1\n2\n"


def test_a_huge_log_is_read_from_its_end_only(path: Path) -> None:
    with open(str(path), "wb") as stream:
        stream.truncate(10 ** 12)  # a hole: reading it would take hours
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nlast\n")
    assert last(path, 1) == b"last\n"


def test_no_more_is_held_than_a_block(path: Path) -> None:
    path.write_bytes(b"x" * 99 + b"\n" * 1 + b"y\n" * 500_000)
    sizes: List[int] = []
    logtail.tail(path, 400_000, lambda data: sizes.append(len(data))).close()
    assert sum(sizes) == 800_000 and max(sizes) <= logtail.BLOCK


# ---- following

class Following:
    """A log that a test writes and reads by turns."""

    def __init__(self, path: Path, lines: int = 0) -> None:
        self.got = b""
        self.follower = logtail.tail(path, lines, self.take)

    def take(self, data: bytes) -> None:
        self.got += data

    def read(self) -> bytes:
        """What is new."""
        self.got = b""
        told = self.follower.read(self.take)
        assert told == bool(self.got)
        return self.got


def append(path: Path, data: bytes) -> None:
    with open(str(path), "ab") as stream:
        stream.write(data)


def rotate(path: Path) -> None:
    os.replace(str(path), str(logtail.older_file(path)))
    append(path, b"")


def test_what_is_appended(path: Path) -> None:
    path.write_bytes(b"1\n2\n")
    with Following(path, 1).follower as follower:
        assert not follower.read(lambda data: None)
    following = Following(path, 1)
    assert following.got == b"2\n"
    append(path, b"3\n4")
    assert following.read() == b"3\n4"
    append(path, b"5\n")
    assert following.read() == b"5\n"
    assert following.read() == b""
    following.follower.close()


def test_rotation_finishes_the_old_file_first(path: Path) -> None:
    path.write_bytes(b"1\n")
    following = Following(path)
    append(path, b"2\n")
    rotate(path)
    append(path, b"3\n")
    assert following.read() == b"2\n3\n"
    append(path, b"4\n")
    assert following.read() == b"4\n"
    following.follower.close()


def test_lines_that_come_just_before_the_file_is_renamed(path: Path) -> None:
    path.write_bytes(b"1\n")
    following = Following(path)
    replaced = following.follower._replaced

    def late() -> bool:
        following.follower._replaced = replaced  # type: ignore[method-assign]
        append(path, b"2\n")
        rotate(path)
        append(path, b"3\n")
        return replaced()

    following.follower._replaced = late  # type: ignore[method-assign]
    assert following.read() == b"2\n3\n"
    following.follower.close()


def test_two_rotations_between_two_looks(path: Path) -> None:
    logtail.older_file(path).write_bytes(b"0\n")
    path.write_bytes(b"1\n")
    following = Following(path)
    for line in (b"2\n", b"3\n"):
        append(path, line)
        rotate(path)
    append(path, b"4\n")
    assert following.read() == b"2\n3\n4\n"
    rotate(path)
    append(path, b"5\n")
    assert following.read() == b"5\n"
    following.follower.close()


def test_between_renaming_and_the_new_file(path: Path) -> None:
    path.write_bytes(b"1\n")
    following = Following(path)
    append(path, b"2\n")
    os.replace(str(path), str(logtail.older_file(path)))
    assert following.read() == b"2\n"
    assert following.read() == b""
    append(path, b"3\n")
    assert following.read() == b"3\n"
    following.follower.close()


def test_a_log_that_was_removed_and_begun_anew(path: Path) -> None:
    logtail.older_file(path).write_bytes(b"0\n")
    path.write_bytes(b"1\n")
    following = Following(path)
    path.unlink()
    append(path, b"2\n")
    assert following.read() == b"2\n"  # and not the older file once more
    following.follower.close()


def test_a_log_that_was_truncated(path: Path) -> None:
    path.write_bytes(b"1\n2\n")
    following = Following(path)
    path.write_bytes(b"3\n")
    assert following.read() == b"3\n"
    following.follower.close()


def test_a_real_log_through_its_rotations(path: Path) -> None:
    log = WorkerLog(path, 200)
    following = Following(path)
    seen = b""
    for number in range(60):
        log.event("step %d" % number)
        if number % 3 == 0:
            seen += following.read()
    seen += following.read()
    log.close()
    following.follower.close()
    assert [int(line.split()[-1]) for line in seen.splitlines()] == list(range(60))


def test_following_ends_when_everything_was_written(path: Path) -> None:
    path.write_bytes(b"")
    states = iter([False, False, True])
    got: List[bytes] = []

    def ended() -> bool:
        over = next(states)
        append(path, b"end\n" if over else b"line\n")  # written before `ended` says so
        return over

    def pause(_seconds: float) -> None:
        raise AssertionError("there was something to read")

    with logtail.tail(path, 0, got.append) as follower:
        logtail.follow(follower, got.append, ended, pause)
    assert b"".join(got) == b"line\nline\nend\n"


def test_a_quiet_log_is_looked_at_now_and_then(path: Path) -> None:
    path.write_bytes(b"")
    pauses: List[float] = []
    with logtail.tail(path, 0, lambda data: None) as follower:
        logtail.follow(follower, lambda data: None, lambda: len(pauses) == 3, pauses.append)
    assert len(pauses) == 3 and all(0.1 <= pause <= 0.25 for pause in pauses)


# ---- when to stop following

class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fate(machine: Machine, name: str, clock: Callable[[], float]) -> worker_logs.Fate:
    return worker_logs.Fate(machine.registry, Here(), name, machine.registry.row(name), clock)


def test_a_process_that_lives_has_not_ended(tmp_path: Path) -> None:
    machine, clock = Machine(tmp_path), Clock()
    name = machine.enter()
    told = fate(machine, name, clock)
    assert not told.ended()
    clock.now = 100
    machine.registry.remove([name])  # `prune` by hand: the process goes on
    assert not told.ended()


def test_a_process_that_is_gone_has_ended(tmp_path: Path) -> None:
    machine, clock = Machine(tmp_path), Clock()
    told = fate(machine, machine.enter(here=gone()), clock)
    assert told.ended() and "has ended" in told.note


def test_a_worker_that_was_only_starting(tmp_path: Path) -> None:
    machine, clock = Machine(tmp_path), Clock()
    name = machine.enter(here=gone())  # its launcher, which has left
    told = fate(machine, name, clock)
    machine.registry.settle(name, 0, tmp_path, process(os.getpid()), 0.0)
    assert not told.ended()
    clock.now = 100
    machine.registry.remove([name])
    assert not told.ended()  # it is the worker's process that counts now


def test_a_row_of_another_host_ends_when_it_is_taken_out(tmp_path: Path) -> None:
    machine, clock = Machine(tmp_path), Clock()
    name = machine.enter(here=other_host())
    told = fate(machine, name, clock)
    assert not told.ended()
    machine.registry.remove([name])
    assert not told.ended()  # not asked at every turn
    clock.now = 10
    assert told.ended() and "no longer registered" in told.note


def test_a_worker_that_took_another_name(tmp_path: Path) -> None:
    machine, clock = Machine(tmp_path), Clock()
    name = machine.enter()
    told = fate(machine, name, clock)
    machine.registry.rename(name, "h_egg_0", tmp_path)
    clock.now = 10
    assert told.ended() and "goes on as h_egg_0" in told.note


# ---- the command

def logs(machine: Machine, *words: str, **kwargs: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(python("-m", "jd.cli", "expId=exp", "worker-logs", *words),
                            env=machine.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **kwargs)


def finished(child: "subprocess.Popen[bytes]", status: int = 0) -> Tuple[bytes, bytes]:
    try:
        out, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == status, errors
    return out, errors


def test_fifty_lines_unless_told_otherwise(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    name = machine.enter()
    out, _ = finished(logs(machine, name))
    assert out.splitlines() == [b"line %d" % n for n in range(50, 100)]
    assert finished(logs(machine, name, "lines=2"))[0] == b"line 98\nline 99\n"


def test_the_log_of_a_worker_that_has_ended(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    name = machine.enter()
    machine.registry.remove([name])
    out, errors = finished(logs(machine, name, "lines=1", "follow=true"))
    assert out == b"line 99\n" and b"has ended" in errors
    machine.environ["JD_LOG_DIR"] = str(machine.logs.rename(tmp_path / "moved"))
    assert finished(logs(machine, name, "lines=1"))[0] == b"line 99\n"


@pytest.mark.parametrize("worker_id", ["nope", "../x", "x" * 5000])
def test_a_worker_that_nobody_knows(tmp_path: Path, worker_id: str) -> None:
    with pytest.raises(UsageError, match="no worker"):
        Machine(tmp_path).run("expId=exp", "worker-logs", worker_id)


def test_a_log_that_is_gone(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    name = machine.enter()
    log = machine.logs / ("jd_worker_%s.log" % name)
    log.unlink()
    with pytest.raises(StorageError, match="%s does not exist" % log):
        machine.run("expId=exp", "worker-logs", name)


def test_a_worker_that_is_only_starting(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    name = machine.enter()
    machine.change("log_path", "")
    machine.logs.joinpath("jd_worker_%s.log" % name).unlink()
    with pytest.raises(UsageError, match="only starting"):
        machine.run("expId=exp", "worker-logs", name)


def test_following_until_ctrl_c(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    name = machine.enter()
    # Whoever runs the tests in the background of a shell hands on SIGINT ignored.
    child = logs(machine, name, "lines=1", "follow=true",
                 preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        assert child.stdout is not None and child.stdout.readline() == b"line 99\n"
        append(machine.logs / ("jd_worker_%s.log" % name), b"\xff new\n")
        assert child.stdout.readline() == b"\xff new\n"
        child.send_signal(signal.SIGINT)
    finally:
        out, errors = finished(child)
    assert (out, errors) == (b"", b"")


def test_following_until_the_worker_ends(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    worker = subprocess.Popen(python("-c", "input()"), stdin=subprocess.PIPE)
    try:
        name = machine.enter(here=process(worker.pid))
        child = logs(machine, name, "lines=0", "follow=true")
        append(machine.logs / ("jd_worker_%s.log" % name), b"the end\n")
    finally:
        worker.kill()
        worker.communicate()
    out, errors = finished(child)
    assert out in (b"the end\n", b"")  # it may have been written before the first look
    assert b"worker %s has ended" % name.encode() in errors


@pytest.mark.skipif(not hasattr(select, "poll"), reason="needs poll(2)")
def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    name = machine.enter()
    child = logs(machine, name, "lines=1", "follow=true")
    assert child.stdout is not None and child.stdout.readline() == b"line 99\n"
    child.stdout.close()  # and nothing more is logged
    try:
        wait_until(lambda: child.poll() is not None)
    finally:
        child.kill()
        child.wait()
    assert child.stderr is not None and child.stderr.read() == b""
    child.stderr.close()
    assert child.returncode == 0


def test_a_pipe_that_closes_early(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    name = machine.enter()
    log = machine.logs / ("jd_worker_%s.log" % name)
    log.write_bytes(b"x" * 99 + b"\n" + b"y\n" * 1_000_000)
    child = logs(machine, name, "lines=1000000")
    assert child.stdout is not None and child.stdout.readline() == b"y\n"
    child.stdout.close()
    try:
        assert child.wait(60) == 0
    finally:
        child.kill()
    assert child.stderr is not None and child.stderr.read() == b""
    child.stderr.close()
