"""An idle worker in the background: it sleeps, and has the memory of its launch."""

import json
import subprocess
from pathlib import Path
from typing import Any, Dict

from tests.e2e.node import Node
from tests.e2e.processes import Server
from tests.support import ROOT, python, wait_until

# A launch whose workers note how long each thread is about to sleep, and what they have imported and which
# regular expressions they have compiled themselves.
NOTING = """
import json, os, re, select, sys, threading
from jd.worker.launch import forking

def note(what, value):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps([what, value]) + "\\n")

class Poll:
    def __init__(self):
        self.real = real_poll()
        self.register, self.unregister = self.real.register, self.real.unregister
    def poll(self, timeout=None):
        note(threading.current_thread().name, None if timeout is None else timeout / 1000)
        note("imported", sorted(set(sys.modules) - shared))
        return self.real.poll(timeout)

def wait(condition, timeout=None):
    note(threading.current_thread().name, timeout)
    return real_wait(condition, timeout)

def noted_compile(pattern, flags=0):
    note("compiled", str(pattern))
    return real_compile(pattern, flags)

def child(self, index):
    global shared
    shared = set(sys.modules)
    compiler.compile = noted_compile
    select.poll = Poll
    threading.Condition.wait = wait
    return real_child(self, index)

compiler = getattr(re, "_compiler", None) or re.sre_compile
real_compile = compiler.compile
real_poll, real_wait, real_child = select.poll, threading.Condition.wait, forking.Forked._child
forking.Forked._child = child
from jd import startup
sys.exit(startup.run("jd.cli.main"))
"""
RARELY = 10.0  # seconds
GOES_ON = ("MainThread", "jd-registration")  # besides the thread of the calls, which waits for the server


class Notes:
    """The last that each thread of the worker has noted, by its name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> Dict[str, Any]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return dict(json.loads(line) for line in lines)

    def all_sleep(self) -> bool:
        """Whether each thread that goes on sleeps until somebody wakes it, or for long."""
        last = self.last()
        return all(name in last and (last[name] is None or last[name] >= RARELY) for name in GOES_ON)


def test_it_wakes_up_rarely_and_neither_imports_nor_compiles(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("")
    launch = tmp_path / "launch.py"
    launch.write_text(NOTING)
    notes = Notes(tmp_path / "notes")
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        words = ["expId=exp", "entry_script=%s" % script, "server=" + server.url, "num_workers=1"]
        subprocess.run(python(str(launch), *words), check=True, timeout=60, stdout=subprocess.DEVNULL,
                       env=dict(node.environ, NOTES=str(notes.path), PYTHONPATH=str(ROOT)))
        (row,) = node.rows()
        node.until_row(row.worker_id, status="idle")
        wait_until(notes.all_sleep, message="all threads sleep for long")
        assert notes.last()["imported"] == [], "each worker has these for itself"
        assert "compiled" not in notes.last(), "each worker has the compiler for itself"
        server.create(1)
        server.until(DONE=1)
        wait_until(notes.all_sleep, message="all threads sleep for long")
        assert notes.last()["imported"] == [], "neither for a job"
        node.exp("stop", "all")
        server.stop()
