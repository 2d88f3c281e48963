"""The program of a warm interpreter: imports what it is told, then forks for each job.

It runs in the script's own Python, which has no `jd` and may be of any version from 3.8 on. The worker starts
`python script.py` as for a job, with this file as the first `sitecustomize` on the path: Python imports that
when it is set up, before it looks at the script. So a process that is forked here and returns is Python just
before it runs the script, and all that follows is Python's own: `__main__`, tracebacks, the end.

The interpreter and the worker have a socket (`SOCK_SEQPACKET`), whose messages are fields with a NUL between
them. The first one says what to import and brings the file for what is printed meanwhile:

    worker's pid, sys.path[0], script, names to import, ":", names not to import
    <- "ready", resident bytes | "without", name, why, name, why, … | "cold", why

Each further one is a job, with its output, a gate, and its directory as descriptors:

    number of words, words, variables
    <- "pid", process id, resident bytes | "changed", file | "failed", why

The process of a job is no child of the interpreter: a process between them ends at once, so that the worker,
which adopts orphans, has it for a child of its own. It waits at the gate until the worker says that it has
heard of it, and ends if nobody will.

What `ending.py` has comes behind this in the file that the worker writes.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from jd.worker.attempt.warm.ending import Ending

    Stamp = tuple[int, ...]

NAME = "sitecustomize"
VARIABLE = "JD_WARM_SOCKET"  # the number of the socket, or PROBE
PROBE = "probe"
CAN = b"can be warm\n"  # the answer to that
SCRIPT = "script"  # as a name to import: what the script begins with
MESSAGE_BYTES = 128 * 1024
# Shown in /proc for the whole life of a process as they were at its start: who looks for the processes of a
# job there finds these. They have room for every number.
MARKS = ("JD_JOB_ID", "JD_JOB_ATTEMPT")
MARK_BYTES = 20
INSTALLED_EVERY = 5.0  # seconds, between two looks at files that only installing changes
_END_TIME = 1.0  # seconds for a thread that was joined, and a program that was read from, to be gone
_OLDEST = (3, 8)
_PR_SET_PDEATHSIG = 1
_GPUS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/", "/dev/dxg")  # CUDA, ROCm, both and others, CUDA in WSL


def main() -> None:
    """Be a warm interpreter where a worker asks for it; return in the processes of jobs only, as the
    `sitecustomize` that there is without this one."""
    own = sys.modules.pop(NAME)
    asked = os.environ.pop(VARIABLE, "")
    _take_off_path(os.path.dirname(str(own.__file__)))
    if asked == PROBE:
        os.write(1, CAN if sys.version_info >= _OLDEST else b"its Python is older than 3.8\n")
        os._exit(0)
    if not asked:
        theirs = _import_theirs()
    else:
        pid = os.getpid()
        try:
            theirs = _serve(int(asked))
        except BaseException:
            import traceback
            traceback.print_exc()  # nothing may go on to the script
            os._exit(1)
        if os.getpid() == pid:
            os._exit(1)
    if theirs is None:
        raise ImportError("No module named %r" % NAME, name=NAME)
    sys.modules[NAME] = theirs


def _take_off_path(directory: str) -> None:
    sys.path[:] = [entry for entry in sys.path if entry != directory]
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in entries if entry != directory)


def _import_theirs() -> ModuleType | None:
    try:
        __import__(NAME)
    except ImportError as error:
        if error.name != NAME:
            raise
        return None
    return sys.modules.get(NAME)


def _serve(number: int) -> ModuleType | None:
    import _socket
    os.set_inheritable(number, False)
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, number)
    began = time.time_ns()
    theirs = _import_theirs()
    setup, descriptors = _receive(control)
    for standard in (1, 2):
        os.dup2(descriptors[0], standard)
    os.close(descriptors[0])
    worker, first, script = (os.fsdecode(field) for field in setup[:3])
    names = [os.fsdecode(field) for field in setup[3:]]
    divide = names.index(":")
    becoming = _Becoming(int(worker))
    before = set(sys.modules)
    ending = Ending()
    failed = _preload(names[:divide], set(names[divide + 1:]), first, script)
    becoming.keep_variables()
    if failed:
        control.send(b"\0".join([b"without"] + [_encoded(text) for pair in failed for text in pair]))
        _receive(control)  # the worker ends it, and has then what it leaves
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    why = _why_cold()
    if why:
        control.send(b"cold\0" + _encoded(why))
        _receive(control)  # likewise
    files = _Files(set(sys.modules) - before, script if SCRIPT in names[:divide] else "", began)
    gc.collect()
    ending.of({name for name in sys.modules if name not in before or _is_of_python(name)},
              files.has_own, files)
    gc.freeze()  # a collection in a job, and the one at its end, would write to all that is shared
    control.send(b"ready\0%d" % _resident())
    while True:
        job, descriptors = _receive(control)
        changed = files.changed()
        if changed:
            control.send(b"changed\0" + _encoded(changed))
        elif _fork_off(control):
            control.close()
            becoming.job(job, descriptors)
            ending.watch()
            return theirs
        for descriptor in descriptors:
            os.close(descriptor)


def _receive(control: Any) -> tuple[list[bytes], list[int]]:
    """The fields of a message, and the descriptors that it brings; ends this process with the worker."""
    data, ancillary, _, _ = control.recvmsg(MESSAGE_BYTES, 256)
    if not data:
        os._exit(0)
    descriptors = [number for _, _, content in ancillary for number in memoryview(content).cast("i")]
    return data.split(b"\0"), descriptors


def _encoded(text: str) -> bytes:
    return text.replace("\0", "?").encode("utf-8", "replace")[:4096]


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# ---- what it imports

def _preload(names: list[str], leave_out: set[str], first: str, script: str) -> list[tuple[str, str]]:
    """Import all; which ones cannot be imported, and why."""
    here = first and not getattr(sys.flags, "safe_path", False)
    if here:
        sys.path.insert(0, first)
    failed = []
    try:
        wanted: list[tuple[str, list[str], bool]] = []
        for name in names:
            wanted += ([one for one in _begins_with(script) if _is_installed(one[0])] if name == SCRIPT else
                       [(name, [], False)])
        for name, parts, may_fail in wanted:
            if name in leave_out:
                continue
            try:
                _import(name, parts)
            except BaseException as error:  # SystemExit of a module too
                if not may_fail:
                    failed.append((name, "%s: %s" % (type(error).__name__, error)))
    finally:
        if here and first in sys.path:
            sys.path.remove(first)
    return failed


def _import(name: str, parts: list[str]) -> None:
    """`import name`, or `from name import parts`, of which some may be modules."""
    __import__(name)
    for part in parts:
        if not hasattr(sys.modules[name], part):
            __import__(name + "." + part)


def _begins_with(script: str) -> list[tuple[str, list[str], bool]]:
    """What is installed of the imports that a script begins with: name, what is taken from it, whether it may
    fail.

    They end with the first statement of another kind: what comes after it may depend on it, as NumPy does on
    the variables that are set before it is imported. Modules of its own each job imports: they change.
    """
    import ast
    try:
        with open(script, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return []  # the job says that
    found: list[tuple[str, list[str], bool]] = []
    for node in tree.body:
        if isinstance(node, ast.Try) and not node.orelse and not node.finalbody:
            inner, may_fail = node.body, True
        else:
            inner, may_fail = [node], False
        for one in inner:
            if isinstance(one, ast.Import):
                found += [(alias.name, [], may_fail) for alias in one.names]
            elif isinstance(one, ast.ImportFrom):
                parts = [alias.name for alias in one.names if alias.name != "*"]
                if not one.level and one.module:
                    found.append((one.module, parts, may_fail))
            elif not _does_nothing(one):
                return found
    return found


def _is_installed(name: str) -> bool:
    """Whether a module comes with Python or was installed; the script's own are not."""
    from importlib.util import find_spec
    spec = find_spec(name.partition(".")[0])
    origin = None if spec is None else spec.origin
    return origin is None or origin in ("built-in", "frozen") or _is_fixed(origin)


def _is_fixed(path: str) -> bool:
    """Whether a file is one that only installing something changes."""
    library = os.path.dirname(os.__file__) + os.sep
    return path.startswith(library) or "/site-packages/" in path or "/dist-packages/" in path


def _is_of_python(name: str) -> bool:
    """Whether a module that was imported when Python was set up is its own, or was installed."""
    origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None)
    return origin in ("built-in", "frozen") or isinstance(origin, str) and _is_fixed(origin)


def _does_nothing(node: Any) -> bool:
    """Whether a statement is text, a constant with a name, or for type checkers."""
    import ast
    if isinstance(node, ast.If):
        return getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING"
    if isinstance(node, ast.Assign) and not all(isinstance(target, ast.Name) for target in node.targets):
        return False
    return isinstance(node, (ast.Expr, ast.Assign)) and isinstance(node.value, ast.Constant)


def _why_cold() -> str:
    """Why nothing may be forked from this process; nothing if it may."""
    pid = os.fork()  # what has threads of its own for calculations, as OpenBLAS, ends them now
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    left = _threads_left()
    if left:
        return "what it imports leaves %d thread%s running, which a fork would not have" % (
            left, "" if left == 1 else "s")
    if _has_child():
        return "what it imports leaves a process running, which would be no child of a job"
    if _uses_gpu():
        return "what it imports has begun to use a GPU, with which no forked process can go on"
    return ""


def _has_child() -> bool:
    """Whether there is one when those that no object of Python stands for have had time to end."""
    until = time.monotonic() + _END_TIME
    while True:
        getattr(sys.modules.get("subprocess"), "_cleanup", int)()
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        if time.monotonic() >= until:
            return True
        time.sleep(0.01)


def _threads_left() -> int:
    """How many threads there are besides this one. Linux shows one for a moment after it was joined."""
    until = time.monotonic() + _END_TIME
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < until:
        time.sleep(0.001)
    return len(os.listdir("/proc/self/task")) - 1


def _uses_gpu() -> bool:
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + number).startswith(_GPUS):
                return True
        except OSError:
            continue  # that of the listing
    return False


class _Files:
    """Where the modules that were imported came from, as the files were then."""

    def __init__(self, modules: set[str], script: str, began: int) -> None:
        """`began` is when the first of them was read, in ns: a file that is younger may have been changed
        after that."""
        self._script = script
        self._own: dict[str, Stamp] = {}
        self._installed: dict[str, Stamp] = {}
        self._looked = time.monotonic()
        paths = [getattr(sys.modules[name], "__file__", None) for name in modules]
        # PyTorch has modules that it made itself, of a file like "_ops.py".
        for path in [path for path in paths if isinstance(path, str) and os.path.isabs(path)] + (
                [script] if script else []):
            stamp = _stamp(path)
            (self._installed if _is_fixed(path) else self._own)[path] = (
                () if stamp and max(stamp[:2]) >= began else stamp)

    @property
    def has_own(self) -> bool:
        """Whether modules are among them that are not installed."""
        return any(path.endswith(".py") and path != self._script for path in self._own)

    def changed(self) -> str:
        """The first file that is another one now; nothing if all are the same."""
        found = _first_changed(self._own)
        now = time.monotonic()
        if not found and now >= self._looked + INSTALLED_EVERY:
            self._looked = now
            found = _first_changed(self._installed)
        return found


def _first_changed(stamps: dict[str, Stamp]) -> str:
    return next((path for path, stamp in stamps.items() if _stamp(path) != stamp), "")


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return (-1,)  # in an archive, or gone
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


# ---- the process of a job

def _fork_off(control: Any) -> bool:
    """Fork a process that is not ours, and tell the worker of it. True in that process."""
    listening, telling = os.pipe()
    try:
        between = os.fork()
        if between == 0:
            try:
                pid = os.fork()
                if pid:
                    os.write(telling, b"%d" % pid)
            except BaseException:
                os._exit(1)
            if pid:
                os._exit(0)
            return True
        os.close(telling)
        telling = -1
        pid_told = os.read(listening, 32)
        os.waitpid(between, 0)  # then the worker is its parent
        control.send(b"pid\0%s\0%d" % (pid_told, _resident()) if pid_told else
                     b"failed\0the system gives it no further process")
    except OSError as error:
        control.send(b"failed\0" + _encoded(str(error)))
    finally:
        os.close(listening)
        if telling >= 0:
            os.close(telling)
    return False


class _Becoming:
    """Makes a fresh copy of the interpreter the process of a job.

    What that takes is looked up before; from then on nothing that is imported sees a variable of a job.
    """

    def __init__(self, worker: int) -> None:
        import ctypes
        library = ctypes.CDLL(None)
        self._worker = worker
        self._prctl = library.prctl
        library.getenv.restype = ctypes.c_void_p
        self._marks = {name.encode(): library.getenv(name.encode()) for name in MARKS}
        self._memset, self._memmove = ctypes.memset, ctypes.memmove
        self._variables: dict[bytes, bytes | None] = {}
        for name in MARKS + ("JD_WORKER_ID",):
            os.environ.pop(name, None)

    def keep_variables(self) -> None:
        """Give jobs what Python and the modules have made of the environment until now."""
        with open("/proc/self/environ", "rb") as file:  # as it was at the start
            given = dict(variable.partition(b"=")[::2] for variable in file.read().split(b"\0"))
        self._variables = {
            name: os.environb.get(name) for name in {*given, *os.environb}
            if name and os.environb.get(name) != given.get(name) and not name.startswith(b"JD_")
            and name != b"PYTHONPATH"}  # which was another one for this process

    def job(self, fields: list[bytes], descriptors: list[int]) -> None:
        """Be the process of the job in this message, when the gate opens."""
        output, gate, directory = descriptors
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        for standard, descriptor in enumerate((null, output, output)):
            os.dup2(descriptor, standard)
        if not os.read(gate, 1):
            os._exit(0)
        self._prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != self._worker:
            os._exit(128 + signal.SIGKILL)
        os.fchdir(directory)
        for descriptor in (null, *descriptors):
            os.close(descriptor)
        words = [os.fsdecode(word) for word in fields[1:1 + int(fields[0])]]
        sys.argv += words
        if hasattr(sys, "orig_argv"):
            sys.orig_argv += words
        self._set_environment(fields[1 + int(fields[0]):])
        main = type(sys)("__main__")  # one that a collection sees
        main.__dict__.update(vars(sys.modules["__main__"]))
        sys.modules["__main__"] = main
        _refresh()

    def _set_environment(self, variables: list[bytes]) -> None:
        os.environb.clear()
        for variable in variables:
            name, _, value = variable.partition(b"=")
            os.environb[name] = value
            place = self._marks.get(name)
            if place and len(value) <= MARK_BYTES:
                self._memset(place, 0, MARK_BYTES)
                self._memmove(place, value, len(value))
        for name, changed in self._variables.items():
            os.environb.pop(name, None)
            if changed is not None:
                os.environb[name] = changed


def _refresh() -> None:
    """Take back what modules remember of the process that imported them.

    `random` gives itself another seed after each fork.
    """
    loaded = sys.modules.get
    for name, attribute in (("numpy.random", None), ("torch", "default_generator")):
        generator: Any = loaded(name)
        if generator is not None and attribute is not None:
            generator = getattr(generator, attribute, None)
        if hasattr(generator, "seed"):
            generator.seed()
    threads: Any = loaded("threading")
    if hasattr(threads, "main_thread") and hasattr(threads.main_thread(), "_set_native_id"):
        threads.main_thread()._set_native_id()
    processes: Any = loaded("multiprocessing.process")
    if hasattr(processes, "ORIGINAL_DIR"):
        processes.ORIGINAL_DIR = os.getcwd()
    logging: Any = loaded("logging")
    if hasattr(logging, "_startTime"):
        logging._startTime = time.time() if isinstance(logging._startTime, float) else time.time_ns()
    sys.path_importer_cache.clear()  # it has what was in the directories
