"""Several workers under one parent; the workers themselves are stand-ins."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from tests.support import free_env, python, wait_until

STAND_IN = """
import os, signal, sys, time
from pathlib import Path
from jd.errors import UsageError
from jd.worker.launch import foreground
from jd.worker.config import WorkerConfig
from jd.worker.launch.signals import Signals

def stand_in(config, worker_id, slot, ward):
    with Signals() as signals:
        note = "%s %d %d %d\\n" % (worker_id, slot, config.process_id, os.getpid())
        os.write(1, note.encode())
        return BEHAVIOUR(slot, signals)

def until_stopped(slot, signals):
    import select
    while signals.stop is None and signals.drain is None:
        select.select([signals], [], [])
        signals.drain_pipe()
    os.write(1, ("%s %s\\n" % (signals.stop, signals.drain)).encode())
    return 0

def give_status(slot, signals):
    if slot == 2:
        raise UsageError("slot 2 cannot")
    if slot == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return slot

BEHAVIOUR = globals()[sys.argv[1]]
config = WorkerConfig("e", Path("x.py"), "http://s", process_id=7, num_workers=int(sys.argv[2]))
sys.exit(foreground.launch(config, stand_in))
"""


Launch = Callable[[str, int], "subprocess.Popen[bytes]"]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start a launcher of so many stand-ins; whatever a failed test leaves of it is killed."""
    started: List["subprocess.Popen[bytes]"] = []
    script = tmp_path / "launch.py"
    script.write_text(STAND_IN)

    def start(behaviour: str, number: int) -> "subprocess.Popen[bytes]":
        started.append(subprocess.Popen(
            python(script, behaviour, number), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=free_env(tmp_path), cwd=str(tmp_path), start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def notes(process: "subprocess.Popen[bytes]", number: int) -> List[List[str]]:
    assert process.stdout is not None
    return sorted((process.stdout.readline().decode().split() for _ in range(number)),
                  key=lambda words: int(words[1]))


def test_one_worker_is_the_process_itself(launch: Launch) -> None:
    process = launch("give_status", 1)
    (worker_id, slot, process_id, pid), = notes(process, 1)
    process.communicate(timeout=60)
    assert (slot, process_id, int(pid), process.returncode) == ("0", "7", process.pid, 0)
    assert worker_id.endswith("_0")


def test_slots_share_one_instance(launch: Launch) -> None:
    process = launch("until_stopped", 3)
    workers = notes(process, 3)
    assert [words[1:3] for words in workers] == [["0", "0"], ["1", "1"], ["2", "2"]]
    assert len({words[0].rpartition("_")[0] for words in workers}) == 1
    assert [words[0].rpartition("_")[2] for words in workers] == ["0", "1", "2"]
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert output.split(b"\n")[:-1] == [b"SIGTERM None"] * 3
    assert process.returncode == 0


def test_the_same_signal_again_does_not_kill_a_process_that_is_about_to_end(tmp_path: Path) -> None:
    code = ("import os, signal, sys\nfrom jd.worker.launch.signals import Signals\n"
            "with Signals() as signals:\n    os.kill(os.getpid(), signal.SIGTERM)\n"
            "assert signals.stop == 'SIGTERM'\nos.kill(os.getpid(), signal.SIGTERM)\nsys.exit(7)\n")
    done = subprocess.run(python("-c", code), env=free_env(tmp_path), check=False, timeout=60)
    assert done.returncode == 7


@pytest.mark.parametrize("number, told", [
    (signal.SIGTERM, b"SIGTERM None"), (signal.SIGINT, b"SIGINT None"), (signal.SIGHUP, b"SIGHUP None"),
    (signal.SIGUSR2, b"None SIGUSR2")])
def test_signals_are_passed_on(launch: Launch, number: int, told: bytes) -> None:
    process = launch("until_stopped", 2)
    notes(process, 2)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert output.split(b"\n")[:-1] == [told] * 2
    assert process.returncode == 0


def test_the_worst_status_counts(launch: Launch) -> None:
    process = launch("give_status", 4)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + 9
    assert b"error: slot 2 cannot" in errors
    assert b"worker 3 was killed by SIGKILL" in errors
    other = launch("give_status", 3)
    other.communicate(timeout=60)
    assert other.returncode == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs PR_SET_PDEATHSIG")
def test_workers_end_with_their_parent(launch: Launch) -> None:
    process = launch("until_stopped", 2)
    pids = [int(words[3]) for words in notes(process, 2)]
    process.kill()
    output, _ = process.communicate(timeout=60)  # both have closed the pipe by then
    assert output.split(b"\n")[:-1] == [b"SIGTERM None"] * 2

    def gone() -> Any:
        return not any(os.path.exists("/proc/%d/cmdline" % pid)
                       and Path("/proc/%d/cmdline" % pid).read_bytes() for pid in pids)
    wait_until(gone)
