"""The look at the server before a launch, where nobody names one."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List, Optional

import pytest

from jd.cli.commands.run import configuration
from jd.cli.launching.starting import announce
from jd.errors import JdError, ServerUnreachable
from jd.net.client import Client, OtherExperiment
from jd.net.finding import accessfile, probe, published
from jd.net.finding.accessfile import Place, Seat
from jd.net.finding.probe import WrongPort
from jd.net.peer.portowner import ForeignServer
from jd.worker.config import WorkerConfig
from jd.worker.launch import servercheck
from jd.worker.launch.background import Started
from tests.support import free_env
from tests.worker.uplink.test_published import Clock

DEFAULT = "http://localhost:5000"
URL = "http://127.0.0.1:4999"
OURS = Place("exp", "id", (URL,), "head", Seat.own(), "the-token-of-the-access-file")


@pytest.fixture
def launch(tmp_path: Path) -> WorkerConfig:
    script = tmp_path / "train.py"
    script.write_text("")
    return configuration({"expId": "exp", "entry_script": str(script)}, free_env(tmp_path))


def answers(monkeypatch: pytest.MonkeyPatch, **by_url: JdError) -> List[str]:
    """What `look` finds at a URL is an error, or nothing wrong; gives the URLs that were looked at."""
    looked: List[str] = []

    def look(config: WorkerConfig) -> None:
        looked.append(config.server)
        if config.server == DEFAULT and "default" in by_url:
            raise by_url["default"]
        if config.server == URL and "file" in by_url:
            raise by_url["file"]

    monkeypatch.setattr(servercheck, "check", look)
    return looked


def written(launch: WorkerConfig, **changes: Any) -> Callable[[], None]:
    return lambda: accessfile.write(Path(str(launch.server_file)), OURS.but(**changes))


OTHER = OtherExperiment("%s serves experiment a, not exp" % DEFAULT, "check expId= and server=", serves="a")
FOREIGN = ForeignServer("port 5000 of this machine is held by bob, not by you, eve: a token that is sent "
                        "there would go to that user", "give the port of your own server")


@pytest.mark.parametrize("error", [OTHER, FOREIGN, WrongPort("%s is no job server" % DEFAULT)])
def test_the_file_of_a_server_that_is_just_starting_is_waited_for(
        launch: WorkerConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        error: JdError) -> None:
    looked = answers(monkeypatch, default=error)
    clock = Clock(*[lambda: None] * 9, written(launch))
    config = servercheck.checked(launch, 15.0, clock, clock.sleep)
    assert config.server == URL and looked == [DEFAULT, URL]
    assert capsys.readouterr().err == "waiting up to 15s for %s, which the server of exp writes when it " \
                                      "is ready\n" % launch.server_file


def test_a_usual_start_is_no_news(launch: WorkerConfig, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    answers(monkeypatch, default=OTHER)
    clock = Clock(lambda: None, written(launch))
    assert servercheck.checked(launch, 15.0, clock, clock.sleep).server == URL
    assert capsys.readouterr().err == ""


def test_none_comes(launch: WorkerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = answers(monkeypatch, default=OTHER)
    clock = Clock()
    with pytest.raises(JdError) as refused:
        servercheck.checked(launch, 15.0, clock, clock.sleep)
    assert str(refused.value) == (
        "nothing names a server of experiment exp, and there is no access file %s: is its server running "
        "(jd_server --expId exp)? %s serves experiment a, not exp" % (launch.server_file, DEFAULT))
    assert looked == [DEFAULT] and 15.0 <= clock.now < 16.0


def test_the_file_of_a_server_that_was_killed_may_be_replaced(
        launch: WorkerConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers(monkeypatch)
    written(launch, seat=Seat.own()._replace(started="0"))()
    clock = Clock(lambda: None, written(launch))
    assert servercheck.checked(launch, 15.0, clock, clock.sleep).server == URL
    written(launch, seat=Seat.own()._replace(started="0"))()
    clock.now = 0.0
    with pytest.raises(published.Stale, match="start it again: jd_server --expId exp"):
        servercheck.checked(launch, 15.0, clock, clock.sleep)
    assert clock.now < 4.0 and capsys.readouterr().err == ""


def test_somebody_else_at_the_address_in_the_file(launch: WorkerConfig,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, file=OtherExperiment(
        "%s serves experiment a, not exp" % URL, "check expId=", serves="a"))
    written(launch)()
    clock = Clock()
    with pytest.raises(JdError) as refused:
        servercheck.checked(launch, 15.0, clock, clock.sleep)
    assert str(refused.value).startswith("%s serves experiment a, not exp; %s names pid" % (
        URL, launch.server_file))


def test_who_names_a_server_is_told_at_once(launch: WorkerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, default=OTHER)
    clock = Clock()
    with pytest.raises(OtherExperiment, match="check expId= and server="):
        servercheck.checked(replace(launch, found=False, server_file=None), 15.0, clock, clock.sleep)
    assert clock.now == 0.0


def away(*answers: Optional[JdError]) -> Callable[[object], None]:
    """What is asked at a URL ends with each of these in turn, the last one for ever."""
    left = list(answers)

    def ask(_client: object) -> None:
        error = left.pop(0) if len(left) > 1 else left[0]
        if error is not None:
            raise error

    return ask


AWAY = ServerUnreachable("no answer from %s: the connection was refused" % URL, "check that the server runs")


def test_a_server_that_is_just_starting_is_waited_for(
        launch: WorkerConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(probe, "ask", away(*[AWAY] * 8, None))
    clock = Clock()
    servercheck.wait_for_answer(replace(launch, server=URL, found=False), 10.0, clock, clock.sleep)
    assert 1.0 < clock.now < 2.0
    assert capsys.readouterr().err == "waiting up to 10s for an answer of %s\n" % URL


@pytest.mark.parametrize("found", [False, True])
def test_a_launch_in_the_background_needs_an_answer(launch: WorkerConfig, monkeypatch: pytest.MonkeyPatch,
                                                    found: bool) -> None:
    monkeypatch.setattr(probe, "ask", away(AWAY))
    clock = Clock()
    with pytest.raises(ServerUnreachable) as refused:
        servercheck.wait_for_answer(replace(launch, server=URL, found=found), 10.0, clock, clock.sleep)
    told = str(refused.value)
    assert told.startswith(AWAY.what) and told.endswith("with foreground=true they wait for a server")
    assert ("nothing names a server of experiment exp" in told) is found and 10.0 <= clock.now < 11.0


def test_a_server_that_comes_at_another_port_is_found_meanwhile(launch: WorkerConfig,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    looked = answers(monkeypatch)

    def ask(client: Client) -> None:
        if client.shown == DEFAULT:
            raise AWAY
    monkeypatch.setattr(probe, "ask", ask)
    clock = Clock(*[lambda: None] * 4, written(launch))
    config = servercheck.wait_for_answer(servercheck.checked(launch), 10.0, clock, clock.sleep)
    assert config.server == URL and looked == [DEFAULT, URL] and clock.now < 2.0


def test_without_a_home_there_is_nothing_to_wait_for(
        launch: WorkerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, default=OTHER)
    clock = Clock()
    with pytest.raises(JdError, match="no home directory"):
        servercheck.checked(replace(launch, server_file=None, environ={}), 15.0, clock, clock.sleep)
    assert clock.now == 0.0


def test_a_launch_that_nobody_answers_says_that_nothing_names_a_server(
        launch: WorkerConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    answers(monkeypatch)
    config = servercheck.checked(launch)
    assert config.server == DEFAULT
    assert announce(config, [Started("w_x_0", 1, tmp_path / "log", False, None)]) == 0
    assert capsys.readouterr().err == (
        "note: http://localhost:5000 has not answered yet; the worker goes on trying; nothing names a server "
        "of experiment exp, and there is no access file %s: for a server on another machine give "
        "server=@FILE, a copy of its access file\n" % launch.server_file)
    assert config.reached.hint == config.unnamed != ""
    written(launch)()
    assert servercheck.checked(launch).unnamed == ""
