"""`jd_report`: what a script tells of itself while it runs (library reference, "Reports").

A call puts what it was given into a queue, no more; only of what may change meanwhile, such as a tensor, it
takes the number first. A thread appends the queue, about once a second, to the file that JD_METRICS names:
whole lines of JSON in one write, so that several processes may share the file. Its worker sends them on
(`jd/worker/attempt/reports/`). Nothing here raises into the script or waits: what goes wrong is said once on
stderr.
"""

import atexit
import json
import os
import sys
import threading
from collections import deque
from numbers import Number
from time import monotonic, time
from typing import Any, Deque, Dict, List, Mapping, Optional, Set, Tuple

from jd.protocol import MAX_REPORT_BYTES

VARIABLE = "JD_METRICS"
EVERY = 1.0  # seconds between two writes
AT_EXIT = 5.0  # seconds that the end of the interpreter waits at most, for a file server that hangs
AT_ONCE = 0.1  # likewise, where a call of jd_report has to write
MAX_QUEUED = 100_000  # reports between two writes; the oldest are left out
MAX_UNWRITTEN = 1024 * 1024  # bytes that wait for a disk that is full
MAX_DEPTH = 8  # of objects in objects
_PIECE = 256 * 1024  # bytes in one write
# A pipe that nobody reads is not waited for.
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
_PLAIN = frozenset((float, int, bool))
_lasting = set(_PLAIN)  # types of numbers that do not change; those of NumPy come to them when they are met
_STEPS = frozenset((type(None), float, int))
_encode = json.JSONEncoder(separators=(",", ":")).encode


def jd_report(step: Any = None, **metrics: Any) -> None:
    """Tell numbers of the running job while it runs: `jd_report(step=3, loss=0.41)`.

    Pages show them as curves, and the newest of each name is a result of the job. Numbers are what float() or
    `.item()` makes one of, also NaN and infinities; a dictionary of numbers becomes `name.key`. Anything else
    is left out, which is said once. Without a step the reports of a name are counted. A tensor on a GPU is
    waited for, as with `.item()`.

    It takes some microseconds and never raises. What was told is in the file that JD_METRICS names after a
    second, and at the end of the script; in a script that no worker started in the directory of the try-out.
    """
    now = time()
    if type(step) not in _STEPS or not _lasting.issuperset(map(type, metrics.values())):
        try:
            step, metrics = _step(step), _taken(metrics, MAX_DEPTH)
        except Exception as error:  # the objects are the user's: anything may come
            _writer.say("other", "jd_report leaves out a report: %s" % type(error).__name__)
            return
    writer = _writer
    writer.queue.append((now, step, metrics))
    if not writer.running:
        writer.begin()
    elif not writer.wake.is_set():
        writer.wake.set()


class _Writer:
    """Appends what is queued; each process has its own. `running` tells whether a thread does it."""

    def __init__(self) -> None:
        self.said: Set[str] = set()
        self._is_known = False  # to Python, for what comes at the end and in a fork
        self.fresh()

    def fresh(self) -> None:
        """Begin anew, as in a process that was forked: what was queued before is its parent's to write."""
        self.queue: Deque[Tuple[float, Any, Mapping[str, Any]]] = deque(maxlen=MAX_QUEUED)
        self.running = False
        self.wake = threading.Event()
        self._ending = threading.Event()
        self._done = threading.Event()
        self._alone = threading.Lock()
        self._path: Optional[str] = None
        self._threadless = False
        self._next = 0.0  # when to write where there is no thread
        self._unwritten = b""
        self._torn = False  # whether the file ends with a part of a line of ours

    def begin(self) -> None:
        """Start the thread; where there can be none any more, write from here."""
        if not self._ending.is_set() and not self._threadless and self._alone.acquire(blocking=False):
            try:
                if not self.running:
                    self._start()
            finally:
                self._alone.release()
        if not self.running and (self._ending.is_set() or monotonic() >= self._next):
            self._next = monotonic() + EVERY
            self._write(AT_ONCE)
        self.wake.set()

    def end(self) -> None:
        """The process ends: write what is there, in a time that has a limit."""
        self._ending.set()
        if self.running:
            self.wake.set()
            self._done.wait(AT_EXIT)
            self.running = False  # what comes now is written at once
        elif self.queue:
            self._write(AT_EXIT)

    def say(self, kind: str, text: str) -> None:
        """Tell the user on stderr, of each kind once."""
        if kind in self.said:
            return
        self.said.add(kind)
        try:
            print("jd: " + text, file=sys.stderr, flush=True)
        except Exception:
            pass  # stderr is closed, or somebody's object

    def _start(self) -> None:
        try:
            self._path = _place()
        except Exception as error:
            self.say("place", "what jd_report tells cannot be kept: %s" % error)
        if self._path is None:
            self.queue = deque(maxlen=0)
            self.running = True  # without a thread: there is nothing for it to do
            self._done.set()
            return
        try:
            threading.Thread(target=self._work, name="jd-report", daemon=True).start()
            self.running = True
        except (RuntimeError, MemoryError):
            self._threadless = True
        if not self._is_known:
            atexit.register(self.end)
            os.register_at_fork(after_in_child=self.fresh)
            self._is_known = True
        # Processes of multiprocessing end without what atexit knows, before Python 3.13.
        at_their_end: Any = getattr(sys.modules.get("multiprocessing.util"), "Finalize", None)
        if at_their_end is not None:
            at_their_end(None, self.end, exitpriority=0)

    def _work(self) -> None:
        while not self._ending.is_set():
            self.wake.wait()
            self.wake.clear()
            self._write(AT_EXIT)
            self._ending.wait(EVERY)
        self._write(AT_EXIT)
        self._done.set()

    def _write(self, patience: float) -> None:
        """Write what there is, unless somebody else writes for so many seconds: a handler of signals may
        have come into it."""
        if not self._alone.acquire(timeout=patience):
            return
        try:
            self._append(self._lines())
        except OSError as error:
            self.say("file", "what jd_report tells cannot be written to %s: %s" % (
                self._path, error.strerror or error))
        except Exception as error:
            self.say("other", "what jd_report tells is not written: %s" % error)
        finally:
            self._alone.release()

    def _lines(self) -> List[bytes]:
        """What is queued, as lines."""
        queue = self.queue
        waiting = len(queue)
        if waiting == MAX_QUEUED:
            self.say("many", "jd_report is called more than %d times a second; some of it is left out"
                     % MAX_QUEUED)
        lines: List[bytes] = []
        for _ in range(waiting):
            now, step, metrics = queue.popleft()
            head = {"time": now} if step is None else {"time": now, "step": step}
            if "time" in metrics:
                self.say("time", "jd_report says the time itself: the metric called time is left out")
                metrics = {name: value for name, value in metrics.items() if name != "time"}
            if not _PLAIN.issuperset(map(type, metrics.values())):
                metrics = _plain(metrics)
            if metrics:
                try:
                    lines += self._encoded(head, metrics)
                except ValueError as error:  # a whole number of thousands of digits
                    self.say("line", "jd_report leaves out a report: %s" % error)
        return lines

    def _encoded(self, head: Mapping[str, Any], metrics: Mapping[str, Any]) -> List[bytes]:
        """A report as a line, or as several of the same step if it is too long for one."""
        line = _encode({**head, **metrics}).encode("ascii") + b"\n"
        if len(line) <= MAX_REPORT_BYTES:
            return [line]
        names = list(metrics)
        if len(names) == 1:
            self.say("long", "jd_report leaves out %s: it has more than %d bytes" % (
                names[0][:80], MAX_REPORT_BYTES))
            return []
        half = len(names) // 2
        return [part for some in (names[:half], names[half:])
                for part in self._encoded(head, {name: metrics[name] for name in some})]

    def _append(self, lines: List[bytes]) -> None:
        waiting, self._unwritten = self._unwritten + b"".join(lines), b""
        if not waiting or self._path is None:
            return
        try:
            handle = os.open(self._path, _APPENDING, 0o666)
            try:
                while waiting:
                    piece = waiting[:waiting.rfind(b"\n", 0, _PIECE) + 1]
                    torn = b"\n" if self._torn else b""
                    written = os.write(handle, torn + piece) - len(torn)
                    whole = piece.rfind(b"\n", 0, max(0, written)) + 1
                    self._torn = written > whole or self._torn and written < 0
                    waiting = waiting[whole:]
            finally:
                os.close(handle)
        except OSError:
            newest = waiting[-MAX_UNWRITTEN:]
            self._unwritten = newest[newest.find(b"\n") + 1:] if len(newest) < len(waiting) else newest
            raise


def _place() -> Optional[str]:
    """The file that reports go to; None where the worker has named none. Raises JdError."""
    given = os.environ.get(VARIABLE, "").strip()
    if given:
        return os.path.abspath(given)
    from jd.script import tryout
    if not tryout.applies():
        _writer.say("worker", "the worker that runs this script takes no reports: what jd_report tells is "
                              "not kept")
        return None
    path = str(tryout.reports_file())
    os.environ[VARIABLE] = path  # for the processes that this one starts, in whichever language
    return path


# ---- what is no plain number

def _step(step: Any) -> Any:
    if type(step) in _STEPS:
        return step
    if isinstance(step, Mapping):
        _writer.say("step", "jd_report takes values by name: jd_report(loss=0.3), or jd_report(**values); "
                            "what was given in their place is left out")
        return None
    number = _number(step)
    if number is None:
        _writer.say("step", "jd_report takes a number as step, and leaves out a %s" % type(step).__name__)
    return number


def _taken(metrics: Mapping[Any, Any], depth: int) -> Dict[str, Any]:
    """Metrics that do not change any more, whatever becomes of what was given."""
    taken: Dict[str, Any] = {}
    for name, value in metrics.items():
        if type(value) not in _lasting:
            if isinstance(value, Number):
                _lasting.add(type(value))
            elif depth and not hasattr(value, "item") and isinstance(value, Mapping):
                value = _taken(value, depth - 1)
            else:
                value = _number(value, name)
        if value is not None:
            taken[str(name)] = value
    return taken


def _plain(metrics: Mapping[str, Any]) -> Dict[str, Any]:
    """Metrics of which every number is of a type of Python's own."""
    plain: Dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            value = _plain(value)
        elif type(value) not in _PLAIN:
            value = _number(value, name)
        if value is not None:
            plain[name] = value
    return plain


def _number(value: Any, name: Any = None) -> Any:
    """The number that a value is, of Python's own types; None where it is none, which is told of a metric."""
    try:
        if hasattr(value, "item"):
            value = value.item()
        if isinstance(value, bool):
            return value
        if not isinstance(value, (str, bytes, bytearray)):  # which float() would read
            return int(value) if isinstance(value, int) else float(value)
    except Exception:  # the object is the user's: anything may come
        pass
    if name is not None:
        _writer.say("value", "jd_report takes numbers, and leaves out %s, which is %s" % (
            str(name)[:80], "None" if value is None else "of the type " + type(value).__name__))
    return None


_writer = _Writer()
