"""The end of a job that was forked from a warm interpreter.

It is Python's own, with its flushes, collections and finalisers in their order, but for two things. Installed
modules that were imported before are left as they are: to take them apart takes half as long as to import
them, since what was shared until then is copied. And where Python has nothing left to do but to take itself
apart, which takes as long again and which nobody sees, and where it is known that the exit status is 0, the
process ends there as one of any C program does.

The program of a warm interpreter is `interpreter.py` with this behind it.
"""

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

# Python deletes these names behind the last line of a script, and behind the traceback of one that has
# failed; but not if the script ends with SystemExit, whose status nobody can tell then.
_WHILE_IT_RUNS = {"__file__", "__cached__"}
_OF_FAILURES = {"last_type", "last_value", "last_traceback", "last_exc"}
_NEWEST = (3, 13)  # that was seen to do so
_AT_EXIT = 32  # functions of C that Python calls at the very end, at most
_MAIN = "__main__"
_END_OF_ARCHIVE = b"PK\5\6"  # zipfile's table of contents
_KEY = "end of a job"  # no name that a program could have


class Ending:
    """What is to be done differently at the end of a job's process.

    Of a module of the user's all may be what only it holds, and so nothing is left out where there is one.
    """

    def __init__(self) -> None:
        """Before anything is imported for jobs."""
        import _thread
        import atexit
        import ctypes
        import io
        import os
        library = ctypes.PyDLL(None)
        self._leave = _Leave(library.Py_AtExit, library.getpid, library.exit, os.listdir)
        self._threads = _thread._count
        self._callbacks = atexit._ncallbacks
        self._text, self._file = io.TextIOWrapper, io.IOBase.__base__
        self._modules: "dict[str, ModuleType]" = sys.modules
        self._loaded: "dict[str, ModuleType]" = {}
        self._lasting: "list[Any]" = []
        self._files: "list[Any]" = []
        self._has_own = False
        self._main: "Any" = None
        atexit.register(self._begin)  # before all others: it comes last

    def of(self, names: "set[str]", has_own: bool, *more: "Any") -> None:
        """Say which modules were imported that may be left, and whether others were. `more` is left as well.

        For the moment before all is frozen: what is kept here is garbage otherwise.
        """
        self._loaded = {name: sys.modules[name] for name in sorted(names - {"sys", "builtins", _MAIN})}
        self._has_own = has_own
        self._lasting += [self._lasting, self, *more]
        import _weakref
        files = _files_among(gc.get_objects(), self._file)
        _finish(files, "flush")  # what was written until now is there once, and not for each job
        self._files = [_weakref.ref(one) for one in files]  # which the collector does not know any more

    def watch(self) -> None:
        """See from now on how the script ends that this process becomes."""
        import _weakref
        main = sys.modules[_MAIN]
        self._names, self._hook, self._registered = set(vars(main)), sys.excepthook, self._callbacks()
        if sys.argv[0] not in ("-c", "-m") and sys.version_info[:2] <= _NEWEST and not _leaves_no_traces():
            self._main = _weakref.ref(main)

    def _begin(self) -> None:
        if sys._getframe().f_back is None:  # else the script itself calls what is to come at its end
            self._end()

    def _end(self) -> None:
        if self._has_own or not gc.isenabled() or self._threads():
            self._lasting.clear()
            if self._has_own:
                gc.unfreeze()
            return
        succeeded = self._has_succeeded()
        # What Python does next, in this order: a finaliser that imports something has to find it.
        gc.collect()
        vars(sys)[_KEY] = _Last(self._file, self._files, self._leave if succeeded else None)
        self._draw(_Curtain(_KEY))

    def _has_succeeded(self) -> bool:
        """Whether it is known that the exit status will be 0.

        What the script has registered with atexit could have removed the traces of a failure; so could an
        `excepthook` of its own, but then it would also have to put Python's back.
        """
        main = None if self._main is None else self._main()
        if main is None or self._callbacks() != self._registered:
            return False
        names = vars(main).keys()
        return (not names & _WHILE_IT_RUNS and names >= self._names
                and not vars(sys).keys() & _OF_FAILURES and sys.excepthook is self._hook
                and all(self._is_flushed(stream) for stream in (sys.stdout, sys.stderr)))

    def _is_flushed(self, stream: "Any") -> bool:
        """Whether Python will not fail to flush this, which makes the exit status another one."""
        if stream is None:
            return True
        if type(stream) is not self._text:
            return False  # to flush it once more than Python does may be seen
        try:
            if not stream.closed:
                stream.flush()
        except Exception:
            return False
        return True

    def _draw(self, curtain: "_Curtain") -> None:
        """Have all that was loaded be gone for Python where it has let go of `__main__`.

        It lets go of the modules one by one, in their order; what a finaliser of the script's finds then is
        what it finds in a fresh interpreter.
        """
        curtain.modules, curtain.loaded = self._modules, self._loaded
        found, gone = dict(self._modules), self._loaded
        self._modules.clear()
        for name, module in found.items():
            self._modules[name] = None if gone.get(name) is module else module  # type: ignore[assignment]
            if name == _MAIN:
                self._modules[_KEY] = curtain
                gone = {}


def _leaves_no_traces() -> bool:
    """Whether the script may delete by itself what Python deletes at its end, or is an archive, of which
    Python need not have run anything."""
    try:
        with open(sys.argv[0], "rb") as script:
            content = script.read()
    except OSError:
        return True
    return b"__cached__" in content or _END_OF_ARCHIVE in content


class _Curtain(type(sys)):  # type: ignore[misc]
    """A module, as Python lets go of nothing else."""

    modules: "dict[str, ModuleType]"
    loaded: "dict[str, ModuleType]"

    def __del__(self) -> None:
        for name, module in self.loaded.items():
            if self.modules.get(name) is module:
                self.modules[name] = None  # type: ignore[assignment]


class _Last:
    """The last name of `sys`, which Python lets go of behind all modules and before it takes itself apart.

    What is left to do then is to finish the files that are held by what was left as it is.
    """

    def __init__(self, file: "Any", before: "list[Any]", leave: "_Leave | None") -> None:
        """`file` is what all files are, those of `before` were there before the job; `leave` is for an exit
        status of 0, else Python ends the process."""
        self._before = [sys.__stdout__, sys.__stderr__, *(one() for one in before)]
        self._file, self._leave = file, leave

    def __del__(self) -> None:
        gc.collect()
        files = _files_among(gc.get_objects(), self._file)
        _finish(_files_among(self._before, self._file) + files, "flush")
        # One that is written in Python, as gzip's, has something to write at its end, into another one.
        _finish([one for one in files if type(one).__module__ != "_io"], "close")
        _finish(files, "flush")
        if self._leave is not None:
            self._leave.now()


def _files_among(objects: "list[Any]", file: "Any") -> "list[Any]":
    return [one for one in objects if issubclass(type(one), file)]


def _finish(files: "list[Any]", how: str) -> None:
    for one in files:
        try:
            getattr(one, how)()
        except BaseException:
            pass  # as where a file is closed that nobody holds any more


class _Leave:
    """The way out, with what C has left to do: its buffers, its own functions for the exit, destructors."""

    def __init__(self, at_exit: "Any", nothing: "Any", leave: "Any", listed: "Any") -> None:
        self._at_exit, self._nothing, self._exit, self._listed = at_exit, nothing, leave, listed

    def now(self) -> None:
        """End the process with status 0; return where Python has functions to call behind all else, or where
        C has threads: one may be waited for that waits for Python, and is let go only where that ends."""
        try:
            if len(self._listed("/proc/self/task")) > 1:
                return
        except OSError:
            return
        free = 0
        while self._at_exit(self._nothing) == 0:
            free += 1
        if free == _AT_EXIT:
            self._exit(0)
