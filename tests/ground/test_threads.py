"""What runs beside the main thread goes on, and what a program has run out of is told in a line."""

import errno
import logging
import os
import threading
from pathlib import Path
from typing import Callable, List, Optional

import pytest

from jd import shortage, startup, threads
from jd.errors import StorageError, reason, run_command
from jd.threads import NoThread, Reported


def raising(error: BaseException) -> Callable[..., int]:
    def work(*_: object) -> int:
        raise error
    return work


def test_what_goes_wrong_in_a_step_is_told_once_until_one_goes_well() -> None:
    told: List[str] = []
    steps = Reported("nothing was saved", told.append)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for error in (full, full, None, full, StorageError("the disk is away")):
        with steps:
            if error is not None:
                raise error
        assert (steps.trouble is None) is (error is None)
    no_space = "nothing was saved: No space left on device"
    assert told == [no_space, no_space, "nothing was saved: the disk is away"]


def test_a_fault_of_ours_brings_its_traceback() -> None:
    told: List[str] = []
    with Reported("nothing was saved", told.append):
        raise ValueError("odd")
    assert told[0].startswith("nothing was saved: ValueError: odd\nplease report this:\nTraceback")


def test_the_end_of_the_process_is_no_failure() -> None:
    with pytest.raises(SystemExit), Reported("nothing was saved", logging.error):
        raise SystemExit(3)


@pytest.mark.parametrize("kind", [RuntimeError("can't start new thread"), MemoryError()])
def test_a_thread_that_cannot_be_started_says_what_to_raise(kind: BaseException,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", raising(kind))
    with pytest.raises(NoThread, match="ulimit"):
        threads.start(print, "jd-test")


@pytest.mark.parametrize("error, what", [
    (MemoryError(), "ulimit -v"),
    (RuntimeError("can't start new thread"), "ulimit -u"),
    (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "ulimit -v"),
    (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "ulimit -u"),
    (ImportError("libssl.so.3: failed to map segment from shared object"), "ulimit -v"),
    (ImportError("libssl.so.3: cannot open shared object file: Too many open files"), "ulimit -n"),
])
def test_what_a_command_runs_out_of_is_one_line(error: BaseException, what: str,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(raising(error), []) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and what in line and reason(error) in line


@pytest.mark.parametrize("raised", [
    'MemoryError()', 'ImportError("libssl.so.3: failed to map segment from shared object")',
    'SystemError("error return without exception set")'])
def test_so_is_memory_that_ends_before_all_is_imported(raised: str, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "jd_test_hungry.py").write_text("raise %s\n" % raised)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(startup, "prepare", lambda: None)
    with pytest.raises(SystemExit) as ended:
        startup.run("jd_test_hungry")
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1 and line.startswith("error: there is not enough memory; raise the limit")


def test_a_fault_at_the_import_is_not_taken_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jd_test_broken.py").write_text("import jd_test_nowhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(startup, "prepare", lambda: None)
    with pytest.raises(ModuleNotFoundError):
        startup.run("jd_test_broken")


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), ImportError("No module named x"),
                                   BlockingIOError(errno.EAGAIN, "write could not complete")])
def test_anything_else_is_not_taken_for_that(error: Exception) -> None:
    assert shortage.told(error) is None


def test_a_database_that_finds_no_free_descriptor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found: List[Optional[str]] = [shortage.of_files()]
    monkeypatch.setattr(os, "open", raising(OSError(errno.EMFILE, "Too many open files")))
    found.append(shortage.of_files())
    assert found[0] is None and "ulimit -n" in (found[1] or "")


def test_a_kept_thread_does_one_piece_of_work_after_another() -> None:
    kept, woken = threads.Kept("test"), threading.Semaphore(0)
    idents: List[int] = []
    for _ in range(3):
        kept.do(lambda: idents.append(threading.get_ident()), woken.release)
        assert woken.acquire(timeout=60)
    assert len(set(idents)) == 1


def test_what_comes_while_a_kept_thread_is_at_work_has_another_one() -> None:
    kept, go, woken = threads.Kept("test"), threading.Event(), threading.Semaphore(0)
    kept.do(lambda: (go.wait(60), None)[1], woken.release)
    kept.do(woken.release, woken.release)
    assert woken.acquire(timeout=60) and woken.acquire(timeout=60)
    go.set()
    assert woken.acquire(timeout=60)
