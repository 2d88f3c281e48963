"""Watch mode on a real terminal: what it shows, how it ends, and how it leaves the terminal."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Any, Callable, Optional, Tuple

import pytest

from jd import protocol
from jd.cli.showing import views
from jd.errors import UsageError
from tests.cli.info_support import Machine, Stub
from tests.support import PATIENCE, python

LEFT = b"\x1b[?7h\x1b[?25h\x1b[?1049l"


class Terminal:
    """A command on a pty of its own, which is its controlling terminal."""

    def __init__(self, machine: Machine, *words: str, code: Optional[str] = None, lines: int = 24,
                 columns: int = 80) -> None:
        self.shown = b""
        self.ours, theirs = pty.openpty()
        self._size(lines, columns)
        self._kept_open = theirs  # so that the attributes can be read when the command has ended
        self.before = termios.tcgetattr(theirs)
        command = python("-m", "jd.cli", *words) if code is None else python("-c", code)

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.child = subprocess.Popen(command, env=dict(machine.environ, TERM="xterm"),
                                      stdin=theirs, stdout=theirs, stderr=theirs,
                                      preexec_fn=own_terminal)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: Any) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self.ours)
        os.close(self._kept_open)

    def _size(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, lines: int, columns: int) -> None:
        self._size(lines, columns)
        self.child.send_signal(signal.SIGWINCH)

    def until(self, predicate: Callable[[bytes], bool], timeout: float = PATIENCE) -> bytes:
        """Read until what was shown since the last call satisfies; returns that."""
        deadline = time.monotonic() + timeout
        while not predicate(self.shown):
            left = deadline - time.monotonic()
            assert left > 0, "not shown in time: %r" % self.shown
            if select.select([self.ours], [], [], left)[0]:
                self.shown += os.read(self.ours, 65536)
        shown, self.shown = self.shown, b""
        return shown

    def see(self, *words: bytes) -> bytes:
        return self.until(lambda shown: all(word in shown for word in words))

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def ends(self, status: int = 0) -> bytes:
        """Wait for its end; what it left on the terminal. The terminal is as it was before."""
        shown = self.see(LEFT)
        while self.child.poll() is None or select.select([self.ours], [], [], 0)[0]:
            if select.select([self.ours], [], [], 0.01)[0]:
                shown += os.read(self.ours, 65536)
        assert self.child.returncode == status
        assert termios.tcgetattr(self._kept_open) == self.before
        return shown.partition(LEFT)[2]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)



@pytest.mark.parametrize("key", [b"q", b"Q", b"\x03", b"\x04"])
def test_a_key_ends_it_and_the_terminal_is_as_before(machine: Machine, key: bytes) -> None:
    name = machine.enter("busy", 7)
    with Terminal(machine, "expId=exp", "worker-list", "watch=true") as terminal:
        terminal.see(b"\x1b[?1049h", name.encode(), b"q quits")
        assert termios.tcgetattr(terminal._kept_open) != terminal.before
        terminal.type(b"x" + key)
        assert terminal.ends() == b""


def test_it_stays_fresh(machine: Machine) -> None:
    name = machine.enter("busy", 7)
    with Terminal(machine, "expId=exp", "worker-list", "watch=true") as terminal:
        terminal.see(b"busy")
        machine.registry.update(name, "paused", None, None)
        shown = terminal.see(b"paused", b"q quits")
        assert b"\x1b[2J" not in shown  # drawn over, not cleared: no flicker
        terminal.type(b"q")
        terminal.ends()


@pytest.mark.parametrize("words", [("exp-status",), ("server-info", "server=http://127.0.0.1:9")])
def test_the_other_commands_that_can_be_watched(machine: Machine, words: Tuple[str, ...]) -> None:
    with Terminal(machine, "expId=exp", *words, "watch=true") as terminal:
        terminal.see(b"workers" if words[0] == "exp-status" else b"error: no answer", b"q quits")
        terminal.type(b"q")
        terminal.ends()


def test_a_server_that_goes_away_and_comes_back(machine: Machine, stub: Stub) -> None:
    counts = stub.answers[protocol.JOB_COUNTS]
    words = ("expId=exp", "server-info", "server=" + stub.url, "watch=true")
    with Terminal(machine, *words, columns=60) as terminal:
        shown = terminal.see(b"20 done", b"q quits")
        # Erasing the rest of a full line would take its last character.
        assert b"20 done\r\r\n" in shown and b"error" not in shown
        stub.answers[protocol.JOB_COUNTS] = (503, {"error": "not now"})
        terminal.see(b"error: ", b"since ", b"trying again; what follows is of ", b"20 done")
        stub.answers[protocol.JOB_COUNTS] = counts
        assert b"trying again" not in terminal.until(
            lambda shown: b"q quits" in shown.rpartition(b"\x1b[H")[2] and b"error" not in
            shown.rpartition(b"\x1b[H")[2]).rpartition(b"\x1b[H")[2]
        terminal.type(b"q")
        terminal.ends()


def test_a_signal_to_end_restores_the_terminal_first(machine: Machine) -> None:
    with Terminal(machine, "expId=exp", "exp-status", "watch=true") as terminal:
        terminal.see(b"draining")
        terminal.child.terminate()
        terminal.ends(-signal.SIGTERM)


def test_a_window_that_changes(machine: Machine) -> None:
    names = [machine.enter("busy", 7) for _ in range(12)]
    code = ("from jd.cli import main\nfrom jd.cli.showing import live\n"
            "live.watch.__defaults__ = (100.0,)\n"  # the window's change draws, not the time
            "main.main(['expId=exp', 'worker-list', 'watch=true'])\n")
    with Terminal(machine, code=code) as terminal:
        terminal.see(*[name.encode() for name in names])
        terminal.resize(10, 30)
        shown = terminal.see(b"more lines")
        frame = shown[shown.rindex(b"\x1b[H"):]
        assert b"UPTIME" not in frame and b"STATUS" in frame
        terminal.resize(40, 80)
        terminal.see(b"UPTIME", *[name.encode() for name in names])
        terminal.type(b"q")
        terminal.ends()


def test_ctrl_z_gives_the_terminal_back_for_the_time(machine: Machine) -> None:
    # A shell of its own group: a process without one around cannot be stopped by a terminal.
    code = ("import os, signal, sys\n"
            "pid = os.fork()\n"
            "if not pid:\n"
            "    from jd.cli import main\n"
            "    sys.exit(main.main(['expId=exp', 'exp-status', 'watch=true']))\n"
            "signal.signal(signal.SIGTSTP, signal.SIG_IGN)\n"
            "os.setpgid(pid, pid)\n"
            "signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
            "os.tcsetpgrp(0, pid)\n"
            "_, status = os.waitpid(pid, os.WUNTRACED)\n"
            "assert os.WIFSTOPPED(status), status\n"
            "print('STOPPED', flush=True)\n"
            "os.kill(pid, signal.SIGCONT)\n"
            "_, status = os.waitpid(pid, 0)\n"
            "sys.exit(0 if status == 0 else 1)\n")
    with Terminal(machine, code=code) as terminal:
        terminal.see(b"draining", b"q quits")
        terminal.type(b"\x1a")
        shown = terminal.see(b"STOPPED", b"\x1b[?1049h", b"q quits")
        assert shown.index(LEFT) < shown.index(b"STOPPED") < shown.index(b"\x1b[?1049h")
        terminal.type(b"q")
        terminal.ends()


def test_a_mistake_in_the_facts_restores_the_terminal(machine: Machine) -> None:
    code = ("from jd.cli.showing import live\n"
            "def broken():\n    raise ZeroDivisionError('oops')\n"
            "live.watch(broken, lambda facts, columns: [], 'title')\n")
    with Terminal(machine, code=code) as terminal:
        shown = terminal.ends(1)
        assert b"ZeroDivisionError" in shown and b"oops" in shown  # may be coloured


def test_q_counts_while_a_server_keeps_us_waiting(machine: Machine) -> None:
    code = ("import threading\nfrom jd.cli.showing import live\n"
            "live.watch(threading.Event().wait, lambda facts, columns: [], 'title')\n"
            "print('OVER')\n")
    with Terminal(machine, code=code) as terminal:
        terminal.see(b"asking")
        terminal.type(b"q")
        assert b"OVER" in terminal.ends()


def test_an_error_is_shown_in_place_and_it_goes_on(machine: Machine) -> None:
    code = ("from jd.cli.showing import live\nfrom jd.errors import ServerUnreachable\n"
            "turns = iter(range(100000))\n"
            "def fetch():\n"
            "    turn = next(turns)\n"
            "    if turn % 20 >= 10:\n"
            "        raise ServerUnreachable('it is away')\n"
            "    return turn\n"
            "live.watch(fetch, lambda facts, columns: ['turn %d' % facts], 'title', 0.02)\n")
    with Terminal(machine, code=code) as terminal:
        terminal.see(b"turn 3\x1b")
        shown = terminal.see(b"error: it is away")
        assert b"turn 9\x1b" in shown[shown.index(b"error"):] + terminal.see(b"q quits")
        shown = terminal.see(b"turn 21\x1b")
        assert b"error" not in shown[shown.rindex(b"\x1b[H"):]
        terminal.type(b"q")
        terminal.ends()


@pytest.mark.parametrize("words", [("worker-list",), ("exp-status",), ("server-info",)])
def test_it_needs_a_terminal_and_people(machine: Machine, words: Tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="needs a terminal"):
        machine.run("expId=exp", *words, "watch=true")
    with pytest.raises(UsageError, match="json=true for programs"):
        machine.run("expId=exp", *words, "watch=true", "json=true")


@pytest.mark.parametrize("line, columns, expected", [
    ("abc", 2, "ab"), ("abc", 3, "abc"), ("abc", 0, ""),
    ("\033[1mabc\033[0md", 2, "\033[1mab\033[0m"), ("a\033[1mb\033[0mcd", 3, "a\033[1mb\033[0mc"),
])
def test_lines_are_cut_without_their_colours(line: str, columns: int, expected: str) -> None:
    assert views.cut(line, columns) == expected
