"""What a command does before it imports the rest, so that it can rely on this however it was started.

Nothing is imported here that Python has not loaded by itself, but what is as frugal.
"""

import os
import sys

from jd import shortage


def run(module: str) -> int:
    """Prepare, then run `entry()` of a module that is imported only now; its exit status.

    Where memory, threads, processes or open files run out on the way, a line on stderr says so.
    """
    prepare()
    try:
        __import__(module)
        return int(sys.modules[module].entry())
    except (MemoryError, OSError, ImportError, RuntimeError, SystemError) as error:
        shortage.end(error)


def prepare() -> None:
    """Python's own modules come first, the three standard streams are open, and take any text."""
    _own_modules_first()
    _open_streams()


def _own_modules_first() -> None:
    """Look on PYTHONPATH and in the current directory only after the standard library.

    A `json.py` or `queue.py` of the user's would stand in for Python's. It concerns this process
    alone: the jobs get PYTHONPATH as it is.
    """
    library = os.path.dirname(getattr(os, "__file__", None) or "")
    if library not in sys.path:
        return  # a Python that is built in an uncommon way, and knows best
    own = (library, os.path.join(library, "lib-dynload"))
    zipped = "python%d%d.zip" % sys.version_info[:2]
    first = [entry for entry in sys.path if entry in own or os.path.basename(entry) == zipped]
    sys.path[:] = first + [entry for entry in sys.path if entry not in first]


def _open_streams() -> None:
    """Open what is closed of standard input, output and error to nowhere.

    The next file or socket would get its number, and whatever is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # A stream is None where its number was closed when Python started.
    sys.stdin = sys.stdin or open(0)
    sys.stdout = sys.stdout or open(1, "w")
    sys.stderr = sys.stderr or open(2, "w")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
