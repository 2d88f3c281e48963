"""Scripts that begin in a fork server, and what does without one."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from jd.messages import Assignment
from jd.node import orphans
from jd.worker.attempt.process import forkserver, jobprocess, spawning
from jd.worker.attempt.process.child import End
from jd.worker.attempt.process.forkclient import ForkServer
from jd.worker.attempt.process.spawning import Begun, Command, StartFailure
from tests.support import ROOT, python, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="has no fork server")

ITSELF = "scripts are started by the worker itself: this system gives it no fork server"


@pytest.fixture
def logged() -> List[str]:
    return []


@pytest.fixture
def forks(logged: List[str]) -> Iterator[ForkServer]:
    forks = ForkServer(logged.append)
    yield forks
    forks.close()


def command(*words: str, **more: int) -> Command:
    return Command(Path("script"), list(words), dict(os.environ), Path("/"), **more)


def to_its_end(begun: Begun) -> str:
    """What a script printed that ended well."""
    os.set_blocking(begun.output, True)
    with open(begun.output, "rb") as output:
        told = output.read()
    assert begun.child.reap().exit_code == 0, told
    return told.decode()


def server_of(forks: ForkServer) -> "subprocess.Popen[bytes]":
    assert forks._server is not None
    process: "subprocess.Popen[bytes]" = forks._server._process
    return process


def signals_of(status: str) -> Dict[str, int]:
    """Which signals a process has blocked and ignored, by what /proc says of it."""
    told = status.split()
    return {name: int(told[told.index(name) + 1], 16) for name in ("SigBlk:", "SigIgn:")}


def is_zombie(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def test_nothing_runs_before_the_first_script_and_one_server_starts_them_all(
        forks: ForkServer, logged: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert forks._server is None
    assert to_its_end(forks.begin(command("echo", "one"))) == "one\n"
    server = server_of(forks)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert to_its_end(forks.begin(command("echo", "two"))) == "two\n"
    assert server_of(forks) is server and logged == []
    assert server.pid in orphans.cared_for and server.pid not in orphans.children()


def test_the_script_is_a_child_of_the_worker_with_three_descriptors(forks: ForkServer) -> None:
    told = to_its_end(forks.begin(command(
        *python("-c", "import os; print(os.getppid(), os.listdir('/proc/self/fd'), os.getcwd())"))))
    assert told == "%d ['0', '1', '2', '3'] /\n" % os.getpid()  # the last is the listing itself


def test_the_script_leads_a_session_of_its_own(forks: ForkServer) -> None:
    begun = forks.begin(command(*python("-c", "import os; print(os.getsid(0), os.getpgrp())")))
    assert to_its_end(begun) == "%d %d\n" % (begun.child.pid, begun.child.pid)


def test_where_one_script_runs_is_no_matter_to_the_next(forks: ForkServer) -> None:
    assert to_its_end(forks.begin(command("pwd"))) == "/\n"
    assert to_its_end(forks.begin(Command(Path("script"), ["pwd"], dict(os.environ)))) == os.getcwd() + "\n"


def test_a_program_is_looked_for_as_its_own_variables_say(forks: ForkServer, tmp_path: Path) -> None:
    for name, mode in (("not executable", 0o644), ("this", 0o755)):
        place = tmp_path / name
        place.mkdir()
        place.joinpath("program").write_text("#!/bin/sh\necho %s\n" % name)
        place.joinpath("program").chmod(mode)
    path = os.pathsep.join(map(str, [tmp_path, tmp_path / "not executable", tmp_path / "this", "/bin"]))
    begun = forks.begin(Command(Path("script"), ["program"], {"PATH": path}, tmp_path))
    assert to_its_end(begun) == "this\n"


@pytest.mark.parametrize("path", ["", ".", "here", "/nowhere:here:/bin"])
def test_a_program_is_looked_for_from_where_the_script_runs(
        forks: ForkServer, tmp_path: Path, path: str) -> None:
    (tmp_path / "here").mkdir()
    for place in (tmp_path, tmp_path / "here"):
        place.joinpath("program").write_text("#!/bin/sh\necho found\n")
        place.joinpath("program").chmod(0o755)
    for begin in (forks.begin, spawning.spawn):
        assert to_its_end(begin(Command(Path("script"), ["program"], {"PATH": path}, tmp_path))) == "found\n"


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["a file", "a directory"])
def test_what_is_no_program_is_told_as_without_a_server(
        forks: ForkServer, tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "program")
    for begin in (forks.begin, spawning.spawn):
        with pytest.raises(StartFailure, match="cannot start script with program: Permission denied"):
            begin(Command(Path("script"), ["program"], {"PATH": "%s:/nowhere" % tmp_path}, tmp_path))


def test_the_script_has_the_signals_of_a_fresh_process_but_that_to_drain(forks: ForkServer) -> None:
    ours = signals_of(to_its_end(forks.begin(command("cat", "/proc/self/status"))))
    # Whoever runs the tests may have some ignored, such as SIGHUP.
    fresh = signals_of(subprocess.run(["cat", "/proc/self/status"], stdout=subprocess.PIPE, check=True,
                                      text=True).stdout)
    assert ours == {"SigBlk:": 0, "SigIgn:": fresh["SigIgn:"] | 1 << (signal.SIGUSR2 - 1)}


def test_each_process_of_the_script_has_the_limit(forks: ForkServer) -> None:
    begun = forks.begin(command(*python(
        "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_AS))"), max_memory=3 << 30))
    assert to_its_end(begun) == "(%d, %d)\n" % (3 << 30, 3 << 30)
    assert resource.getrlimit(resource.RLIMIT_AS) != (3 << 30, 3 << 30)


# Starts a script that waits, tells its process id and that of the server, and waits itself.
WORKER = """
import os, time
from pathlib import Path
from jd.worker.attempt.process.forkclient import ForkServer
from jd.worker.attempt.process.spawning import Command
forks = ForkServer(print)
child = forks.begin(Command(Path("script"), ["sleep", "600"], dict(os.environ))).child
print(child.pid, forks._server._process.pid, flush=True)
time.sleep(600)
"""


def test_script_and_server_end_with_a_worker_that_is_killed() -> None:
    with subprocess.Popen(python("-c", WORKER), stdout=subprocess.PIPE, cwd=str(ROOT)) as worker:
        assert worker.stdout is not None
        pids = [int(word) for word in worker.stdout.readline().split()]
        assert len(pids) == 2
        worker.kill()
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_a_script_that_began_as_its_worker_died_ends_by_itself(forks: ForkServer) -> None:
    has = b"Scripts(worker_end.fileno())"
    assert has in forks._source
    forks._source = forks._source.replace(
        has, b"Scripts((lambda pair: pair[1].close() or pair[0].detach())(_socket.socketpair()))")
    begun = forks.begin(command("sleep", "600"))
    os.close(begun.output)
    assert begun.child.reap().exit_code == -signal.SIGPIPE


def is_running(pid: int) -> bool:
    try:
        return Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_means_the_worker_does_not_end_the_server(forks: ForkServer) -> None:
    to_its_end(forks.begin(command("true")))
    server = server_of(forks)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGUSR1):
        server.send_signal(number)
    to_its_end(forks.begin(command("true")))
    assert server_of(forks) is server


def test_a_server_that_has_ended_is_followed_by_another(forks: ForkServer, logged: List[str]) -> None:
    to_its_end(forks.begin(command("true")))
    first = server_of(forks)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: is_zombie(first.pid))
    assert to_its_end(forks.begin(command("echo", "again"))) == "again\n"
    assert server_of(forks) is not first and first.pid not in orphans.cared_for and logged == []


def test_an_idle_server_ends_by_itself(forks: ForkServer) -> None:
    forks._source = forks._source.replace(b"IDLE = 60.0", b"IDLE = 0.0")
    begun = forks.begin(command("true"))
    wait_until(lambda: is_zombie(server_of(forks).pid))
    to_its_end(begun)
    assert to_its_end(forks.begin(command("echo", "again"))) == "again\n"


def test_a_server_that_has_ended_does_not_keep_others_from_being_reaped(forks: ForkServer) -> None:
    to_its_end(forks.begin(command("true")))
    os.kill(server_of(forks).pid, signal.SIGKILL)
    wait_until(lambda: is_zombie(server_of(forks).pid))
    stranger = subprocess.Popen(["true"])
    wait_until(lambda: is_zombie(stranger.pid))
    orphans.reap_strangers(set())
    assert stranger.pid not in orphans.children() and is_zombie(server_of(forks).pid)
    stranger.returncode = 0


def test_a_server_that_is_killed_over_a_request_costs_that_start_only(
        forks: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    to_its_end(forks.begin(command("true")))
    assert forks._server is not None
    monkeypatch.setattr(forks._server, "answer", lambda message, output: None)
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StartFailure, match="cannot start script: the fork server of its worker was killed"):
        forks.begin(command("true"))
    assert len(os.listdir("/proc/self/fd")) == descriptors - 1  # that of the server
    assert to_its_end(forks.begin(command("echo", "again"))) == "again\n"


def test_where_no_server_runs_the_worker_starts_its_scripts_itself(
        forks: ForkServer, logged: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        assert to_its_end(forks.begin(command("echo", "yes"))) == "yes\n"
    assert logged == [ITSELF]
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_other_systems_do_without(monkeypatch: pytest.MonkeyPatch, logged: List[str]) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "platform", "darwin")
        forks = ForkServer(logged.append)
    assert to_its_end(forks.begin(command("echo", "yes"))) == "yes\n"
    assert forks._server is None and logged == []


@pytest.mark.parametrize("words, cwd, says", [
    (["/nowhere/at/all"], "/", "cannot start script with /nowhere/at/all: No such file or directory"),
    (["nowhere-at-all"], "/", "cannot start script with nowhere-at-all: No such file or directory"),
    (["/etc/passwd"], "/", "cannot start script with /etc/passwd: Permission denied"),
    (["true"], "/nowhere", "cannot start script in /nowhere: No such file or directory; jobs run in the"),
    (["true", "x" * 4_000_000], "/", "too large for a command line"),
    (["true", "a\0b"], "/", "cannot start script: embedded null byte in a parameter or variable"),
    (["true"], "/a\0b", "cannot start script: embedded null byte in a parameter or variable"),
    (["true", "\ud800"], "/", "a parameter has a character that the encoding utf-8 cannot carry"),
])
def test_what_cannot_start_is_told_the_same_way_with_a_server_and_without(
        forks: ForkServer, words: List[str], cwd: str, says: str) -> None:
    said = []
    for begin in (forks.begin, spawning.spawn):
        with pytest.raises(StartFailure) as caught:
            begin(Command(Path("script"), words, dict(os.environ), Path(cwd)))
        said.append(str(caught.value))
    assert says in said[0] and said[0] == said[1]
    assert orphans.children() == set()


def test_where_no_server_can_be_started_it_says_why(forks: ForkServer,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fork(*_: Any, **__: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", no_fork)
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StartFailure, match="cannot start script with true: Resource temporarily unavailable"):
        forks.begin(command("true"))
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("has, has_not", [
    (b"0x8000", b"0x10000"),  # CLONE_THREAD, which takes more than that
    (b".makecontext", b".no_makecontext"),
    (b'"memset"', b'"labs"'),  # the calls of a child do not do what they are to
], ids=["no such fork", "no contexts", "no such calls"])
def test_where_the_system_cannot_do_it_the_worker_starts_its_scripts_itself(
        forks: ForkServer, logged: List[str], has: bytes, has_not: bytes) -> None:
    assert has in forks._source
    forks._source = forks._source.replace(has, has_not)
    for _ in range(2):
        assert to_its_end(forks.begin(command("echo", "yes"))) == "yes\n"
    assert logged == [ITSELF] and forks._server is None


def test_where_it_cannot_fork_it_says_why(forks: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    to_its_end(forks.begin(command("true")))
    assert forks._server is not None
    monkeypatch.setattr(forks._server, "answer",
                        lambda message, output: (-1, forkserver.FORKING, errno.EAGAIN))
    with pytest.raises(StartFailure, match="cannot start script with true: Resource temporarily unavailable"):
        forks.begin(command("true"))


def test_what_a_server_had_begun_that_was_killed_over_it_is_ended(
        forks: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    to_its_end(forks.begin(command("true")))
    server = forks._server
    assert server is not None
    answer = server.answer

    def unheard(message: bytes, output: int) -> None:
        answer(message, output)

    monkeypatch.setattr(server, "answer", unheard)
    with pytest.raises(StartFailure):
        jobprocess.start(Assignment(1, {}), command("sleep", "600"), print, print, lambda: 0, 0.0,
                         begin=forks.begin)
    wait_until(lambda: not any(map(is_running, orphans.children())))
    orphans.reap_strangers(set())


def test_how_the_script_ended_is_known_as_of_any_child(forks: ForkServer) -> None:
    begun = forks.begin(command("sh", "-c", "kill -TERM $$"))
    os.close(begun.output)
    wait_until(begun.child.has_ended)
    end = begun.child.reap()
    assert isinstance(end, End) and end.exit_code == -signal.SIGTERM and end.peak_memory
