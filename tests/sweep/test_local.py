"""A server of this machine, as a sweep starts it."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List

import pytest

from jd.net.finding import accessfile
from jd.sweep import session
from jd.sweep.local import Local
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
