"""What a script can see of its own process: the same whether it was started from scratch or forked from an
interpreter that has imported some of what it imports."""

import os
import re
import sys
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from tests.support import ROOT, warm_only
from tests.worker.attempt.warmed import MODES, Scripts, scripts

pytestmark = warm_only
PRELOADED = ("random", "logging", "multiprocessing.pool", "concurrent.futures.thread", "subprocess")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    directory = tmp_path_factory.mktemp("warm")
    (directory / "beside.py").write_text("class Net: pass\n")
    (directory / "late.py").write_text("print('imported')")
    (directory / "package").mkdir()
    (directory / "package" / "__init__.py").write_text("")
    (directory / "package" / "model.py").write_text("Net = 'of the package'")
    (directory / "package" / "train.py").write_text(
        "import sys\nfrom .model import Net\n"
        "print(Net, sys.argv, sys.path[0], __name__, __spec__.name, __file__)")
    with scripts(directory, preload=PRELOADED) as made:
        yield made
        assert made.warm._interpreter is not None
        assert [text for text in made.logged if "no use" in text or "not forked" in text] == []


def same(text: str) -> str:
    """Output without what is different in each process anyway."""
    return re.sub(r"0x[0-9a-f]+|started \d+", "…", text)


# Each with something that it must print, or the exit code.
CASES = [
    # its end
    ("import sys; sys.exit()", 0), ("import sys; sys.exit(3)", 3), ("import sys; sys.exit('why')", "why"),
    ("import sys; sys.exit([1, 2])", "[1, 2]"), ("raise SystemExit", 0), ("1/0", "ZeroDivisionError"),
    ("def f():\n try: 1/0\n except Exception as e: raise ValueError('x') from e\nf()", "direct cause"),
    ("raise KeyboardInterrupt", -2), ("import os; os._exit(7)", 7), ("import os; os.abort()", -6),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
    ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -2),
    ("import ctypes; ctypes.string_at(0)", -11),
    ("def f(", "SyntaxError"), ("x = '\udcff'".encode("utf-8", "surrogateescape").decode("latin-1"), 0),
    ("import sys\nsys.excepthook = lambda *a: print('hooked', a[0])\n1/0", "hooked"),
    ("import atexit\natexit.register(print, 'first')\natexit.register(print, 'second')",
     "second\nfirst"),
    (("import threading, time\ndef f():\n time.sleep(0.05); print('joined')\n"
      "threading.Thread(target=f).start()\nprint('main')"), "main\njoined"),
    ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()", 0),
    ("import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start()\nt.join()", "ZeroDivisionError"),
    ("import concurrent.futures as c\nwith c.ThreadPoolExecutor(2) as p: print(list(p.map(abs, [-1, 2])))",
     "[1, 2]"),
    ("class A:\n def __del__(self): print('deleted')\na = A(); a.me = a\nb = A()", "deleted"),
    (("import subprocess\nclass A:\n def __del__(self):\n"
      "  from subprocess import PIPE; print('found', PIPE)\na = A(); a.me = a; del a"), "found -1"),
    ("import subprocess\nclass A:\n def __del__(self):\n  import subprocess\na = A()", "shutting down"),
    # its streams
    (("import sys\nfor s in sys.stdin, sys.stdout, sys.stderr:\n print(s.name, s.encoding, s.errors,"
      " s.isatty(), s.line_buffering, s.write_through, s.seekable(), s.fileno(), s.mode)"), "<stdout> utf-8"),
    ("import sys; print(repr(sys.stdin.read()))", "''"),
    ("import sys\nprint('x' * 100000)\nsys.stdout.write('unflushed')", "unflushed"),
    ("import sys\nprint('out', end='')\nprint('err', file=sys.stderr, end='')\nprint(1)", "outerr1"),
    (("import os\nprint(sorted((int(f), os.readlink('/proc/self/fd/' + f).split(':')[0])"
      " for f in os.listdir('/proc/self/fd')[:-1]))"), "/dev/null"),
    ("import faulthandler; faulthandler.dump_traceback()", "line 1 in <module>"),
    # who it is
    (("import sys\nprint(sys.argv, sys.path, sys.flags, sys.executable, getattr(sys, 'orig_argv', 0),"
      " sys.warnoptions, sys.getrecursionlimit(), sys.dont_write_bytecode, sys.prefix)"), "--lr"),
    (("import sys\nm = sys.modules['__main__']\nprint(m.__dict__ is globals(), __name__, __file__, __spec__,"
      " __package__, __doc__, type(__loader__).__name__, __cached__, sorted(globals()))"), "__main__"),
    (("import os, sys\nprint(os.getcwd(), os.getsid(0) == os.getpid() == os.getpgrp(), os.getppid(),"
      " oct(os.umask(0)))"), "True"),
    ("import os; print(os.environ)", "JD_JOB_ID"),
    ("print(sorted(e for e in open('/proc/self/environ').read().split('\\0') if e.startswith('JD_JOB')))",
     "['JD_JOB_ATTEMPT=12', 'JD_JOB_ID=5']"),
    ("import ctypes\nn = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)", "9"),
    ("import resource as r; print([r.getrlimit(n) for n in range(10)])", "["),
    (("import signal as s\nprint([s.getsignal(n) for n in sorted(s.valid_signals())], s.set_wakeup_fd(-1),"
      " s.pthread_sigmask(s.SIG_BLOCK, []))"), "default_int_handler"),
    (("import threading as t, os\nm = t.main_thread()\nprint(m is t.current_thread(), t.enumerate(),"
      " m.native_id == os.getpid(), m.ident == t.get_ident())"), "True True\n"),
    ("import sys, traceback\ntraceback.print_stack(); print(sys._getframe().f_back)", "None"),
    ("import sys\nprint([n for n in sys.modules if 'sitecustomize' in n], sys.gettrace())", "None"),
    ("import sys\nprint([p for p in sys.path_importer_cache if 'cache/python' in p])", "[]"),
    ("import gc\nprint(gc.isenabled(), gc.get_threshold(), gc.garbage)", "True"),
    ("import locale, time; print(locale.getlocale(), time.tzname, locale.setlocale(locale.LC_ALL))", "UTF-8"),
    ("import warnings\nprint(warnings.filters)\nwarnings.warn('mind')", "mind"),
    ("import logging\nlogging.warning('said'); print(logging.root.handlers)", "WARNING:root:said"),
    ("import os, time; print(time.process_time() < 30, os.times().children_user < 1)", "True"),
    # what it starts and imports
    ("from beside import Net\nimport late, pickle\nprint(Net, late.__file__)", "imported"),
    ("import pickle\nclass Mine: pass\nprint(pickle.loads(pickle.dumps(Mine())), Mine)", "__main__.Mine"),
    (("import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import os, sys; print(os.environ,"
      " sys.path); sys.exit(4)']).returncode)"), "4"),
    (("import os\nprint(os.system('exit 3') >> 8)\nif os.fork() == 0: os._exit(5)\nprint(os.wait()[1] >> 8)\n"
      "try: os.wait()\nexcept ChildProcessError: print('none')"), "none"),
    ("import tempfile, uuid, os; os.rmdir(tempfile.mkdtemp()); uuid.uuid4(); print(len(os.urandom(3)))", "3"),
    ("import jd; print(jd.__version__, jd.__file__)", str(ROOT)),
]


@pytest.mark.parametrize("source, shows", CASES, ids=range(len(CASES)))
def test_what_a_script_sees_is_the_same(both: Scripts, source: str, shows: object) -> None:
    cold, warm = (both.run(mode, source, "--lr", "0.1", "ä b", "") for mode in ("cold", "warm"))
    assert same(warm.output) == same(cold.output)
    assert warm.exit_code == cold.exit_code
    assert shows == cold.exit_code or str(shows) in cold.output


POOLS = """
import multiprocessing, sys

def square(x):
    return x * x, __name__ in ("__main__", "__mp_main__"), sys.argv[1:]

if __name__ == "__main__":
    for method in sys.argv[1:]:
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            print(method, pool.map(square, [3]), multiprocessing.current_process().name)
"""


def test_processes_of_a_pool_find_the_script_again(both: Scripts) -> None:
    cold, warm = (both.run(mode, POOLS, "fork", "spawn", "forkserver") for mode in ("cold", "warm"))
    assert warm == cold
    assert cold.output.count("[(9, True, ") == 3


@pytest.mark.parametrize("variables", [
    {"PYTHONUNBUFFERED": "", "PYTHONPATH": ""}, {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}, {"LC_ALL": "C"},
    {"PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "1"}, {"PYTHONFAULTHANDLER": "1", "OMP_NUM_THREADS": "3"},
])
def test_variables_that_python_reads_when_it_starts(both: Scripts, variables: Dict[str, str]) -> None:
    environ = dict(both.environ, **variables)
    source = ("import faulthandler, os, sys, time\n"
              "print(sys.flags, 'PYTHONHASHSEED' in os.environ and hash('x'), time.tzname, sys.path,"
              " __debug__, faulthandler.is_enabled(), sys.stdout.write_through, sys.warnoptions,"
              " sys.stdout.encoding, os.environ.get('OMP_NUM_THREADS'))")
    cold, warm = (both.run(mode, source, environ=environ) for mode in ("cold", "warm"))
    assert warm == cold and cold.exit_code == 0


def test_the_directory_is_that_of_the_job(tmp_path: Path) -> None:
    source = "import os; from multiprocessing import process as p\nprint(os.getcwd(), p.ORIGINAL_DIR)"
    with scripts(tmp_path, cwd="job", preload=("multiprocessing.process",)) as made:
        for name in ("1", "2"):
            (tmp_path / name).mkdir()
            cold, warm = (made.run(mode, source, directory=tmp_path / name) for mode in ("cold", "warm"))
            assert cold.output.split() == [str(tmp_path / name)] * 2
            assert warm.output == cold.output
        assert made.warm._interpreter is not None and made.warm._interpreter.jobs == 2


@pytest.mark.parametrize("named", [["-m", "package.train"],
                                   ["-c", "import sys; print(sys.argv, sys.path[0])"]])
def test_modules(both: Scripts, monkeypatch: pytest.MonkeyPatch, named: List[str]) -> None:
    monkeypatch.setattr(both, "named", [sys.executable, *named, str(both.directory)])
    cold, warm = (both.run(mode, None, "--lr", "1") for mode in ("cold", "warm"))
    assert warm.output == cold.output and "'--lr', '1'" in cold.output


def test_a_module_that_is_written_after_the_interpreter_began_is_found(both: Scripts) -> None:
    both.run("warm", "")
    before = both.directory.stat()
    (both.directory / "fresh.py").write_text("print('found')")
    os.utime(str(both.directory), ns=(before.st_atime_ns, before.st_mtime_ns))  # as where its clock is slow
    assert "found\n" in both.run("warm", "import fresh").output


def test_a_script_that_is_gone(both: Scripts) -> None:
    both.run("warm", "")
    os.unlink(str(both.script))
    cold, warm = (both.run(mode, None) for mode in ("cold", "warm"))
    assert warm.output == cold.output and "No such file" in cold.output
    assert warm.exit_code == cold.exit_code == 2


@pytest.mark.parametrize("mode", MODES)
def test_each_job_draws_other_numbers(both: Scripts, mode: str) -> None:
    drawn = {both.run(mode, "import random; print(random.random())").output for _ in range(3)}
    assert len(drawn) == 3
    drawn = {both.run(mode, "import random; random.seed(3); print(random.random())").output for _ in range(3)}
    assert len(drawn) == 1
