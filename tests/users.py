"""Other users of this machine, for tests that run as root."""

import importlib
import json
import os
import pwd
import signal
import traceback
from typing import Any, Callable, List

import pytest

OTHER = 54321  # nobody's number on any machine
ANOTHER = 54322

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def system_users() -> List[pwd.struct_passwd]:
    """Users of this machine who have a name, and are no people: their passwd entries."""
    found = [user for user in pwd.getpwall() if user.pw_name in ("daemon", "bin", "sys", "mail", "news")]
    assert len(found) > 1, "a system has at least two of these"
    return found


def system_user() -> pwd.struct_passwd:
    """One of them."""
    return system_users()[0]


class Other:
    """A process of user `uid` that runs `work(say)`; `say(value)` is what `hear()` returns here.

    A fork, because the Python of the tests may lie where no other user may read.
    """

    def __init__(self, work: Callable[[Callable[[Any], None]], None], uid: int = OTHER) -> None:
        # Loaded here is what every connection needs: the other user may not read where it lies.
        for needed in ("encodings.idna", "concurrent.futures.thread"):
            importlib.import_module(needed)
        reading, writing = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            try:
                os.close(reading)
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

                def say(value: Any) -> None:
                    os.write(writing, json.dumps(value).encode() + b"\n")
                work(say)
            except BaseException:
                os.write(2, traceback.format_exc().encode())
                os._exit(1)
            os._exit(0)
        os.close(writing)
        self._heard = os.fdopen(reading, "r")

    def __enter__(self) -> "Other":
        return self

    def hear(self) -> Any:
        """What it says next; waits for it."""
        line = self._heard.readline()
        assert line, "the other user's process has ended without a word"
        return json.loads(line)

    def __exit__(self, *_: Any) -> None:
        os.kill(self._pid, signal.SIGKILL)  # not waited for yet: it is still this process
        os.waitpid(self._pid, 0)
        self._heard.close()


def ask_as(uid: int, work: Callable[[], Any]) -> Any:
    """What `work()` returns, as JSON has it, when user `uid` calls it."""
    with Other(lambda say: say(work()), uid) as other:
        return other.hear()
