"""Watch mode: facts on the whole terminal, kept fresh in place until q or Ctrl-C.

Facts are fetched in a thread, so that keys and the size of the window count at once while a server is slow.
However watching ends, the terminal is as it was before.
"""

import os
import queue
import select
import signal
import socket
import sys
import termios
import textwrap
import threading
import time
import tty
from types import FrameType
from typing import Any, Callable, Dict, Generic, List, Optional, TypeVar

from jd import terminal
from jd.cli.showing import views
from jd.errors import EXIT_FAILURE, EXIT_OK, JdError, UsageError

T = TypeVar("T")
Fetch = Callable[[], T]
# Facts as lines, in so many columns if that is limited.
Draw = Callable[[T, Optional[int]], List[str]]

INTERVAL = 2.0  # seconds
_QUIT = b"qQ\x03\x04"  # also Ctrl-C and Ctrl-D, where the terminal hands them on as characters
_FATAL = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Alternate screen, no cursor, no wrapping; and back.
_ENTER = "\033[?1049h\033[?25l\033[?7l\033[2J"
_LEAVE = "\033[?7h\033[?25h\033[?1049l"


def watch(fetch: Fetch[T], draw: Draw[T], title: str, interval: float = INTERVAL) -> int:
    """Show `draw(fetch())` live; returns the exit status when the user has enough of it.

    A JdError of `fetch` is shown above the last facts, with how old they are, and it goes on. Raises
    UsageError where there is no terminal. A signal to end is obeyed once the terminal is restored.
    """
    if not (terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stdout)):
        raise UsageError("watch=true needs a terminal", "leave it out to print the facts once")
    if os.environ.get("TERM") == "dumb":
        raise UsageError("watch=true cannot redraw this terminal (TERM=dumb)", "leave it out")
    with _Signals() as signals:
        with _Screen() as screen:
            _Watch(fetch, draw, title, interval, signals, screen).run()
    if signals.fatal is not None:
        os.kill(os.getpid(), signals.fatal)
        return EXIT_FAILURE
    return EXIT_OK


class _Watch(Generic[T]):
    """The loop: wait for a key, a signal, news or the time to ask for them; draw."""

    def __init__(self, fetch: Fetch[T], draw: Draw[T], title: str, interval: float,
                 signals: "_Signals", screen: "_Screen") -> None:
        self._news: "_News[T]" = _News(fetch, signals.wake)
        self._draw = draw
        self._title = title
        self._interval = interval
        self._signals = signals
        self._screen = screen
        self._facts: List[T] = []  # at most one
        self._error: Optional[JdError] = None
        self._at = ""  # when the last answer came, when the last good one, when the errors began
        self._facts_at = ""
        self._error_since = ""

    def run(self) -> None:
        """Returns when it is to end."""
        due = time.monotonic()
        while self._shown():
            if not self._news.awaited and time.monotonic() >= due:
                self._news.ask()
            timeout = None if self._news.awaited else max(0.0, due - time.monotonic())
            ready = select.select([sys.stdin, self._signals], [], [], timeout)[0]
            if sys.stdin in ready and self._screen.quit_pressed():
                return
            self._signals.drain()
            if self._signals.end:
                return
            if self._signals.suspend:
                self._screen.suspend(self._signals)
            if self._take():
                due = time.monotonic() + self._interval

    def _shown(self) -> bool:
        """Draw; False where the terminal hung up."""
        try:
            self._show()
        except OSError:
            return False
        return True

    def _take(self) -> bool:
        """Take the news, if there are any. Raises what is no JdError: that is a mistake of ours."""
        found = self._news.take()
        if found is None:
            return False
        self._at = time.strftime("%H:%M:%S")
        if isinstance(found.error, JdError):
            self._error_since = self._error_since if self._error is not None else self._at
            self._error = found.error
        elif found.error is not None:
            raise found.error
        else:
            self._facts, self._error, self._facts_at = found.facts, None, self._at
        return True

    def _show(self) -> None:
        size = self._screen.size()
        body: List[str] = []
        if self._error is not None:
            body += self._trouble(max(10, size.columns - 1)) + [""]
        for facts in self._facts:
            body += self._draw(facts, size.columns)
        if not body:
            body = [terminal.paint("asking ...", "dim")]
        self._screen.show(self._head() + _fitting(body, size.lines - 4) + ["", self._foot()], size)

    def _trouble(self, columns: int) -> List[str]:
        words = textwrap.wrap(views.plain("error: %s" % self._error), columns)
        since = "since %s, trying again" % self._error_since
        if self._facts:
            since += "; what follows is of %s" % self._facts_at
        return [terminal.paint(line, "red") for line in words + textwrap.wrap(since, columns)]

    def _head(self) -> List[str]:
        return [terminal.paint(self._title, "bold") + ("  " + self._at if self._at else ""), ""]

    def _foot(self) -> str:
        return terminal.paint("every %g s   q quits" % self._interval, "dim")


def _fitting(body: List[str], room: int) -> List[str]:
    if len(body) <= room:
        return body
    kept = max(0, room - 1)
    return body[:kept] + [terminal.paint("... and %d more lines" % (len(body) - kept), "dim")]


class _Found(Generic[T]):
    """What came of one question: facts, in a list of one, or an error."""

    def __init__(self, facts: List[T], error: Optional[BaseException]) -> None:
        self.facts = facts
        self.error = error


class _News(Generic[T]):
    """Asks `fetch` in a thread, one question at a time; `wake` is called when it has answered."""

    def __init__(self, fetch: Fetch[T], wake: Callable[[], None]) -> None:
        self._fetch = fetch
        self._wake = wake
        self._found: "queue.Queue[_Found[T]]" = queue.Queue()
        self.awaited = False

    def ask(self) -> None:
        """Begin to ask. A question that is not answered when the program ends does not hold it up."""
        self.awaited = True
        threading.Thread(target=self._answer, name="watch", daemon=True).start()

    def take(self) -> Optional[_Found[T]]:
        """The answer, None if there is none yet."""
        try:
            found = self._found.get_nowait()
        except queue.Empty:
            return None
        self.awaited = False
        return found

    def _answer(self) -> None:
        try:
            found = _Found([self._fetch()], None)
        except BaseException as error:  # it belongs to the main thread
            found = _Found([], error)
        self._found.put(found)
        self._wake()


class _Screen:
    """The terminal, taken over while the `with` block lasts: keys come at once and unseen."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._fd)

    def __enter__(self) -> "_Screen":
        try:
            self._take_over()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def _take_over(self) -> None:
        tty.setcbreak(self._fd, termios.TCSANOW)
        sys.stdout.write(_ENTER)
        sys.stdout.flush()

    def _give_back(self) -> None:
        try:
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
        except (OSError, termios.error):
            pass  # it hung up: there is nothing to restore

    def suspend(self, signals: "_Signals") -> None:
        """Ctrl-Z: give the terminal back, stop, and take it over again when continued."""
        signals.suspend = False
        self._give_back()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._take_over()

    def size(self) -> os.terminal_size:
        """Columns and lines now; 80 and 24 where the terminal does not say."""
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            size = os.terminal_size((0, 0))
        return os.terminal_size((size.columns or 80, size.lines or 24))

    def quit_pressed(self) -> bool:
        """Read keys; whether one of them means to leave, or the terminal hung up."""
        try:
            keys = os.read(self._fd, 1024)
        except OSError:
            return True
        return not keys or any(key in _QUIT for key in keys)

    def show(self, lines: List[str], size: os.terminal_size) -> None:
        """Draw over what is there, in one write: nothing is cleared first, so nothing flickers."""
        shown = []
        for line in lines[:size.lines]:
            # Behind a full line the cursor stands on its last character, and would erase that.
            rest = "\033[K" if views.length(line) < size.columns else ""
            shown.append(views.encodable(views.cut(line, size.columns)) + rest)
        sys.stdout.write("\033[H" + "\r\n".join(shown) + "\033[J")
        sys.stdout.flush()


class _Signals:
    """Signals as flags while the `with` block lasts, and a socket that wakes the loop."""

    def __init__(self) -> None:
        self.end = False
        self.suspend = False
        self.fatal: Optional[int] = None
        self._before: Dict[int, Any] = {}
        self._reader, self._writer = socket.socketpair()
        self._wakeup_before = -1

    def __enter__(self) -> "_Signals":
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _FATAL + (signal.SIGINT, signal.SIGWINCH, signal.SIGTSTP):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._wakeup_before)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """Ready to read when something happened."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Make the loop look around; from any thread, also when there is no loop any more."""
        try:
            self._writer.send(b"\0")
        except OSError:
            pass  # full: the loop will wake anyway; closed: it has ended

    def drain(self) -> None:
        """Empty the socket; call it before looking at what happened."""
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _handle(self, number: int, _frame: Optional[FrameType]) -> None:
        if number == signal.SIGTSTP:
            self.suspend = True
        elif number != signal.SIGWINCH:
            self.end = True
            if number in _FATAL:
                self.fatal = number
