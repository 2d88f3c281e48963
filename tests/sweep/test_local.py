"""A server of this machine, as a sweep starts it."""

import atexit
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List

import pytest

from jd.net.finding import accessfile
from jd.sweep import leftover, session, waiting
from jd.sweep.errors import Unreachable
from jd.sweep.local import Local, place
from jd.sweep.session import Session


def test_it_has_started_when_it_can_be_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says that it is ready before its access file is there; without that somebody else's is asked."""
    def started(self: Local, words: List[str], log: Path) -> Any:
        log.write_text('{"event": "ready", "server_url": "http://127.0.0.1:9"}\n')
        return SimpleNamespace(pid=os.getpid(), poll=lambda: None)
    pids = [None, 1, os.getpid()]  # no file, that of a server before it, its own

    def find(experiment: str, environ: Any) -> Any:
        pid = pids.pop(0)
        return None if pid is None else SimpleNamespace(seat=SimpleNamespace(pid=pid))
    monkeypatch.setattr(Local, "_started", started)
    monkeypatch.setattr(accessfile, "find", find)
    planned: Session = session.planned("exp", "exp")
    local = Local(planned)
    local.serve()
    local.leave()  # nothing is to be stopped
    assert not pids


def test_what_was_left_running_is_taken_back_by_who_waits_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ending: List[Any] = []
    monkeypatch.setattr(atexit, "register", ending.append)
    monkeypatch.setattr(atexit, "unregister", lambda what: ending.clear())
    local = Local(session.planned("exp", "exp"))
    setattr(local, "_server", SimpleNamespace(pid=os.getpid(), poll=lambda: None))
    for taken_by_another in (False, True):
        local.leave()
        assert not ending
        if taken_by_another:
            assert leftover.taken(place(local.session))
        local.keep()
        assert ending == ([] if taken_by_another else [local.stop])


@pytest.mark.parametrize("status, how", [(1, "has ended"), (-9, "was killed by signal 9")])
def test_a_server_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, status: int,
                                                   how: str) -> None:
    """Its port is nobody's now, and would be asked for 10 minutes."""
    monkeypatch.setenv("JD_SERVER", "http://127.0.0.1:9")
    planned: Session = session.planned("exp", "exp")
    local = Local(planned)
    setattr(local, "_server", SimpleNamespace(poll=lambda: status, returncode=status))
    log = place(planned) / "server.log"
    log.write_text("it listens\nerror: the disk is full\n")
    question = waiting.Question([1, 2])
    with pytest.raises(Unreachable, match="the server of exp, which jd.sweep had started, %s: it listens / "
                                          "error: the disk is full; all that it said is in .*server.log"
                                          % how):
        list(waiting._held(planned, question, None, False, 1.0))
    with pytest.raises(Unreachable, match=how):
        planned.call("GET", "/api/jobs")
    atexit.unregister(local.stop)


def test_workers_that_an_earlier_program_has_left_are_seen_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server counts them as workers that it has; but if they end while there are jobs, who else starts
    others?"""
    monkeypatch.setenv("JD_SERVER", "http://127.0.0.1:9")
    local = Local(session.planned("exp", "exp"))
    running = SimpleNamespace(poll=lambda: None)
    setattr(local, "_workers", running)
    assert local.wants_workers
    begun: List[Any] = []
    monkeypatch.setattr(local, "_begin", lambda: begun.append(local._launch[-4:]))
    local.work("train.py", 2)
    local.check()
    assert not begun
    setattr(local, "_workers", SimpleNamespace(poll=lambda: 0, returncode=0))
    local.check()
    assert begun == [["entry_script=train.py", "num_workers=2", "foreground=true", "exit_when_empty=true"]]
    atexit.unregister(local.stop)
