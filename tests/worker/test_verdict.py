"""How the end of a process becomes a result."""

import pytest

from jd.messages import Assignment, Result
from jd.worker import verdict
from jd.worker.limits import JobTimeout
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
    (137, True, "ABORTED", "oom", "exit status 137, as of a program killed by SIGKILL: out of memory"),
    (137, False, "ABORTED", "failed", "exit status 137"),
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
    given_back = verdict.given_back(JOB, "stopped", Ended(0, 1.0, note="checkpoint saved")).message
    assert given_back == "stopped; checkpoint saved"
    for size in (100, 3000):
        assert len(verdict.judge(JOB, Ended(3, 1.0, "x" * 4096, note="n" * size)).message) <= 2000


@pytest.mark.parametrize("ended, final", [
    (Ended(2, 4.9), True), (Ended(2, 5.0), False), (Ended(1, 0.1), False), (Ended(-2, 0.1), False),
    (Ended(2, 0.1, has_files=True), False), (Ended(0, 0.1), False)])
def test_a_script_that_refuses_its_arguments_has_failed_for_good(ended: Ended, final: bool) -> None:
    result = verdict.judge(JOB, ended)
    assert result.final is final
    assert result.to_json().get("final") is (True if final else None)
    assert Result.from_json(result.to_json()) == result


def test_a_usage_error_names_the_likely_cause() -> None:
    job = Assignment(5, dict.fromkeys("abcdefghijklm", 1), 2)
    assert verdict.judge(JOB, Ended(2, 0.31, "error: unrecognized arguments: --lr\n")).message == (
        "exit status 2 after 0.31s: a usage error, as it seems, which another try would repeat; "
        "does the script take what it was given, lr?\nerror: unrecognized arguments: --lr")
    assert "given, a, b, c, d, e, f, g, h, i, j …?" in verdict.judge(job, Ended(2, 0.1)).message
    assert verdict.judge(Assignment(5, {}, 2), Ended(2, 0.1)).message.endswith("another try would repeat")


def test_one_that_was_stopped_at_its_limit_is_no_usage_error() -> None:
    assert not verdict.judge(JOB, Ended(2, 1.0), JobTimeout(1.0, "timeout of its sweep")).final


def test_a_message_is_bounded() -> None:
    message = verdict.judge(JOB, Ended(1, 1.0, "x" * 4096 + "END\n")).message
    assert len(message) == 2000
    assert message.startswith("exit status 1\n") and message.endswith("END")


@pytest.mark.parametrize("result", [
    verdict.never_started(JOB, "no " * 5000), verdict.given_back(JOB, "stopped")])
def test_results_without_a_process_are_accepted(result: Result) -> None:
    assert Result.from_json(result.to_json()) == result
    assert len(result.message) <= 2000
