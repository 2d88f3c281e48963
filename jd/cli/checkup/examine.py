"""Makes checks so that none of them can hang the others.

A dead NFS server or a silent name server blocks a system call for minutes, and a thread that is blocked
there cannot be stopped. So each group of checks runs in a forked child in a process group of its own, all
at once. A child whose current check takes too long is killed, and that check is reported as not answering.
What the child found before counts.
"""

import json
import os
import select
import signal
import time
import traceback
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

from jd.cli.checkup.finding import PROBLEM, Finding, Group
from jd.errors import JdError, debugging

CHECK_SECONDS = 6.0  # for one check; what can be given a limit of its own has a shorter one

Examined = Tuple[Group, List[Finding]]


def examine(groups: Sequence[Group], limit: float = CHECK_SECONDS,
            clock: Callable[[], float] = time.monotonic) -> Iterator[Examined]:
    """Groups with their findings, in the given order, each as soon as those before it are known.

    A check that takes longer than `limit` seconds is a finding itself.
    """
    children: List[_Child] = []
    try:
        for group in groups:
            children.append(_Child(group, limit, clock))
        for child in children:
            while not child.ended:
                _read_some([other for other in children if not other.ended], clock)
            yield child.group, child.findings
    finally:
        for child in children:
            child.close()


def _read_some(children: Sequence["_Child"], clock: Callable[[], float]) -> None:
    """Wait for news of any child, at most until the first of them is overdue."""
    patience = max(0.0, min(child.overdue_at for child in children) - clock())
    poll = select.poll()
    by_fd = {child.fd: child for child in children}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    for fd, _ in poll.poll(int(patience * 1000) + 1):
        by_fd[fd].read()
    now = clock()
    for child in children:
        if not child.ended and now >= child.overdue_at:
            child.give_up()


class _Child:
    """A forked process that makes the checks of one group and writes findings as JSON lines."""

    def __init__(self, group: Group, limit: float, clock: Callable[[], float]) -> None:
        self.group = group
        self.findings: List[Finding] = []
        self.ended = False
        self._limit = limit
        self._clock = clock
        self._doing = "starting"
        self._rest = b""
        self.fd, writing_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _be_child(group, writing_end)
        os.close(writing_end)
        try:
            os.setpgid(self._pid, self._pid)  # the child does the same: whoever is first
        except OSError:
            pass
        self.overdue_at = clock() + limit

    def read(self) -> None:
        """Take what the child has written."""
        data = os.read(self.fd, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._heard(json.loads(line.decode("ascii")))
        if not data and not self.ended:
            self._add(PROBLEM, "looking at %s ended early: its process was killed" % self._doing)
            self._end()

    def give_up(self) -> None:
        """The current check hangs."""
        self._add(PROBLEM, "%s: no answer within %g s" % (self._doing, self._limit),
                  "something hangs there: a dead network file system, name server or driver; "
                  "ask whoever runs this node")
        self._end()

    def close(self) -> None:
        """Kill what still runs. It may hang in the kernel: it is not waited for."""
        if self.fd >= 0:
            self._end()

    def _heard(self, message: Dict[str, str]) -> None:
        if "doing" in message:
            self._doing = message["doing"]
            self.overdue_at = self._clock() + self._limit
        elif "level" in message:
            self.findings.append(Finding(**message))
        else:
            self._end()

    def _add(self, level: str, what: str, advice: str = "") -> None:
        self.findings.append(Finding(level, self.group.topic, what, advice))

    def _end(self) -> None:
        self.ended = True
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except OSError:
            pass  # it has ended
        try:
            # One that dies at once is gone with that; a zombie of the rest ends with us.
            deadline = time.monotonic() + 0.2
            while os.waitpid(self._pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
                select.select([], [], [], 0.002)
        except ChildProcessError:
            pass  # SIGCHLD is ignored: the kernel has reaped it


def _be_child(group: Group, fd: int) -> None:
    """Make the checks and never return."""
    def tell(message: Dict[str, str]) -> None:
        os.write(fd, json.dumps(message).encode("ascii") + b"\n")

    status = 1
    try:
        os.setpgid(0, 0)
        for check in group.checks:
            tell({"doing": check.doing})
            for finding in _made(group, check.doing, check.find):
                tell(dict(finding.__dict__))
        tell({})
        status = 0
    finally:
        os._exit(status)


def _made(group: Group, doing: str, find: Callable[[], List[Finding]]) -> List[Finding]:
    try:
        return find()
    except JdError as error:
        return [Finding(PROBLEM, group.topic, error.what, error.advice)]
    except Exception:
        if debugging():
            traceback.print_exc()
        last = traceback.format_exc().strip().splitlines()[-1]
        return [Finding(PROBLEM, group.topic, "%s could not be looked at: %s" % (doing, last),
                        "please report this, with the traceback that JD_DEBUG=1 shows")]
