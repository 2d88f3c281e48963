"""The end of a script: what it prints, leaves in files and exits with is the same whether it was started from
scratch or forked from a warm interpreter, which does not take itself apart."""

import gzip
import re
import zipfile
from typing import Dict, Iterator, Tuple, Union

import pytest

from tests.support import warm_only
from tests.worker.attempt.warmed import Scripts, scripts

pytestmark = warm_only
PRELOADED = ("logging.handlers", "multiprocessing.pool", "concurrent.futures.thread", "subprocess",
             "tempfile", "weakref", "contextvars", "asyncio", "csv", "sqlite3", "zipfile", "gzip")
BESIDE = """import csv, os, zipfile
class Loud:
    def __init__(self, name): self.name = name
    def __del__(self):
        import csv, os as system, zipfile
        print("gone", self.name, csv.__name__, os.getpid() == system.getpid())
class Writes:
    def __init__(self, path): self.file = open(path, "w"); self.file.write("by an object")
"""
LOUD = ("class Loud:\n def __init__(self, name): self.name = name\n"
        " def __del__(self): print('gone', self.name)\n")
LOW = ("import os\nclass Low:\n def __init__(self, text): self.text = text\n"
       " def __del__(self, write=os.write): write(1, self.text)\n")


@pytest.fixture(scope="module", params=["", "1"], ids=["buffered", "unbuffered"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    directory = tmp_path_factory.mktemp("warm")
    (directory / "beside.py").write_text(BESIDE)
    with scripts(directory, preload=PRELOADED) as made:
        made.environ["PYTHONUNBUFFERED"] = request.param
        yield made
        assert [text for text in made.logged if "no use" in text or "not forked" in text] == []


# Each with something that it must print or leave in a file, or the exit code.
CASES: Dict[str, Tuple[str, Union[int, str]]] = {
    "nothing": ("", 0),
    "printed": ("print('x' * 20000, end='')", "xxx"),
    "exit": ("import sys; print(1); sys.exit()", 0),
    "exit 0": ("import sys; print(1); sys.exit(0)", 0),
    "exit None": ("import sys; sys.exit(None)", 0),
    "exit 3": ("import sys; print(1); sys.exit(3)", 3),
    "exit 256": ("import sys; sys.exit(256 + 4)", 4),
    "exit text": ("import sys; print(1); sys.exit('text')", "text"),
    "exit of site": ("exit(5)", 5),
    "exit in a function": (
        "import sys\ndef main():\n try: return 6\n finally: print('f')\nsys.exit(main())", 6),
    "raised": ("raise SystemExit(7)", 7),
    "raised, a class of its own": ("class Mine(SystemExit): pass\nraise Mine(8)", 8),
    "raised, with another code": ("class Mine(SystemExit): code = 9\nraise Mine", 9),
    "exit with an exception in a finally": ("import sys\ntry: sys.exit(3)\nfinally: 1/0", 1),
    "exit that was caught": (
        "try: raise SystemExit(3)\nexcept SystemExit as error: kept = error\nprint(1)", "1"),
    "exit that was caught, then another": (
        "try: raise SystemExit(0)\nexcept SystemExit as e: kept = e\nraise SystemExit(4)", 4),
    "exit at once": ("import os; print(1); os._exit(7)", 7),
    "failure": ("print(1); 1/0", "ZeroDivisionError"),
    "failure, kept and handled": ("try: 1/0\nexcept Exception as e: kept = e\nprint('handled')", "handled"),
    "failure with a hook of its own": ("import sys\nsys.excepthook = lambda *_: print('hook')\n1/0", 1),
    "failure that is hidden at the end": (
        ("import atexit, sys\ndef hide():\n"
        " for n in [n for n in vars(sys) if n.startswith('last_')]: delattr(sys, n)\n"
        "atexit.register(hide)\n1/0"), 1),
    "failure in a hook": ("import sys\nsys.excepthook = lambda *_: sys.exit(6)\n1/0", 6),
    "failure of another time": ("import sys\nsys.last_value = sys.last_type = None\nprint(1)", 0),
    "interrupt": ("raise KeyboardInterrupt", -2),
    "interrupt by a signal": ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -2),
    "signal": ("import os, signal; print(1, flush=True); os.kill(os.getpid(), signal.SIGTERM)", -15),
    "signal that is handled": (
        ("import os, signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nimport time; time.sleep(60)"), 5),
    "signal at the end": (
        ("import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: print('handled'))\n"
        "class A:\n"
        " def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGTERM): kill(pid, number)\n"
        "a = A()"), -15),
    "atexit": ("import atexit\natexit.register(print, 'a')\natexit.register(print, __file__)", "a"),
    "atexit that fails": ("import atexit\natexit.register(lambda: 1/0)", "ZeroDivisionError"),
    "atexit that exits": ("import atexit, sys\natexit.register(sys.exit, 3)", "exit"),
    "atexit called early": (
        ("import atexit\natexit.register(print, 'a')\natexit._run_exitfuncs()\nimport csv, io, os\n"
        "print(csv, io)"), "a"),
    "names": ("import atexit\natexit.register(lambda: print(sorted(globals())))\nx = 1", "__builtins__"),
    "names deleted": ("del __file__\nimport sys; sys.exit(3)", 3),
    "more names deleted": ("del __file__, __cached__\nimport sys; sys.exit(3)", 3),
    "more names deleted, no exit": ("del __file__, __cached__\nprint(1)", 0),
    "all names deleted": ("globals().clear()\nimport sys\nsys.exit(3)", 3),
    "names of the module deleted": (
        "import sys\nsys.modules['__main__'].__dict__.clear()\nraise SystemExit(4)", 4),
    "another main": ("import sys\nsys.modules['__main__'] = type(sys)('__main__')\nsys.exit(3)", 3),
    "another main, no exit": (LOUD + "a = Loud('a')\nimport sys\nsys.modules['__main__'] = sys", 0),
    "no main": ("import sys\ndel sys.modules['__main__']\nprint('printed')\nsys.exit(2)", 2),
    "no modules": ("import sys\nsys.modules = {}\nprint(1)", 0),
    # objects
    "object": (LOUD + "a, _b, __c = map(Loud, 'abc')", "gone a"),
    "object in a cycle": (LOUD + "a = Loud('a'); a.me = a; b = Loud('b'); a.b = b", "gone a"),
    "object that fails": ("class A:\n def __del__(self): 1/0\na = A()", "Exception ignored"),
    "object that knows modules": (
        ("import os, sys, csv\nclass A:\n"
        " def __del__(self): print(os.path.sep, sys.path, csv.reader, self, A, __name__)\n"
        "a = A(); a.me = a\n_b = A()"), "/"),
    "object that imports": ("class A:\n def __del__(self):\n  import csv\na = A()", "shutting down"),
    "object of a module": (
        "from beside import Loud\na = Loud('a')\nb = Loud('b'); b.me = b", "gone a csv True"),
    "object in a module": ("import beside\nbeside.kept = beside.Loud('kept')", "shutting down"),
    "object in a module that is kept": (
        "import beside, sys\nsys.kept = beside\nbeside.kept = beside.Loud('kept')", 0),
    "object in a hook": (LOUD + "import sys\na = Loud('a')\nsys.excepthook = lambda *_: a\nprint(1)", "1"),
    "object among the built-in names": (LOUD + "import builtins\nbuiltins.kept = Loud('kept')", 0),
    "low object in a hook": (LOW + "import sys\na = Low(b'low')\nsys.excepthook = lambda *_: a", "low"),
    "low object in sys": (LOW + "import sys\nsys.kept = Low(b'low')", "low"),
    "low object among the built-in names": (LOW + "import builtins\nbuiltins.kept = Low(b'low')", "low"),
    "low object in a cycle in sys": (LOW + "import sys\nsys.a = a = Low(b'low'); a.me = a", "low"),
    "object that comes again": (
        "import sys\nclass A:\n def __del__(self): sys.again = self; print('again')\na = A()", "again"),
    "objects without a collector": (
        "import gc; gc.disable()\n" + LOUD + "a = Loud('a'); a.me = a; b = Loud('b')", "gone"),
    "objects that are frozen": (
        "import gc\n" + LOUD + "a = Loud('a'); a.me = a\ngc.collect(); gc.freeze()", 0),
    "generator": ("def g():\n try: yield 1\n finally: print('finally')\nx = g(); next(x)", "finally"),
    "generator in a cycle": (
        ("def g():\n me = x\n try: yield 1\n finally: print('finally')\nx = None\n"
        "x = g(); next(x)"), "finally"),
    "coroutine": ("async def f(): pass\nx = f()", 0),
    "weak reference": (
        "import weakref\nclass A: pass\na = A(); r = weakref.ref(a, lambda _: print('called'))", 0),
    "finalize": ("import weakref\nclass A: pass\na = A(); weakref.finalize(a, print, 'final')", "final"),
    "exception kept": (LOUD + "try:\n a = Loud('a'); 1/0\nexcept Exception as e: kept = e", "gone a"),
    # files
    "file": ("f = open('left', 'w'); f.write('kept')", "kept"),
    "file of bytes": ("f = open('left', 'wb'); f.write(b'kept')", "kept"),
    "file in a closure": (
        "def f():\n f = open('left', 'w'); f.write('kept')\n return lambda: f\nx = f()", "kept"),
    "file in a class": ("class A: f = open('left', 'w')\nA.f.write('kept')", "kept"),
    "file in a cycle": ("x = [open('left', 'w')]; x.append(x); x[0].write('kept'); del x", 0),
    "file in a module that was there": (
        "import csv\ncsv.files = [open('left', 'w')]; csv.files[0].write('kept')", "kept"),
    "file in a module of Python": ("import os\nos.file = open('left', 'w'); os.file.write('kept')", "kept"),
    "file in a hook": (
        "import sys\nf = open('left', 'w'); f.write('kept')\nsys.excepthook = lambda *_: f", "kept"),
    "file in sys": ("import sys\nsys.file = open('left', 'w'); sys.file.write('kept')", "kept"),
    "file in a context": (
        ("import contextvars\nv = contextvars.ContextVar('v')\n"
        "v.set(open('left', 'w')); v.get().write('kept')"), "kept"),
    "file of a thread": (
        "import threading\nv = threading.local(); v.f = open('left', 'w'); v.f.write('kept')", "kept"),
    "file of a module beside": ("import beside\nx = beside.Writes('left')", "by an object"),
    "file in a module beside": ("import beside\nbeside.x = beside.Writes('left')", "by an object"),
    "file that cannot be written": ("f = open('/dev/full', 'w'); f.write('kept')", 0),
    "files after a failure": ("import csv\ncsv.f = open('left', 'w'); csv.f.write('kept')\n1/0", "kept"),
    "archive": (  # without the time of day, which is another one for each of the two
        "import zipfile as z\nf = z.ZipFile('left', 'w'); f.writestr(z.ZipInfo('name'), 'kept')", "kept"),
    "database": (
        ("import sqlite3\nd = sqlite3.connect('left.db'); d.execute('create table t (x)')\n"
        "d.execute('insert into t values (1)')"), 0),
    "directory": ("import tempfile, os\nd = tempfile.TemporaryDirectory(dir='.', prefix='tmp')", 0),
    "temporary file": ("import tempfile\nf = tempfile.NamedTemporaryFile('w', dir='.'); f.write('x')", 0),
    "handlers": (
        ("import logging.handlers as h, logging\nf = logging.FileHandler('left')\n"
        "logging.getLogger().addHandler(h.MemoryHandler(100, target=f))\nlogging.warning('kept')"), "kept"),
    # streams
    "output of C": (
        "import ctypes\nc = ctypes.CDLL(None)\nc.printf(b'of C')\nprint('of Python')", "of C"),
    "called by C": (
        ("import ctypes, os\nf = ctypes.CFUNCTYPE(None)(lambda: os.write(1, b'at exit'))\n"
        "ctypes.CDLL(None).puts(b'x')"), "x"),
    "function of C at the end": (
        ("import ctypes\nc = ctypes.CDLL(None)\nfrom ctypes import pythonapi\nc.printf(b'buffered')\n"
        "pythonapi.Py_AtExit(c.abort)"), -6),
    "output replaced": (
        ("import sys\nclass Tee:\n closed = False\n def write(self, t): sys.__stdout__.write(t.upper())\n"
        " def flush(self): sys.__stdout__.write('[flushed]')\nsys.stdout = Tee()\nprint('said')"), "SAID"),
    "output wrapped": (
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'latin-1')\nprint('said')", "said"),
    "output wrapped, the old one kept": (
        ("import io, sys\nold = sys.stdout\nprint('old')\n"
        "sys.stdout = io.TextIOWrapper(old.buffer, 'latin-1')\nprint('said')"), "said"),
    "output in memory": ("import io, sys\nprint(1)\nsys.stdout = io.StringIO()\nprint(2)", "1"),
    "output closed": ("import sys\nprint(1); sys.stdout.close()", "1"),
    "output None": ("import sys\nprint(1); sys.stdout = None; print(2)", "1"),
    "output that is gone": ("import os\nprint(1); os.close(1)", "exit"),
    "errors that are gone": ("import os, sys\nos.close(2); sys.stderr.write('x')", "x"),
    "output that cannot be written": (
        "import os, sys\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1); print('x' * 10)", "No space"),
    "output at the end that cannot be written": (
        "import os, sys\n" + LOUD + "a = Loud('a')\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)", 0),
    "output of each": (
        "import sys\nprint('a', end='')\nprint('b', file=sys.stderr)\n" + LOUD + "a = Loud('a')", "gone a"),
    "warnings": (
        "import warnings\nwarnings.simplefilter('always')\nf = open('left', 'w')", "ResourceWarning"),
    # threads and processes
    "thread": (
        ("import threading, time\ndef f(): time.sleep(0.05); print('thread')\n"
        "threading.Thread(target=f).start()"), "thread"),
    "thread that fails": (
        "import threading\nthreading.Thread(target=lambda: 1/0).start()", "ZeroDivisionError"),
    "thread that never ends": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        + LOUD + "a = Loud('a')", "gone a"),
    "pool of threads left open": (
        "import concurrent.futures as c\np = c.ThreadPoolExecutor(1)\np.submit(print, 'thread')", "thread"),
    "pool of processes left open": (
        ("import multiprocessing as m\nif __name__ == '__main__':\n p = m.get_context('fork').Pool(1)\n"
        " print(p.map(abs, [-1]))\n p.terminate()"), "[1]"),
    "process": (
        ("import multiprocessing as m\ndef f(): print('child', flush=True)\n"
        "p = m.get_context('fork').Process(target=f)\np.start()"), "child"),
    "fork": (
        ("import os\nprint('before', flush=True)\npid = os.fork()\n"
        "if pid: print(os.waitpid(pid, 0)[1])\nelse: print('child')"), "child\n0"),
    "fork that fails": (
        "import os, sys\npid = os.fork()\nif pid: print(os.waitpid(pid, 0)[1] >> 8)\nelse: sys.exit(3)", "3"),
    "loop left open": (
        "import asyncio\nloop = asyncio.new_event_loop()\nloop.run_until_complete(asyncio.sleep(0))", 0),
    "task left open": (
        ("import asyncio\nasync def f():\n try: await asyncio.sleep(60)\n finally: print('finally')\n"
        "loop = asyncio.new_event_loop()\nt = loop.create_task(f())\n"
        "loop.run_until_complete(asyncio.sleep(0))"),
        "finally"),
}


def seen(both: Scripts, mode: str, source: str) -> str:
    """What a script has printed, the files that it left, and its exit code."""
    ended = both.run(mode, source)
    files = sorted(path for path in both.directory.iterdir() if path.name.startswith(("left", "tmp")))
    left = ["%s: %r" % (path.name, path.read_bytes()) for path in files]
    for path in files:
        path.unlink()
    text = re.sub(r"0x[0-9a-f]+|/tmp\S*|tmp\w+", "…", ended.output)
    left = [re.sub(r"PK\\x03.*kept", "kept", one)[:60] for one in left]
    return "\n".join([text, *left, "exit %d" % ended.exit_code])


@pytest.mark.parametrize("name", CASES)
def test_the_end_is_the_same(both: Scripts, name: str) -> None:
    source, shows = CASES[name]
    cold, warm = (seen(both, mode, source) for mode in ("cold", "warm"))
    assert warm == cold
    assert ("exit %d" % shows if isinstance(shows, int) else shows) in cold


# Values of a context go when an interpreter is taken apart, and not before.
TAKEN_APART = LOW + "import contextvars\nv = contextvars.ContextVar('v')\nv.set(Low(b'taken apart'))\n"


@pytest.mark.parametrize("end, whole", [
    ("", False), ("print('x' * 20000)", False), (LOUD + "a = Loud('a')", False),
    ("import sys; sys.exit()", True), ("raise SystemExit(3)", True), ("1/0", True),
    ("import gc; gc.disable()", True), ("import atexit; atexit.register(print)", True),
    ("import sys; sys.excepthook = print", True), ("import sys; sys.last_type = None", True),
    ("import ctypes; ctypes.pythonapi.Py_AtExit(ctypes.CDLL(None).getpid)", True),
    # One that C waits for at its end, and that waits for Python, would wait for ever.
    ("import ctypes as c; l = c.CDLL(None); l.pthread_create(c.byref(c.c_long()), None, l.pause, 0)", True),
])
def test_an_interpreter_is_taken_apart_unless_it_has_succeeded(both: Scripts, end: str, whole: bool) -> None:
    assert "taken apart" in both.run("cold", TAKEN_APART + end).output
    assert ("taken apart" in both.run("warm", TAKEN_APART + end).output) == whole


def test_a_compressed_file_that_a_module_of_python_holds_has_its_end(both: Scripts) -> None:
    left = both.directory / "left.gz"
    both.run("warm", "import csv, gzip\ncsv.f = gzip.open('left.gz', 'wt'); csv.f.write('kept')")
    with gzip.open(str(left), "rt") as file:
        assert file.read() == "kept"
    left.unlink()


def test_an_archive_that_cannot_be_run_has_failed(both: Scripts) -> None:
    both.script.write_text("")
    both.run("warm", None)
    with zipfile.ZipFile(str(both.script), "w") as archive:
        archive.writestr("other.py", "")
    for mode in ("cold", "warm"):
        ended = both.run(mode, None)
        assert ended.exit_code == 1 and "__main__" in ended.output


def test_what_is_printed_at_the_very_end_is_there_though_a_handler_has_the_output(both: Scripts) -> None:
    # Python 3.8 and 3.9 lose it.
    source = "import logging, sys\nlogging.basicConfig(stream=sys.stdout)\n" + LOUD + "a = Loud('a')"
    assert both.run("warm", source) == ("gone a\n", 0)


def test_a_failure_is_one_where_no_memory_is_left_to_note_it(both: Scripts) -> None:
    source = ("import resource as r\nr.setrlimit(r.RLIMIT_AS, (1 << 28, 1 << 28))\nx = []\n"
              "while True: x.append(bytearray(len(x) < 4000 and 1 << 16 or 100))")
    ended = both.run("warm", source)
    assert ended.exit_code == 1 and "Traceback" in ended.output
