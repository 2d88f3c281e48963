"""When jobs are forked from an interpreter, when a new one is begun, and what if it fails."""

import gzip
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from jd.node import helpers, orphans
from jd.worker.attempt.calling import importing
from jd.worker.attempt.process.spawning import StartFailure
from jd.worker.attempt.warm import interpreter, process, warming
from jd.worker.attempt.warm.ending import Ending
from tests.support import warm_only
from tests.worker.attempt.warmed import Scripts, finished, first_words, scripts

pytestmark = warm_only
HOW = "import os\nprint('JD_FORKED' if 'marking' in __import__('sys').modules else 'from scratch')"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "marking.py").write_text("")
    return tmp_path


def is_forked(made: Scripts, **more: Any) -> bool:
    return made.run("warm", HOW, **more).output == "JD_FORKED\n"


def test_jobs_are_forked_from_one_interpreter(place: Path) -> None:
    before = orphans.children()
    with scripts(place, preload=("marking",)) as made:
        assert [is_forked(made) for _ in range(3)] == [True] * 3
        assert made.warm._interpreter is not None and made.warm._interpreter.jobs == 3
        assert orphans.children() - before == set()
    assert orphans.cared_for == set()
    assert made.logged[0] == "warm=true: jobs are forked from an interpreter that has imported marking"
    assert len(made.logged) == 2 and "is ready after" in made.logged[1]


def test_a_job_is_our_child_and_the_interpreter_has_none(place: Path) -> None:
    with scripts(place) as made:
        made.script.write_text("input()")
        begun = made.begin("warm", made.command())
        assert made.warm._interpreter is not None
        tasks = "/proc/%d/task/%d/children"
        assert begun.child.pid in orphans.children()
        with open(tasks % (made.warm._interpreter.pid, made.warm._interpreter.pid)) as children:
            assert children.read() == ""
        assert "EOFError" in finished(begun).output


def test_a_job_goes_on_without_the_interpreter_and_the_next_one_starts_from_scratch(place: Path) -> None:
    (place / "go").mkdir()
    with scripts(place, preload=("marking",)) as made:
        made.script.write_text("import os, time\nprint('began\\n', end='')\n"
                               "while not os.path.exists('go/on'): time.sleep(0.01)\nprint('ended')")
        begun = made.begin("warm", made.command())
        assert first_words(begun) == "began\n"
        assert made.warm._interpreter is not None
        os.kill(made.warm._interpreter.pid, signal.SIGKILL)
        assert [is_forked(made), is_forked(made)] == [False, True]
        (place / "go" / "on").write_text("")
        assert finished(begun).output.endswith("ended\n")
    assert "it was killed by SIGKILL; this job starts from scratch" in made.logged[2]


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_a_module_that_was_imported_before_is_changed(place: Path, change: str) -> None:
    with scripts(place, preload=("marking",)) as made:
        assert made.run("warm", "import marking; print(hasattr(marking, 'x'))").output == "False\n"
        if change == "edit":
            (place / "marking.py").write_text("x = 1")
        else:
            (place / "marking.py").rename(place / "marking2.py")
            (place / "marking.py").mkdir()
            (place / "marking.py").rmdir()
        shown = [made.run("warm", "try: import marking; print(hasattr(marking, 'x'))\n"
                          "except ImportError: print('gone')").output for _ in range(2)]
        assert shown == (["True\n"] * 2 if change == "edit" else ["gone\n"] * 2)
    told = "marking.py was changed: this job starts from scratch, and a new interpreter is begun"
    assert any(text.endswith(told) for text in made.logged)


def test_the_script_is_read_by_each_job(place: Path) -> None:
    with scripts(place, preload=("marking",)) as made:
        assert [made.run("warm", "print(%d)" % n).output for n in (1, 2)] == ["1\n", "2\n"]
        assert made.warm._interpreter is not None and made.warm._interpreter.jobs == 2


def test_what_cannot_be_imported_is_said_once_and_left_out(place: Path) -> None:
    (place / "bad.py").write_text("print('words of bad')\nraise SystemExit('no')")
    with scripts(place, preload=("nothing_of_this_name", "bad", "marking")) as made:
        assert [is_forked(made) for _ in range(3)] == [False, True, True]
        assert "No module named 'nothing_of" in made.run("warm", "import nothing_of_this_name").output
    assert made.logged[1] == "while it imported, the interpreter printed:\nwords of bad"
    assert made.logged[2] == (
        "the interpreter is of no use: nothing_of_this_name cannot be imported beforehand "
        "(ModuleNotFoundError: No module named 'nothing_of_this_name'); bad cannot be imported beforehand "
        "(SystemExit: no); this job starts from scratch")
    assert len(made.logged) == 4


THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()"


@pytest.mark.parametrize("source, why", [
    (THREAD, "what it imports leaves 1 thread running, which a fork would not have"),
    ("import os; os._exit(3)", "it has ended with exit status 3"),
    ("import os, signal; os.kill(os.getpid(), 11)", "it was killed by SIGSEGV"),
])
def test_what_cannot_be_forked_from_starts_from_scratch(place: Path, source: str, why: str) -> None:
    (place / "marking.py").write_text(source)
    with scripts(place, preload=("marking",)) as made:
        assert [is_forked(made) for _ in range(warming.TRIES + 1)] == [False] * (warming.TRIES + 1)
        assert made.warm._interpreter is None
    assert made.logged[-1].endswith(why + "; all jobs start from scratch")


@pytest.mark.parametrize("device", ["/dev/nvidiactl", "/dev/kfd", "/dev/dri/renderD128", "/dev/dxg"])
def test_a_device_that_is_open_is_found(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    assert not interpreter._uses_gpu()
    monkeypatch.setattr(os, "readlink", lambda path: device)
    assert interpreter._uses_gpu()


def test_threads_that_end_before_a_fork_are_no_reason(place: Path) -> None:
    (place / "marking.py").write_text(
        "import os, threading\nend = threading.Event()\nthread = threading.Thread(target=end.wait)\n"
        "thread.start()\nos.register_at_fork(before=lambda: (end.set(), thread.join()))")
    with scripts(place, preload=("marking",)) as made:
        assert is_forked(made)


def test_a_thread_that_linux_still_shows_is_none_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = iter([["1", "2"], ["1", "2"], ["1"], ["1"]])
    monkeypatch.setattr(os, "listdir", lambda path: next(shown))
    assert interpreter._threads_left() == 0


def test_the_generators_of_libraries_have_another_seed_in_each_job(place: Path) -> None:
    """These begin with the same seed, as NumPy's and PyTorch's would in all jobs of an interpreter."""
    (place / "numpy").mkdir()
    (place / "numpy" / "__init__.py").write_text("")
    (place / "numpy" / "random.py").write_text(
        "import random\ngenerator = random.Random(1)\nrand, seed = generator.random, generator.seed")
    (place / "torch.py").write_text(
        "import random\ndefault_generator = random.Random(1)\nrand = default_generator.random")
    source = "import numpy.random, torch; print(numpy.random.rand(), torch.rand())"
    with scripts(place, preload=("numpy.random", "torch")) as made:
        assert len(set(made.run("cold", source).output.split())) == 1
        drawn = [made.run("warm", source).output.split() for _ in range(2)]
        assert made.warm._interpreter is not None and made.warm._interpreter.jobs == 2
    assert len({*drawn[0], *drawn[1]}) == 4


def test_nothing_of_a_job_is_there_when_modules_are_imported(place: Path) -> None:
    (place / "marking.py").write_text("import os\nseen = [n for n in os.environ if n.startswith('JD_')]")
    with scripts(place, preload=("marking",)) as made:
        assert made.run("warm", "import marking; print(marking.seen)").output == "[]\n"


@pytest.mark.parametrize("language", ["C", "C.UTF-8"])
def test_what_imports_make_of_the_environment_is_there(place: Path, language: str) -> None:
    (place / "marking.py").write_text("import os\nos.environ.setdefault('MADE', 'here')\n"
                                      "del os.environ['GONE']\nos.environ['OTHER'] = 'new'\n")
    source = "import os, marking; print(sorted(os.environ.items())); os.system('env | sort')"
    with scripts(place, preload=("marking",)) as made:
        environ = dict(made.environ, GONE="x", OTHER="x", LANG=language)
        environ.pop("LC_ALL", None)
        cold, warm = [made.run(mode, source, environ=environ).output for mode in ("cold", "warm")]
        assert "('MADE', 'here')" in warm and "GONE" not in warm and "OTHER=new" in warm
        assert ("LC_CTYPE" in warm) == (language == "C")
        assert cold == warm
        assert is_forked(made, environ=environ)


def test_what_imports_start_ends_with_the_interpreter(place: Path) -> None:
    (place / "marking.py").write_text(
        "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True, env={})")
    with scripts(place, preload=("marking",)) as made:
        before = orphans.children()
        made.run("warm", "")
        assert "leaves a process running" in made.logged[-1]
        assert orphans.children() == before


def test_a_program_that_imports_have_read_from_is_no_reason(place: Path) -> None:
    (place / "marking.py").write_text("import os\nos.popen('echo; exec >&-; sleep 0.1').read()")
    with scripts(place, preload=("marking",)) as made:
        assert is_forked(made)


def test_one_that_does_not_listen_is_ended(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(*_: Any) -> None:
        raise process.Ended("it does not listen")

    monkeypatch.setattr(process.Interpreter, "_send", deaf)
    with scripts(place, preload=("marking",)) as made:
        before = orphans.children()
        assert not is_forked(made)
        assert made.warm._interpreter is None
        assert orphans.children() == before and orphans.cared_for == set()


def test_another_environment_wants_another_interpreter(place: Path) -> None:
    with scripts(place, preload=("marking",)) as made:
        environs = [made.environ, dict(made.environ, JD_WORKER_TOKEN="new", PWD="/"),
                    dict(made.environ, OMP_NUM_THREADS="3")]
        pids = []
        for environ in environs:
            assert is_forked(made, environ=environ)
            assert made.warm._interpreter is not None
            pids.append(made.warm._interpreter.pid)
    assert pids[0] == pids[1] != pids[2]


def test_one_that_is_worn_out_is_replaced(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "MOST_JOBS", 2)
    with scripts(place, preload=("marking",)) as made:
        assert [is_forked(made) for _ in range(3)] == [True] * 3
        assert made.warm._interpreter is not None and made.warm._interpreter.jobs == 1
        made.warm._interpreter.grown_to = 3 * made.warm._interpreter.resident
        assert is_forked(made) and made.warm._interpreter.jobs == 1
    assert "the interpreter has forked 2 jobs: a new one is begun" in made.logged
    assert any("the interpreter has grown to" in text for text in made.logged)


def test_a_job_waits_no_longer_than_its_worker(place: Path) -> None:
    (place / "marking.py").write_text("import time; time.sleep(600)")
    with scripts(place, preload=("marking",)) as made:
        made.script.write_text(HOW)
        assert made.warm.prepare(made.command(), made.named)
        cancelled = threading.Event()
        cancelled.set()
        made.warm.wait(cancelled)
        # The time to load is over: nothing has been said.
        assert finished(made.warm.begin(made.command())).output == "from scratch\n"
    assert "it does not answer; this job starts from scratch" in made.logged[-1]


def test_one_that_is_stopped_is_given_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FORK_TIME", 0.2)
    with scripts(place, preload=("marking",)) as made:
        assert is_forked(made) and made.warm._interpreter is not None
        os.kill(made.warm._interpreter.pid, signal.SIGSTOP)
        assert [is_forked(made), is_forked(made)] == [False, True]


def test_words_that_only_a_command_line_refuses(place: Path) -> None:
    with scripts(place, preload=("marking",)) as made:
        assert is_forked(made)
        for words in ("a\0b", "\ud800", "x" * 4_000_000):
            with pytest.raises(StartFailure):
                made.run("warm", HOW, words)
        assert finished(made.begin("warm", made.command("x" * 131_000))).output == "from scratch\n"
        assert is_forked(made)
    assert len(made.logged) == 2


def test_a_limit_of_memory_holds(place: Path) -> None:
    with scripts(place, preload=("marking",)) as made:
        made.script.write_text("import resource as r\nprint(r.getrlimit(r.RLIMIT_AS))\nbytearray(1 << 30)")
        ended = finished(made.begin("warm", made.command(max_memory=512 << 20)))
    assert ended.output.startswith("(536870912, 536870912)\n") and "MemoryError" in ended.output


def test_files_that_a_module_of_ones_own_leaves_open_are_closed_at_the_end(place: Path) -> None:
    (place / "marking.py").write_text("import gzip\ndef begin():\n global log\n"
                                      " log = gzip.open('log.gz', 'wt')\n log.write('kept')")
    with scripts(place, preload=("marking",)) as made:
        made.run("warm", "import marking; marking.begin()")
    with gzip.open(str(place / "log.gz"), "rt") as log:
        assert log.read() == "kept"


def test_what_is_installed_is_not_taken_apart(place: Path) -> None:
    (place / "site-packages").mkdir()
    (place / "site-packages" / "installed.py").write_text(
        "import sys\nclass A:\n def __del__(self): print('taken apart')\na = A()\n"
        "made = type(sys)('made')\nmade.__file__ = '_made.py'\nsys.modules['made'] = made")
    with scripts(place, preload=("installed",)) as made:
        environ = dict(made.environ, PYTHONPATH=str(place / "site-packages"))
        assert made.run("cold", "import installed", environ=environ).output == "taken apart\n"
        assert made.run("warm", "import installed", environ=environ).output == ""


def test_what_a_job_writes_to_a_file_that_was_opened_before_is_there(place: Path) -> None:
    (place / "site-packages").mkdir()
    (place / "site-packages" / "installed.py").write_text("log = open('log', 'w'); log.write('before ')")
    with scripts(place, preload=("installed",)) as made:
        environ = dict(made.environ, PYTHONPATH=str(place / "site-packages"))
        for _ in range(2):
            made.run("warm", "import installed; installed.log.write('job ')", environ=environ)
    assert (place / "log").read_text() == "before job job "


def test_what_a_thread_imports_at_the_end_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atexit.register", lambda call: None)
    monkeypatch.setattr("_thread._count", lambda: 1)
    before = dict(sys.modules)
    ending = Ending()
    ending.of(set(before), False)
    ending._end()
    assert sys.modules == before


BEGINS = '''"""What it does."""
from __future__ import annotations
import sys, installed.one
from typing import TYPE_CHECKING
from installed import two
try:
    import nothing_of_this_name
    import installed.three
except ImportError:
    pass
import beside
VERSION = "1.0"
if TYPE_CHECKING:
    import installed.four
import os
os.environ["X"] = "1"
import installed.five
'''


def test_the_script_says_what_it_begins_with(place: Path) -> None:
    package = place / "site-packages" / "installed"
    package.mkdir(parents=True)
    for file in (place / "beside.py", *(package / (name + ".py") for name in (
            "__init__", "one", "two", "three", "four", "five"))):
        file.write_text("print(__name__)")
    with scripts(place, preload=("script",)) as made:
        environ = dict(made.environ, PYTHONPATH=str(package.parent))
        shown = made.run("warm", BEGINS, environ=environ)
        assert shown.output.split() == ["beside", "installed.five"]
        made.run("warm", "", environ=environ)
    assert made.logged[1].split()[-4:] == ["installed", "installed.one", "installed.two", "installed.three"]
    assert "script.py was changed" in made.logged[-1]


@pytest.mark.parametrize("why", ["no orphans", "no Python", "a wrapper", "no process", "no cache"])
def test_where_nothing_can_be_warm_the_log_says_so_once(place: Path, monkeypatch: pytest.MonkeyPatch,
                                                        why: str) -> None:
    options = {}
    if why == "no orphans":
        monkeypatch.setattr(orphans, "become_subreaper", lambda: False)
    elif why == "a wrapper":
        wrapper = place / "wrapper"
        wrapper.write_text("#!/bin/sh\nexec %s -I \"$@\"\n" % sys.executable)
        wrapper.chmod(0o755)
        options["python"] = wrapper
    elif why == "no process":
        monkeypatch.setattr(helpers, "output_of", lambda *_: None)
    elif why == "no cache":
        monkeypatch.setattr(importing, "kept", lambda *_: None)
    made = Scripts(place, **options)
    if why == "no Python":
        made.warm._entry = made.warm._entry._replace(script=place / "run.sh")
    made.warm.introduce()
    assert [is_forked(made) for _ in range(2)] == [False, False]
    assert made.warm._interpreter is None
    assert len(made.logged) == 2 and made.logged[1].endswith(", so each job starts from scratch")
    assert ("could not be asked" in made.logged[1]) == (why == "no process")
