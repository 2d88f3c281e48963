"""`threads=` and `memory=`: what each job gets of its machine, and what is said of it."""

import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from jd import protocol, settingvalues
from jd.node import cpus
from jd.node.cgroups import Groups
from jd.worker.attempt.calling import threads
from jd.worker.attempt.calling.threads import VARIABLES
from jd.worker.attempt.process import memory
from jd.worker.verdict import Ended
from tests.support import free_env, python
from tests.worker.fake_server import FakeServer

GIB = 1024 ** 3
enforced = pytest.mark.skipif(not memory.can_be_limited(), reason="the system does not keep to such a limit")


@pytest.mark.parametrize("count, workers, each", [
    (8.0, 2, "4"), (8.0, 3, "2"), (2.0, 4, "1"), (0.5, 1, "1"), (3.5, 1, "3")])
def test_the_cpus_are_divided_among_the_workers(count: float, workers: int, each: str) -> None:
    share = threads.share("", workers, count, {})
    assert share.variables == dict.fromkeys(VARIABLES, each)
    assert "threads: %s for each job" % each in share.told and "threads=N or inherit" in share.told


@pytest.mark.parametrize("environ, names", [
    ({"OMP_NUM_THREADS": "3"}, []),  # the others read that one
    ({"MKL_NUM_THREADS": "3"}, [VARIABLES[0], VARIABLES[2], VARIABLES[3]]),
    ({"NUMEXPR_MAX_THREADS": "1"}, list(VARIABLES[:3])),
    ({"OMP_NUM_THREADS": " "}, list(VARIABLES))])
def test_what_the_environment_says_is_left(environ: Dict[str, str], names: List[str]) -> None:
    assert threads.share("", 2, 8.0, environ).variables == dict.fromkeys(names, "4")


def test_a_number_wins_and_inherit_sets_nothing() -> None:
    assert threads.share("2", 4, 8.0, {"OMP_NUM_THREADS": "3"}).variables == dict.fromkeys(VARIABLES, "2")
    assert threads.share("inherit", 4, 8.0, {}).variables == {}


def test_what_may_be_used_is_the_least_of_mask_and_quota(tmp_path: Path) -> None:
    assert cpus.usable(Groups(tmp_path), {0, 1, 5}) == 3.0
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "proc/self/mountinfo").write_text("1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    (group / "cpu.max").write_text("150000 100000\n")
    (group / "cpuset.cpus.effective").write_text("0-1\n")
    assert cpus.usable(Groups(tmp_path), {0, 1, 5}) == 1.5
    assert cpus.allowed(Groups(tmp_path), {0, 1, 5}) == {0, 1}


@pytest.mark.parametrize("text, expected", [
    ("4G", 4 * GIB), ("500M", 500 * 1024 ** 2), ("1.5g", 3 * GIB // 2), ("2GiB", 2 * GIB),
    ("1TB", 1024 * GIB), ("1073741824", GIB), ("1 G", GIB), ("4", None), ("G", None), ("-4G", None),
    ("4X", None), ("1e9", None), ("nan", None), ("9" * 50, None), ("", None)])
def test_sizes(text: str, expected: Optional[int]) -> None:
    parse = settingvalues.size(64 * 1024 ** 2, 2 ** 62)
    if expected is None:
        with pytest.raises(ValueError, match="such as 500M, 4G"):
            parse(text)
    else:
        assert parse(text) == expected and parse(memory.shown(expected)) == expected


@pytest.mark.parametrize("tail, exit_code, expected", [
    ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8 GiB", 1, "got no more memory"),
    ("terminate called after throwing an instance of 'std::bad_alloc'", -6, "got no more memory"),
    ("Error: cannot allocate vector of size 7.5 Gb", 1, "got no more memory"),
    ("", -11, "a program that gets no more memory may end so"), ("ValueError", 1, None), ("", -9, None)])
@enforced
def test_what_the_limit_may_explain(tail: str, exit_code: int, expected: Optional[str]) -> None:
    found = memory.why_failed(4 * GIB, Ended(exit_code, 1.0, tail))
    assert (found is None) if expected is None else (found is not None and expected in found)
    assert found is None or "memory=4G" in found
    assert memory.why_failed(None, Ended(exit_code, 1.0, tail)) is None


@enforced
def test_the_limit_holds_for_what_the_script_starts_and_cannot_be_raised() -> None:
    source = ("import resource, subprocess, sys\n"
              "code = 'import resource; print(resource.getrlimit(resource.RLIMIT_AS))'\n"
              "subprocess.run([sys.executable, '-c', code])")
    done = subprocess.run(python("-c", source), stdout=subprocess.PIPE, preexec_fn=memory.limiter(GIB),
                          check=True)
    assert done.stdout.decode() == "(%d, %d)\n" % (GIB, GIB)


# ---- of a launch

SCRIPT = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("--mb", type=int, default=1)
args = parser.parse_args()
held = bytearray(args.mb * 1024 * 1024)
print([os.environ.get(name) for name in %r])
""" % (VARIABLES,)


def launched(tmp_path: Path, *words: str, environ: Optional[Dict[str, Any]] = None, **parameters: Any) -> Any:
    """The result of a job of one worker, and its log."""
    (tmp_path / "train.py").write_text(SCRIPT)
    with FakeServer(protocol.EXTENSIONS) as server:
        server.add(5, **parameters)
        done = subprocess.run(
            python("-m", "jd.cli", "expId=digits", "entry_script=train.py", "server=" + server.url,
                   "foreground=true", "once=true", *words),
            cwd=str(tmp_path), env=free_env(tmp_path, **(environ or {})), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=60, check=False)
        results = server.finished() + server.reports()
    assert results, done.stdout.decode()
    return results[0], done.stdout.decode()


@pytest.mark.parametrize("words, environ, expected", [
    ([], {}, str(max(1, int(cpus.usable(Groups()))))), (["threads=3"], {"OMP_NUM_THREADS": "7"}, "3"),
    ([], {"JD_THREADS": "inherit"}, None)])
def test_a_job_is_told_its_threads(tmp_path: Path, words: List[str], environ: Dict[str, str],
                                   expected: Optional[str]) -> None:
    result, log = launched(tmp_path, *words, environ=environ)
    assert result["output_tail"] == "%r\n" % ([expected] * len(VARIABLES),)
    assert log.count("threads: ") == 1


@enforced
def test_a_job_that_wants_more_memory_fails_and_its_history_says_the_limit(tmp_path: Path) -> None:
    result, log = launched(tmp_path, "memory=1G", mb=2000)
    assert result["status"] == "ABORTED"
    line, why = result["message"].splitlines()[:2]
    assert line == "exit status 1"
    assert why == "it got no more memory: each of its processes may have 1G (memory=1G of its worker)"
    assert "MemoryError" in result["output_tail"]
    assert "memory: at most 1G for each process of a job (memory=1G)" in log and "job 5: " + why in log


@enforced
def test_a_job_within_its_limit_is_done(tmp_path: Path) -> None:
    result, _ = launched(tmp_path, environ={"JD_MEMORY": "2G"}, mb=100)
    assert result["status"] == "DONE", result


@enforced
def test_gpus_and_a_limit_do_not_go_together() -> None:
    assert "they may not start" in memory.told(GIB, True) and "may not" not in memory.told(GIB, False)
