"""One job as a real process, to its end and that of all it started."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Set

import pytest

from jd.messages import Assignment
from jd.node import cgroups, orphans
from jd.node.kernellog import Kill
from jd.worker.attempt.process import jobprocess, memory
from jd.worker.attempt.process.child import Child
from jd.worker.attempt.process.forkclient import ForkServer
from jd.worker.attempt.process.jobprocess import STOPPED_PREEMPTED, JobProcess
from jd.worker.attempt.process.spawning import Begun, Command, StartFailure, spawn
from jd.worker.launch.signals import Signals
from jd.worker.verdict import Ended
from tests.support import PATIENCE, ROOT, wait_until
from tests.worker.attempt.warmed import MODES, scripts

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and prctl")


class Runner:
    def __init__(self, tmp_path: Path, signals: Signals) -> None:
        self.tmp_path = tmp_path
        self.signals = signals
        self.output = b""
        self.logged: List[str] = []
        self.oom_kills = 0
        self.begin: Callable[[Command], Begun] = spawn

    def take(self, lines: bytes) -> None:
        self.output += lines

    def start(self, source: str, arguments: Optional[List[str]] = None,
              killed: Callable[[int, float], Optional[Kill]] = lambda pid, since: None,
              **environ: str) -> JobProcess:
        script = self.tmp_path / "script.py"
        script.write_text(source)
        full = dict(os.environ, PYTHONUNBUFFERED="1", **environ)
        words = [sys.executable, str(script), *(arguments or [])]
        return jobprocess.start(Assignment(5, {}), Command(script, words, full), self.take,
                                self.logged.append, lambda: self.oom_kills, time.monotonic(),
                                killed=killed, begin=self.begin)

    def turn(self, job: JobProcess, timeout: float = PATIENCE,
             until: Callable[[], bool] = lambda: False) -> Optional[Ended]:
        """What the worker's loop does, until the job has ended or `until()`."""
        limit = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            assert now < limit, "the job does not end: %r" % self.output[-500:]
            ended = job.step(now)
            if ended is not None:
                return ended
            if until():
                return None
            output = job.fileno()
            waiting = [self.signals.fileno()] + ([output] if output is not None else [])
            pause = min([limit] + [t for t in [job.deadline()] if t is not None]) - now
            ready = select.select(waiting, [], [], max(0.0, pause))[0]
            self.signals.drain_pipe()
            if output in ready:
                job.read(time.monotonic())

    def run(self, source: str, **environ: str) -> Ended:
        ended = self.turn(self.start(source, None, lambda pid, since: None, **environ))
        assert ended is not None
        return ended

    def said(self) -> bool:
        return b"ready\n" in self.output


all_ways = pytest.mark.parametrize("runner", [*MODES, "without a fork server"], indirect=True)


@pytest.fixture(params=MODES)
def runner(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Runner]:
    forks = ForkServer(print)
    with Signals() as signals, scripts(tmp_path) as made:
        runner = Runner(tmp_path, signals)
        if request.param == "warm":
            runner.begin = lambda command: made.begin("warm", command)
        elif request.param == "cold":
            runner.begin = forks.begin
        try:
            yield runner
        finally:
            forks.close()
        assert [text for text in made.logged if "from scratch" in text] == []


def reaped(pid: int) -> bool:
    """Whether a process is gone, once those that nobody waits for have been waited for."""
    orphans.reap_strangers(set())
    return not alive(pid)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


HALVES = """
import os, sys, time
sys.stdout.write("half of ")
while not os.path.exists("go"):
    time.sleep(0.01)
sys.stdout.write("a line\\n")
os.rename("go", "gone")
time.sleep(600)
"""


def test_a_worker_that_comes_late_cuts_no_line_whose_rest_is_there(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was held up for 2 seconds after it had read half a line."""
    monkeypatch.chdir(tmp_path)
    with Signals() as signals:
        runner = Runner(tmp_path, signals)
        job = runner.start(HALVES)
        try:
            runner.turn(job, until=lambda: job.deadline() is not None)
            due = job.deadline()
            assert due is not None
            (tmp_path / "go").touch()
            wait_until((tmp_path / "gone").exists)
            job.step(due)
            assert runner.output == b"half of a line\n"
        finally:
            job.kill()


@all_ways
@pytest.mark.parametrize("source, exit_code", [
    ("", 0), ("raise SystemExit(3)", 3), ("import os; os._exit(255)", 255), ("1/0", 1),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
    ("import os; os.abort()", -6),
])
def test_exit_codes(runner: Runner, source: str, exit_code: int) -> None:
    ended = runner.run(source)
    assert ended.exit_code == exit_code
    assert 0.0 < ended.runtime < 20.0
    assert not ended.out_of_memory


@all_ways
def test_both_streams_arrive_in_order(runner: Runner) -> None:
    ended = runner.run("import os\nfor i in range(3):\n os.write(1, b'out\\n'); os.write(2, b'err\\n')")
    assert runner.output == b"out\nerr\n" * 3
    assert ended.tail == "out\nerr\n" * 3


@all_ways
def test_the_script_has_a_session_of_its_own_and_our_directory(runner: Runner) -> None:
    runner.run("import os\nprint(os.getsid(0) == os.getpid(), os.getcwd())")
    assert runner.output.decode() == "True %s\n" % os.getcwd()


@all_ways
def test_the_script_does_not_read_the_workers_input(runner: Runner) -> None:
    read_end, write_end = os.pipe()
    before = os.dup(0)
    os.dup2(read_end, 0)
    try:
        runner.run("import sys\nprint(repr(sys.stdin.read()))")
    finally:
        os.dup2(before, 0)
        for end in (read_end, write_end, before):
            os.close(end)
    assert runner.output == b"''\n"


@all_ways
def test_signals_are_at_their_defaults_in_the_script_but_for_the_drain_signal(runner: Runner) -> None:
    runner.run("import signal as s\nprint([s.getsignal(n) == d for n, d in ["
               "(s.SIGINT, s.default_int_handler), (s.SIGTERM, s.SIG_DFL), (s.SIGHUP, s.SIG_DFL),"
               "(s.SIGUSR2, s.SIG_IGN), (s.SIGCHLD, s.SIG_DFL)]], s.pthread_sigmask(s.SIG_BLOCK, []))")
    assert runner.output == b"[True, True, True, True, True] set()\n"


def test_output_of_the_last_moment_is_there(runner: Runner) -> None:
    ended = runner.run("import os\nos.write(1, b'x' * 60000 + b'\\nlast words')\nos._exit(1)")
    assert ended.tail.endswith("last words\n")
    assert len(runner.output) == 60000 + len("\nlast words\n")


def test_binary_output(runner: Runner) -> None:
    ended = runner.run("import os\nos.write(1, bytes(range(256)) * 4)")
    assert b"\x00" not in runner.output and b"\x1b" not in runner.output
    assert "\ufffd" in ended.tail


def test_out_of_memory_is_noticed(runner: Runner) -> None:
    job = runner.start("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    runner.oom_kills += 1
    ended = runner.turn(job)
    assert ended is not None and ended.out_of_memory


# ---- nothing survives

GRANDCHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], %s)
print(child.pid)
"""


def test_grandchildren_end_with_the_script(runner: Runner) -> None:
    runner.run(GRANDCHILD % "")
    pid = int(runner.output)
    wait_until(lambda: not alive(pid))


def test_the_process_group_ends_with_the_script_on_every_system(
        runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "children", lambda: set())
    runner.run(GRANDCHILD % "")
    monkeypatch.undo()
    pid = int(runner.output)
    wait_until(lambda: reaped(pid))


@all_ways
@linux_only
def test_a_daemon_ends_with_the_script(runner: Runner) -> None:
    ended = runner.run(GRANDCHILD % "start_new_session=True")
    assert ended.exit_code == 0
    assert not alive(int(runner.output))
    assert orphans.children() == set()


@linux_only
def test_a_family_of_daemons_ends_with_the_script(runner: Runner) -> None:
    tree = """
import os, sys, time
there, last = os.pipe()
def daemon(depth):
    if os.fork() == 0:
        os.setsid()
        os.write(1, b"%d\\n" % os.getpid())
        if depth:
            daemon(depth - 1)
        else:
            os.write(last, b"!")
        time.sleep(600)
daemon(4)
os.read(there, 1)
raise SystemExit(7)
"""
    ended = runner.run(tree)
    assert ended.exit_code == 7
    pids = [int(word) for word in runner.output.split()]
    assert len(pids) == 5
    assert not any(alive(pid) for pid in pids)


@linux_only
def test_dead_daemons_do_not_pile_up_while_the_job_runs(runner: Runner) -> None:
    job = runner.start("""
import os, sys, time
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
print("ready")
time.sleep(600)
""")
    runner.turn(job, until=lambda: runner.said() and orphans.children() == {job.pid})
    job.stop(time.monotonic(), 5.0, STOPPED_PREEMPTED)
    runner.turn(job)


@linux_only
def test_other_children_of_the_worker_are_left_alone(runner: Runner) -> None:
    mine = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        runner.run("")
        assert mine.poll() is None
    finally:
        mine.communicate(b"\n")
    assert mine.returncode == 0


def test_an_escaped_process_that_holds_the_pipe_is_not_waited_for(
        runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobprocess, "DRAIN_TIME", 0.2)
    monkeypatch.setattr(orphans, "children", lambda: set())
    monkeypatch.setattr(orphans, "reap_strangers", lambda known: None)
    ended = runner.run(GRANDCHILD % "start_new_session=True")
    pid = int(runner.output)
    assert ended.exit_code == 0
    os.kill(pid, signal.SIGKILL)
    monkeypatch.undo()
    wait_until(lambda: reaped(pid))


ORPHAN = """
import os, sys
if os.fork() == 0:
    os.setsid()
    sys.stdout.write("%d\\n" % os.getpid())
    sys.stdout.flush()
    os.dup2(int(sys.argv[1]), 1)
    os.write(1, b"ready\\n")
    sys.stdin.read()
    os._exit(7)
"""


@linux_only
def test_an_orphan_that_came_to_the_worker_is_a_script_like_any(runner: Runner) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)

    def begin(command: Command) -> Begun:
        with subprocess.Popen(command.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              pass_fds=[write_end]) as parent:
            assert parent.stdin is not None and parent.stdout is not None
            pid = int(parent.stdout.readline())
            os.close(write_end)
            parent.wait()
            wait_until(lambda: pid in orphans.children())
        return Begun(Child(pid), read_end)

    words = [sys.executable, "-c", ORPHAN, str(write_end)]
    job = jobprocess.start(Assignment(5, {}), Command(runner.tmp_path, words, {}), runner.take,
                           runner.logged.append, lambda: 0, time.monotonic(), begin=begin)
    ended = runner.turn(job)
    assert ended is not None and ended.exit_code == 7 and ended.peak_memory is not None
    assert runner.output == b"ready\n" and orphans.children() == set()


# ---- stopping

@all_ways
def test_stop_lets_the_script_save_its_work(runner: Runner) -> None:
    job = runner.start("""
import signal, sys, time
def save(*_):
    print("saved"); sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready")
time.sleep(600)
""")
    runner.turn(job, until=runner.said)
    job.stop(time.monotonic(), 10.0, STOPPED_PREEMPTED)
    ended = runner.turn(job)
    assert ended is not None and ended.exit_code == 0
    assert job.stop_reason == STOPPED_PREEMPTED
    assert runner.output == b"ready\nsaved\n"


def test_a_script_that_ignores_term_is_killed_after_its_grace(runner: Runner) -> None:
    job = runner.start("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                       "print('ready')\ntime.sleep(600)\n")
    runner.turn(job, until=runner.said)
    began = time.monotonic()
    job.stop(began, 0.3, STOPPED_PREEMPTED)
    assert job.deadline() == began + 0.3
    assert job.step(began + 0.299) is None and not job._child.has_ended()
    ended = runner.turn(job)
    assert ended is not None and ended.exit_code == -9


def test_term_reaches_the_whole_group(runner: Runner) -> None:
    job = runner.start("""
import os, signal, time
def note(*_):
    os.write(1, b"told\\n"); os._exit(0)
signal.signal(signal.SIGTERM, note)
if os.fork():
    os.write(1, b"ready\\n")
time.sleep(600)
""")
    runner.turn(job, until=runner.said)
    job.stop(time.monotonic(), 10.0, STOPPED_PREEMPTED)
    runner.turn(job)
    assert b"told" in runner.output


def test_a_stopped_process_gets_its_chance(runner: Runner) -> None:
    job = runner.start("import os, signal, sys, time\n"
                       "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))\n"
                       "print('ready')\nos.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(600)\n")
    runner.turn(job, until=runner.said)
    job.stop(time.monotonic(), 10.0, STOPPED_PREEMPTED)
    ended = runner.turn(job)
    assert ended is not None and ended.exit_code == 4


def test_a_script_that_has_ended_cannot_be_stopped(runner: Runner) -> None:
    job = runner.start("print('ready')")
    wait_until(lambda: os.waitid(os.P_PID, job.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
               if hasattr(os, "waitid") else True)
    job.stop(time.monotonic(), 10.0, STOPPED_PREEMPTED)
    assert job.stop_reason is None
    ended = runner.turn(job)
    assert ended is not None and ended.exit_code == 0


# ---- not starting

def failure(runner: Runner, change: Callable[[], Any], **kwargs: Any) -> str:
    change()
    with pytest.raises(StartFailure) as caught:
        runner.start("", **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("argument, words", [
    ("x" * 4_000_000, "too large for a command line"), ("a\0b", "null"),
    ("\ud800", "cannot carry"),
], ids=["long", "NUL", "surrogate"])
def test_arguments_that_no_process_can_have(runner: Runner, argument: str, words: str) -> None:
    runner.run("")
    descriptors = len(os.listdir("/dev/fd"))
    assert words in failure(runner, lambda: None, arguments=[argument])
    assert len(os.listdir("/dev/fd")) == descriptors


def test_no_more_processes(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fork(*_: Any, **__: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    runner.begin = spawn
    monkeypatch.setattr(subprocess, "Popen", no_fork)
    assert "Resource temporarily unavailable" in failure(runner, lambda: None)


# ---- what orphans.py sees

@linux_only
def test_children_by_scan_are_the_children() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert orphans._children_by_scan() == orphans._children_listed() == {child.pid}
    finally:
        child.communicate(b"\n")


@linux_only
def test_where_the_kernel_lists_no_children_all_processes_are_looked_at(
        monkeypatch: pytest.MonkeyPatch) -> None:
    def not_listed() -> Set[int]:
        raise FileNotFoundError
    monkeypatch.setattr(orphans, "_children_listed", not_listed)
    monkeypatch.setattr(orphans, "_children_by_scan", lambda: {5})
    assert orphans.children() == {5}


_LEAVES_A_DAEMON = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.DEVNULL).pid)
"""


@linux_only
def test_what_a_child_leaves_comes_to_the_main_thread_while_others_run() -> None:
    orphans.become_subreaper()
    over = threading.Event()
    others = [threading.Thread(target=over.wait) for _ in range(3)]
    for thread in others:
        thread.start()
    try:
        daemon = int(subprocess.check_output([sys.executable, "-c", _LEAVES_A_DAEMON]))
        try:
            assert orphans._children_listed() == {daemon}
        finally:
            orphans.end_all({daemon})
        wait_until(lambda: reaped(daemon))
    finally:
        over.set()
        for thread in others:
            thread.join()


def test_the_time_to_stop_can_become_shorter_and_not_longer(runner: Runner) -> None:
    job = runner.start("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                       "print('ready')\ntime.sleep(60)")
    runner.turn(job, until=runner.said)
    now = time.monotonic()
    for grace in (100.0, 0.2, 50.0):
        job.stop(now, grace, STOPPED_PREEMPTED)
    assert job.deadline() == now + 0.2
    ended = runner.turn(job)
    assert ended is not None and ended.exit_code == -signal.SIGKILL


def test_a_script_that_got_the_signal_before_the_worker_is_preempted(runner: Runner) -> None:
    job = runner.start("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    wait_until(job._child.has_ended)
    now = time.monotonic()
    assert job.step(now) is None  # perhaps the worker is about to get it too
    job.stop(now, 20.0, STOPPED_PREEMPTED)
    assert job.stop_reason == STOPPED_PREEMPTED
    ended = runner.turn(job)
    assert ended is not None and ended.exit_code == -signal.SIGTERM


def test_a_script_that_was_terminated_alone_has_failed(runner: Runner) -> None:
    job = runner.start("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    ended = runner.turn(job)
    assert ended is not None and (ended.exit_code, job.stop_reason) == (-signal.SIGTERM, None)


def test_what_its_largest_process_had_is_known(runner: Runner) -> None:
    job = runner.start("import subprocess, sys\n"
                       "subprocess.run([sys.executable, '-c', 'x = bytearray(150 << 20)'])\nsys.exit(3)")
    ended = runner.turn(job)
    assert ended is not None and ended.exit_code == 3
    assert ended.peak_memory is not None and 150 << 20 < ended.peak_memory < 400 << 20


@pytest.mark.parametrize("source, asked", [("import os; os.kill(os.getpid(), 9)", True),
                                           ("raise SystemExit(9)", False)])
def test_the_kernels_log_is_asked_of_a_script_that_was_killed(runner: Runner, source: str,
                                                              asked: bool) -> None:
    pids: List[int] = []

    def killed(pid: int, since: float) -> Kill:
        assert 0 < since <= time.monotonic()
        pids.append(pid)
        return Kill(pid, "python", 7 << 40)

    job = runner.start(source, killed=killed)
    ended = runner.turn(job)
    assert ended is not None and pids == ([job.pid] if asked else [])
    assert ended.out_of_memory is asked and (ended.peak_memory == 7 << 40) is asked


# Is put into a control group of its own with 64 MiB, and tells how a script ends there that wants more.
IN_A_GROUP = """
import json, os, sys, tempfile, time
from pathlib import Path
from jd.messages import Assignment
from jd.node.cgroups import Groups
from jd.worker import verdict
from jd.worker.attempt.process import jobprocess, memory
from jd.worker.attempt.process.spawning import Command
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
groups, directory = Groups(), Path(sys.argv[2])
script = directory / "greedy.py"
script.write_text("x = []\\nwhile True: x.append(bytearray(1 << 20))\\n")
job = jobprocess.start(Assignment(1, {}), Command(script, [sys.executable, str(script)], dict(os.environ)),
                       lambda data: None, print, groups.oom_kills, time.monotonic(),
                       killed=lambda pid, since: None)
ended = None
while ended is None:
    time.sleep(0.01)
    ended = job.step(time.monotonic())
print(json.dumps([verdict.judge(job.assignment, ended).verdict, ended.peak_memory,
                  memory.why_out_of_memory(ended, groups.memory().limit)]))
"""


def test_the_kernel_ends_a_script_of_a_real_control_group(tmp_path: Path) -> None:
    group = next((place for place in own_groups() if os.access(str(place), os.W_OK)), None)
    if group is None:
        pytest.skip("no control group of version 1 or 2 in which one can be made")
    mine = group / ("jd-test-%d" % os.getpid())
    try:
        mine.mkdir()
        limit = mine / ("memory.max" if (mine / "memory.max").exists() else "memory.limit_in_bytes")
        limit.write_text(str(64 << 20))
    except OSError as error:
        pytest.skip("no control group with a limit can be made: %s" % error)
    try:
        done = subprocess.run([sys.executable, "-c", IN_A_GROUP, str(mine), str(tmp_path)],
                              stdout=subprocess.PIPE, timeout=60, check=True,
                              env=dict(os.environ, PYTHONPATH=str(ROOT)))
        word, peak, remark = json.loads(done.stdout.splitlines()[-1])
        assert word == "oom" and 32 << 20 < peak < 70 << 20
        assert remark.startswith("(its largest process had ") and remark.endswith("may have 64.0 MiB)")
    finally:
        wait_until(lambda: not (mine / "cgroup.procs").read_text())
        mine.rmdir()


def own_groups() -> List[Path]:
    """Where the groups of this process that count its memory may be."""
    memberships = cgroups.parse_memberships(Path("/proc/self/cgroup").read_text())
    return [Path("/sys/fs/cgroup", kind, memberships[controller].lstrip("/"))
            for kind, controller in (("memory", "memory"), ("", ""))
            if controller in memberships] if Path("/proc/self/cgroup").exists() else []


@pytest.mark.parametrize("exit_code, peak, limit, says", [
    (-9, 3 << 30, 4 << 30,
     "(its largest process had 3.0 GiB; the control group of its worker may have 4.0 GiB)"),
    (137, None, None, "(the machine had no more)"), (1, 3 << 30, None, None)])
def test_what_is_said_of_memory_that_ran_out(exit_code: int, peak: Optional[int], limit: Optional[int],
                                             says: Optional[str]) -> None:
    ended = Ended(exit_code, 1.0, out_of_memory=True, peak_memory=peak)
    assert memory.why_out_of_memory(ended, limit) == says
