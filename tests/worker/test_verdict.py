"""How the end of a process becomes a result."""

import pytest

from jd.messages import Assignment, Result
from jd.worker import verdict
from jd.worker.verdict import Ended

JOB = Assignment(5, {"lr": 1}, 2)


@pytest.mark.parametrize("exit_code, oom, status, word, line", [
    (0, False, "DONE", "done", ""),
    (0, True, "DONE", "done", ""),
    (3, False, "ABORTED", "failed", "exit status 3"),
    (-11, False, "ABORTED", "killed", "killed by SIGSEGV"),
    (-9, False, "ABORTED", "killed", "killed by SIGKILL"),
    (-9, True, "ABORTED", "oom", "killed by SIGKILL: out of memory"),
    (-40, False, "ABORTED", "killed", "killed by signal 40"),
    (1, True, "ABORTED", "failed",
     "exit status 1 (the kernel killed a process for lack of memory while it ran)"),
])
def test_verdicts(exit_code: int, oom: bool, status: str, word: str, line: str) -> None:
    result = verdict.judge(JOB, Ended(exit_code, 1.23456, "", oom))
    assert (result.status, result.verdict, result.message) == (status, word, line)
    assert (result.job_id, result.attempt, result.exit_code, result.runtime) == (5, 2, exit_code, 1.235)
    assert Result.from_json(result.to_json()) == result  # the server accepts it


def test_a_failure_shows_its_last_lines() -> None:
    tail = "".join("line %d\n" % number for number in range(100))
    message = verdict.judge(JOB, Ended(1, 1.0, tail)).message
    assert message.splitlines() == ["exit status 1"] + ["line %d" % n for n in range(80, 100)]


def test_the_note_about_its_files_comes_before_the_output() -> None:
    assert verdict.judge(JOB, Ended(0, 1.0, "out", note="collected 1 file")).message == "collected 1 file"
    failed = verdict.judge(JOB, Ended(3, 1.0, "out\n", note="collected 1 file")).message
    assert failed == "exit status 3\ncollected 1 file\nout"
    given_back = verdict.given_back(JOB, "stopped", "checkpoint saved").message
    assert given_back == "stopped; checkpoint saved"
    for size in (100, 3000):
        assert len(verdict.judge(JOB, Ended(3, 1.0, "x" * 4096, note="n" * size)).message) <= 2000


def test_a_message_is_bounded() -> None:
    message = verdict.judge(JOB, Ended(1, 1.0, "x" * 4096 + "END\n")).message
    assert len(message) == 2000
    assert message.startswith("exit status 1\n") and message.endswith("END")


@pytest.mark.parametrize("result", [
    verdict.never_started(JOB, "no " * 5000), verdict.given_back(JOB, "stopped")])
def test_results_without_a_process_are_accepted(result: Result) -> None:
    assert Result.from_json(result.to_json()) == result
    assert len(result.message) <= 2000
