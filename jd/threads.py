"""Threads, and other work beside the main thing, that go on whatever they meet.

A thread in which something is raised that nobody foresaw ends, in silence or nearly so: nothing is saved,
renewed or written by it from then on. The same goes for a task of asyncio that repeats something, and for
callbacks that come one after the other. So each step of such work is done in a `Reported` block: what goes
wrong in it is told to whoever is to know, and the next step comes.
"""

import queue
import threading
import traceback
from types import TracebackType
from typing import Any, Callable, Optional, Tuple, Type

from jd import shortage
from jd.errors import JdError, reason


class NoThread(JdError):
    """The system starts no further thread for this process."""


def start(work: Callable[..., object], name: str, arguments: Tuple[Any, ...] = ()) -> threading.Thread:
    """Start a thread that does not keep the process from ending. Raises NoThread."""
    thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise NoThread(shortage.told(error) or str(error)) from None
    return thread


class Kept:
    """A thread that is kept for one piece of work after another: those of short jobs need no new one each.

    For one thread, which gives it work. One that has not come to the end of what it was given last is left
    to that, and what comes next has another.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._hand: Optional[_Hand] = None

    def get_ready(self) -> None:
        """Have a thread that waits for work. Raises NoThread."""
        if self._hand is not None and self._hand.busy:
            self._hand.work.put(None)
            self._hand = None
        if self._hand is None:
            hand = _Hand()
            start(hand.run, self._name)
            self._hand = hand

    def do(self, work: Callable[[], None], wake: Callable[[], None]) -> None:
        """Have `work` done, and `wake` called when there may be more. Raises NoThread unless it is ready."""
        self.get_ready()
        assert self._hand is not None
        self._hand.busy = True
        self._hand.work.put((work, wake))


class _Hand:
    def __init__(self) -> None:
        self.busy = False
        self.work: "queue.SimpleQueue[Optional[Tuple[Callable[[], None], Callable[[], None]]]]" = (
            queue.SimpleQueue())

    def run(self) -> None:
        while True:
            given = self.work.get()
            if given is None:
                return
            work, wake = given
            work()
            self.busy = False
            wake()


class Reported:
    """`with` blocks in which any exception is reported, and not raised.

        with self._saving:            # = Reported("the checkpoint directory was not saved", log)
            save()

    `trouble` says in one sentence what went wrong in the newest block: `what` and the reason; it is None
    after one that went well, and `met` is the exception itself. `report` gets it, once until a block has
    gone well. With it goes a traceback where the reason is none that a person can do anything about.
    """

    def __init__(self, what: str, report: Callable[[str], None]) -> None:
        self.trouble: Optional[str] = None
        self.met: Optional[Exception] = None
        self._what = what
        self._report = report

    def __enter__(self) -> "Reported":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> bool:
        if error is None:
            self.trouble = self.met = None
            return False
        if not isinstance(error, Exception):
            return False  # the process or the task is being ended
        self._fail(error)
        return True

    def start(self, work: Callable[..., object], name: str,
              arguments: Tuple[Any, ...] = ()) -> Optional[threading.Thread]:
        """Do `work` as such a block in a thread; None where no thread can be started, which is reported."""
        def run() -> None:
            with self:
                work(*arguments)
        try:
            return start(run, name)
        except NoThread as error:
            self._fail(error)
            return None

    def _fail(self, error: Exception) -> None:
        self.met = error
        said, self.trouble = self.trouble, "%s: %s" % (self._what, reason(error))
        if self.trouble != said:
            self._report(self.trouble + _trace(error))


def _trace(error: Exception) -> str:
    if isinstance(error, (JdError, OSError)) or shortage.told(error) is not None:
        return ""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "\nplease report this:\n" + "".join(lines).rstrip()
