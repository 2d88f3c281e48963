"""Whose server answers: what a client says of the experiment, and what it hears."""

import pickle
import socket
import threading
from pathlib import Path
from typing import List, Optional, Type

import pytest

import jd
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.net.client import Client, OtherExperiment
from jd.net.finding import probe
from jd.net.finding.probe import Answerer, WrongPort
from tests.net_client.test_client import closed_port
from tests.script.stub_server import Answer, StubServer

TOKEN = "a-token-nobody-may-see"
HEALTH = {"status": "ok", "expId": "exp", "version": jd.__version__}
OTHER = Answer(409, {"success": False, "error": "another one", "experiment": "other"})
HTML = {"Content-Type": "text/html"}


def test_the_experiment_goes_with_every_call(stub: StubServer, tmp_path: Path) -> None:
    stub.otherwise = Answer(200, {})
    client = Client(stub.url, experiment="exp")
    client.call("GET", "/job_counts")
    (tmp_path / "f").write_text("x")
    client.upload("/upload", {}, "file", tmp_path / "f", "f", 1)
    with open(str(tmp_path / "g"), "wb") as file:
        client.download("/checkpoint/latest", None, file, 100)
    client.anonymous().call("GET", "/healthz")
    Client(stub.url).call("GET", "/job_counts")
    assert [asked.headers.get("X-JD-Experiment") for asked in stub.asked] == ["exp"] * 3 + [None] * 2


def test_the_server_of_another_experiment_is_no_server(stub: StubServer) -> None:
    stub.will_answer(OTHER)
    with pytest.raises(OtherExperiment) as caught:
        Client(stub.url, experiment="exp").call("GET", "/job_counts")
    assert isinstance(caught.value, ServerUnreachable) and caught.value.serves == "other"
    assert "%s serves experiment other, not exp; check expId=" % stub.url in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), again.serves) == (OtherExperiment, str(caught.value), "other")


@pytest.mark.parametrize("experiment, answer", [
    (None, OTHER), ("other", OTHER), ("exp", Answer(409, {"error": "taken"})),
    ("exp", Answer(400, {"error": "x", "experiment": "other"})), ("exp", Answer(409, {"experiment": 5}))])
def test_any_other_conflict_is_a_refusal(stub: StubServer, experiment: Optional[str], answer: Answer) -> None:
    stub.will_answer(answer)
    with pytest.raises(ServerRefused):
        Client(stub.url, experiment=experiment).call("GET", "/job_counts")


@pytest.mark.parametrize("answer, found", [
    (Answer(200, HEALTH), Answerer("job server", "exp", jd.__version__)),
    (Answer(200, dict(HEALTH, role="api", expId="a\nb")), Answerer("job server", "a?b", jd.__version__)),
    (Answer(200, dict(HEALTH, role="dashboard", api_port=5000)),
     Answerer("dashboard", "exp", jd.__version__, 5000)),
    (Answer(200, dict(HEALTH, role="dashboard", api_port="x")), Answerer("dashboard", "exp", jd.__version__)),
    (Answer(200, {"service": "jd_hub", "version": "1"}), Answerer("Hub", None, "1")),
    (Answer(200, {"name": "es01"}), Answerer("untold")), (Answer(404, {"error": "?"}), Answerer("untold")),
    (Answer(401, {"error": "?"}), Answerer("untold")), (Answer(404, b"<html>"), Answerer("mute"))])
def test_who_answers(stub: StubServer, answer: Answer, found: Answerer) -> None:
    stub.will_answer(answer)
    assert probe.ask(Client(stub.url, lambda: TOKEN, experiment="exp")) == found
    assert stub.asked[0].target == "/healthz" and "Authorization" not in stub.asked[0].headers


@pytest.mark.parametrize("answer, kind", [
    (Answer(503, b"<html>"), ServerUnreachable), (Answer(502, {"error": "?"}), ServerUnreachable),
    (Answer(429, b""), ServerUnreachable), (Answer(hang_up=True), ServerUnreachable),
    (Answer(200, b"<html>", HTML), WrongPort), (Answer(200, [1]), WrongPort), (Answer(302, b""), WrongPort),
    (Answer(403, b"<html>", HTML), WrongPort), (Answer(400, b"what?"), WrongPort)])
def test_nobody_or_somebody_else(stub: StubServer, answer: Answer, kind: Type[JdError]) -> None:
    stub.will_answer(answer)
    with pytest.raises(kind):
        probe.ask(Client(stub.url))


def checked(stub: StubServer, *answers: Answer) -> Optional[JdError]:
    stub.will_answer(*answers)
    try:
        probe.check(Client(stub.url, lambda: TOKEN, experiment="exp"), "exp")
        return None
    except JdError as error:
        return error


NO_ROUTE = Answer(404, {"error": "no such route"})
COUNTS = Answer(200, {"PENDING": 3, "DONE": 0})


@pytest.mark.parametrize("answers", [
    [Answer(200, HEALTH)], [Answer(503, b"")], [NO_ROUTE, COUNTS],  # a server of the base protocol
    [NO_ROUTE, Answer(401, {"error": "token"})], [NO_ROUTE, Answer(503, b"")],
    [Answer(404, b"<html>"), COUNTS], [Answer(404, b"<html>"), Answer(401, {"error": "token"})]])
def test_these_may_be_ours(stub: StubServer, answers: List[Answer]) -> None:
    assert checked(stub, *answers) is None
    assert len(stub.asked) == len(answers)


@pytest.mark.parametrize("answers, words", [
    ([Answer(200, dict(HEALTH, expId="other"))], "serves experiment other, not exp"),
    ([NO_ROUTE, OTHER], "serves experiment other, not exp"),
    ([NO_ROUTE, Answer(200, {"total": 3})], "is no job server"), ([NO_ROUTE, NO_ROUTE], "no job server"),
    ([Answer(404, b"<html>"), Answer(404, b"<html>")], "no job server"),
    ([Answer(404, b"<html>"), Answer(401, b"<html>")], "no job server"),
    ([NO_ROUTE, Answer(200, b"<html>", HTML)], "not JSON")])
def test_these_are_not(stub: StubServer, answers: List[Answer], words: str) -> None:
    error = checked(stub, *answers)
    assert isinstance(error, (WrongPort, OtherExperiment)) and words in str(error) and stub.url in str(error)
    assert error.exit_status == 1


def test_a_token_goes_to_no_stranger(stub: StubServer) -> None:
    checked(stub, Answer(404, b"<html>"), COUNTS)
    checked(stub, Answer(403, b"<html>"))
    assert not any("Authorization" in asked.headers for asked in stub.asked)
    checked(stub, NO_ROUTE, COUNTS)
    assert [asked.headers.get("Authorization") for asked in stub.asked][-2:] == [None, "Bearer " + TOKEN]


def test_a_closed_port_is_waited_for() -> None:
    probe.check(Client("http://127.0.0.1:%d" % closed_port()), "exp")


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9.6\r\n", b"-ERR what\r\n",
                                    b"\x15\x03\x03\x00\x02\x02\x28"])
def test_what_does_not_speak_http(monkeypatch: pytest.MonkeyPatch, banner: bytes) -> None:
    # It answers once: when it is asked whether it speaks TLS, it is silent.
    monkeypatch.setattr("jd.net.outbound.HELLO_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(banner)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(WrongPort, match="does not speak HTTP"):
            probe.check(Client("http://127.0.0.1:%d" % listener.getsockname()[1], timeout=60), "exp")
        thread.join(60)
