"""Heartbeats while the thread of the calls sends files, which may take longer than the lease of a job."""

import threading
from typing import Callable, Optional

from jd.errors import JdError, ServerRefused
from jd.threads import Reported
from jd.worker.uplink.callthread import Call


class Meanwhile:
    """Makes `call` by `deliver`, at once and then every so many seconds, in a thread, until the `with` block
    ends or `seconds` are over. None: nothing.

    Whatever its answers say, the next heartbeat of the worker will be told as well; `log` hears of what
    nobody foresaw.
    """

    def __init__(self, deliver: Callable[[Call], object], call: Optional[Call], every: float,
                 seconds: float, log: Callable[[str], None]) -> None:
        self._deliver = deliver
        self._call = call
        self._every = every
        self._times = int(seconds / every)
        self._over = threading.Event()
        self._reported = Reported("a heartbeat while files were sent failed", log)
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> "Meanwhile":
        if self._call is not None:
            self._thread = self._reported.start(self._work, "jd-meanwhile")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()  # one that came after the result would say that the job still runs

    def _work(self) -> None:
        assert self._call is not None
        for _ in range(self._times):
            with self._reported:
                try:
                    self._deliver(self._call)
                except ServerRefused:
                    return
                except JdError:
                    pass  # no answer: perhaps the next one gets through
            if self._over.wait(self._every):
                return
