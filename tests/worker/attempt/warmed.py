"""Scripts that start from scratch, and those that are forked: for tests of what must be the same."""

import ctypes
import os
import select
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set

import pytest

from jd.node import orphans
from jd.worker.attempt.process.spawning import Begun, Command, spawn
from jd.worker.attempt.warm.warming import Warm
from jd.worker.config import WorkerConfig
from tests.support import PATIENCE, free_env, wait_until, warm_only

MODES = ["cold", pytest.param("warm", marks=warm_only)]


class Ended(NamedTuple):
    """What a script has printed, and its exit code."""

    output: str
    exit_code: int


class Scripts:
    """Runs `script` in `directory`. `logged` is what the worker's log has of the interpreter."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.script = directory / "script.py"
        self.environ = dict(free_env(directory), PYTHONUNBUFFERED="1", JD_WORKER_ID="node_egg_0",
                            JD_JOB_ID="5", JD_JOB_ATTEMPT="12")
        self.logged: List[str] = []
        options = dict({"directory": directory, "environ": self.environ}, **options)
        self.warm = Warm(WorkerConfig("exp", self.script, "http://127.0.0.1:9", warm=True, **options),
                         self.logged.append)
        self.named: Sequence[str] = [sys.executable, str(self.script)]

    def command(self, *words: str, environ: Optional[Dict[str, str]] = None,
                directory: Optional[Path] = None, max_memory: Optional[int] = None) -> Command:
        """The command line of one job."""
        return Command(self.script, [*self.named, *words], environ or self.environ,
                       directory or self.directory, max_memory)

    def begin(self, mode: str, command: Command) -> Begun:
        """Start it."""
        if mode == "cold":
            return spawn(command)
        if self.warm.prepare(command, self.named):
            self.warm.wait(threading.Event())
        return self.warm.begin(command)

    def run(self, mode: str, source: Optional[str], *words: str, **more: Any) -> Ended:
        """Run it to its end; `source` is what stands in the script, None for what stands there."""
        if source is not None:
            self.script.write_text(source)
        return finished(self.begin(mode, self.command(*words, **more)))


def first_words(begun: Begun) -> str:
    """What it prints first."""
    assert select.select([begun.output], [], [], PATIENCE)[0]
    return os.read(begun.output, 65536).decode()


def finished(begun: Begun) -> Ended:
    """What a script has printed until it ended."""
    output = b""
    while True:
        assert select.select([begun.output], [], [], PATIENCE)[0], "it does not end: %r" % output
        chunk = os.read(begun.output, 65536)
        if not chunk:
            break
        output += chunk
    os.close(begun.output)
    return Ended(output.decode("utf-8", "replace"), begun.child.reap().exit_code)


def _are_gone(pids: Set[int]) -> bool:
    orphans.end_all(pids)
    return not pids


@contextmanager
def adopting() -> Iterator[None]:
    """Orphans come to this process, as they do to a worker."""
    before = orphans.children()
    did_so = ctypes.c_int()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(37, ctypes.byref(did_so))
    orphans.become_subreaper()
    try:
        yield
    finally:
        wait_until(lambda: _are_gone(orphans.children() - before))
        if sys.platform.startswith("linux"):
            ctypes.CDLL(None).prctl(36, did_so.value, 0, 0, 0)


@contextmanager
def scripts(directory: Path, **options: Any) -> Iterator[Scripts]:
    """Such scripts, whose interpreter ends with the block."""
    with adopting():
        made = Scripts(directory, **options)
        made.warm.introduce()
        try:
            yield made
        finally:
            made.warm.end()
