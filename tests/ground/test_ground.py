"""Errors, paths, the terminal and the messages of the protocol."""

import io
import os
import pickle
import pwd
from pathlib import Path
from typing import Callable, Dict, List

import pytest

import jd
from jd import errors, messages, paths, protocol, terminal
from jd.errors import JdError, ServerRefused, UsageError
from jd.protocol import ProtocolError
from tests.users import OTHER

# ---- errors

def fail(error: BaseException) -> Callable[[List[str]], int]:
    def main(argv: List[str]) -> int:
        raise error
    return main


@pytest.mark.parametrize("error, status", [(JdError("it broke"), 1), (UsageError("it broke"), 2)])
def test_an_error_becomes_a_line_and_a_status(capsys: pytest.CaptureFixture[str], error: Exception,
                                              status: int) -> None:
    assert errors.run_command(fail(error), []) == status
    assert capsys.readouterr() == ("", "error: it broke\n")


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_DEBUG", "1")
    with pytest.raises(JdError):
        errors.run_command(fail(JdError("it broke")), [])


def test_interrupted_is_a_failure_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.run_command(fail(KeyboardInterrupt()), []) == 1
    assert capsys.readouterr().err == "interrupted\n"


def test_a_refusal_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(ServerRefused(409, "no longer yours")))
    assert isinstance(copy, ServerRefused) and (copy.status, str(copy)) == (409, "no longer yours")


def test_an_error_says_what_happened_and_what_to_do() -> None:
    error = UsageError("it broke; badly", "do this", "", "or that")
    assert (error.what, error.advice) == ("it broke; badly", "do this; or that")
    assert str(error) == "it broke; badly; do this; or that"
    assert (JdError("it broke").advice, str(JdError("it broke", ""))) == ("", "it broke")


def test_neither_part_of_an_error_repeats_a_key() -> None:
    key = "jd_" + "a1B2" * 10
    error = JdError("the key %s is unknown" % key, "give another than %s" % key)
    assert key not in error.what + error.advice + str(error)


def test_an_error_with_advice_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(ServerRefused(503, "it is away", "start it")))
    assert (copy.status, copy.what, copy.advice, str(copy)) == (503, "it is away", "start it",
                                                                "it is away; start it")
    other = pickle.loads(pickle.dumps(UsageError("no", "yes")))
    assert (other.what, other.advice, str(other)) == ("no", "yes", "no; yes")


# ---- paths

def test_defaults_are_below_the_home_directory() -> None:
    environ = {"HOME": "/home/ann"}
    assert paths.data_root(environ) == Path("/home/ann/jd_data")
    assert paths.job_dir("exp", 4, environ) == Path("/home/ann/jd_data/exp/4")
    assert paths.log_dir("exp", environ) == Path("/home/ann/jd_data/exp/jd_worker_logs")
    assert paths.cache_root(environ) == Path("/home/ann/.jd_cache")
    assert paths.experiment_cache("exp", environ) == Path("/home/ann/.jd_cache/.cache/exp")


def test_variables_move_them() -> None:
    environ = {"JD_WORKSPACE_PATH": "/scratch", "JD_CACHE_PATH": "~/c", "HOME": "/h"}
    assert paths.data_root(environ) == Path("/scratch/jd_data")
    assert paths.cache_root(environ) == Path("/h/c")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}])
def test_an_empty_home_is_none(environ: Dict[str, str]) -> None:
    assert paths.home(environ) == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_no_home_at_all_is_an_error_that_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: OTHER)
    with pytest.raises(UsageError, match="set HOME, or both JD_WORKSPACE_PATH and JD_CACHE_PATH"):
        paths.data_root({})
    assert paths.data_root({"JD_WORKSPACE_PATH": "/w"}) == Path("/w/jd_data")


# ---- terminal

class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("seconds, text", [
    (0.2, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (185, "3m 05s"), (7800, "2h 10m"), (90000, "1d 01h")])
def test_durations(seconds: float, text: str) -> None:
    assert terminal.duration(seconds) == text


def test_colour_is_for_terminals_and_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.paint("x", "bold", io.StringIO()) == "x"
    assert terminal.paint("x", "bold", Terminal()) == "\033[1mx\033[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.paint("x", "bold", Terminal()) == "x"


def test_tables_are_aligned() -> None:
    assert terminal.table(["name", "n"], [["a", "1"], ["long name", "22"]], numeric=(1,)) == [
        "name        n", "a           1", "long name  22"]


@pytest.mark.parametrize("part, total, text", [
    (0, 0, "0 %"), (0, 9, "0 %"), (1, 1000, "< 1 %"), (2, 3, "67 %"), (17, 40, "43 %"), (999, 1000, "99 %"),
    (3, 3, "100 %")])
def test_percentages_are_those_of_the_dashboard(part: int, total: int, text: str) -> None:
    assert terminal.percent(part, total) == text


def test_progress_tells_how_far_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    now = [0.0]
    stream = Terminal()
    with terminal.Progress(10, "jobs", stream, clock=lambda: now[0]) as bar:
        bar.update(0)
        now[0] = 20.0
        bar.update(4)
        assert "40%" in bar.line() and "4/10" in bar.line() and "ETA 30s" in bar.line()
        now[0] = 50.0
        bar.update(10)
    assert stream.getvalue().endswith("\n") and "in 50s" in stream.getvalue()


@pytest.mark.parametrize("width", [80, 60, 48])
def test_what_a_narrow_terminal_cuts_off_is_never_a_figure(
        monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    now = [0.0]
    stream = Terminal()
    bar = terminal.Progress(300_000, "  jobs       creating sweep.jsonl", stream, clock=lambda: now[0])
    bar.update(0)
    now[0] = 10.0
    bar.update(100_000)
    drawn = stream.getvalue().split("\r")[-1]
    assert drawn.startswith("  jobs ") and "]  33%  100000/300000  ETA 20s\033[K" in drawn
    assert len(drawn) - len("\033[K") < width


def test_progress_is_silent_on_a_pipe() -> None:
    stream = io.StringIO()
    with terminal.Progress(10, "jobs", stream) as bar:
        bar.update(5)
    assert stream.getvalue() == ""


# ---- messages

def test_messages_go_there_and_back() -> None:
    beat = messages.Heartbeat(
        "w", "h", "gpu", "busy", 3, 1, {"cpu_util": 1.0}, jd.__version__, session="s", attempt=2,
        finished=messages.Result(3, "DONE", "m", 2, "done", 0, 1.5, "tail"),
        released=messages.Release(4, 1, "r"), output_tail="t", leave=True)
    assert messages.Heartbeat.from_json(beat.to_json()) == beat
    reply = messages.HeartbeatReply("drain", 4, 3, True, 57.0,
                                    messages.Assignment(1, {"a": 1}, 2), ("wait",), "id")
    assert messages.HeartbeatReply.from_json(reply.to_json()) == reply


def test_a_base_heartbeat_has_no_extension_fields() -> None:
    sent = messages.Heartbeat("w").to_json()
    assert set(sent) == {"worker_id", "host", "machine_type", "reported_status", "current_job_id",
                         "applied_version", "system_metrics", "jd_worker_version"}


def test_unknown_fields_are_ignored_and_null_means_absent() -> None:
    reply = messages.HeartbeatReply.from_json({"job": None, "news": 5, "extensions": None})
    assert reply.job is None and reply.extensions == ()


@pytest.mark.parametrize("body", [
    {"desired_state": "sleep"}, {"job": {"parameters": {}}}, {"job": 5},
    {"heartbeat_interval": -1}, {"heartbeat_interval": "x"}, {"pending": 1},
])
def test_wrong_replies_are_told_apart(body: Dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        messages.HeartbeatReply.from_json(body)


@pytest.mark.parametrize("name", ["lr", "_x", "a.b-c_d", "größe", "2d", "x" * 128])
def test_parameter_names_that_can_be_flags(name: str) -> None:
    assert protocol.check_parameter_name(name) == name


def test_a_terminal_that_does_not_know_its_width_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:  # pytest itself asks for the width as soon as the test is over
        patch.delenv("COLUMNS", raising=False)
        patch.setattr(os, "get_terminal_size", lambda: os.terminal_size((0, 0)))
        assert terminal.columns() == 80 and terminal.columns(160) == 160
        patch.setattr(os, "get_terminal_size", lambda: os.terminal_size((100, 24)))
        assert terminal.columns(160) == 100
        for given, columns in (("72", 72), ("0", 100), ("wide", 100), ("9" * 5000, 100)):
            patch.setenv("COLUMNS", given)
            assert terminal.columns(160) == columns
