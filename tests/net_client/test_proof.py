"""A token goes only to a server that has shown that it knows it, where nothing else tells whose it is."""

import socket

import pytest

from jd.errors import ServerRefused, ServerUnreachable
from jd.net.client import Client
from jd.net.connection import Connection
from jd.net.finding.probe import WrongPort, check
from jd.net.peer import proof
from tests.script.stub_server import Answer, StubServer

TOKEN = "a-token-that-both-sides-have"
COUNTS = {"PENDING": 1, "SERVED": 0, "DONE": 0, "ABORTED": 0, "DELETED": 0}


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that does not tell whose server it is, as for one on another machine."""
    monkeypatch.setattr("jd.net.peer.socketowner.server_uid", lambda connected: None)


def told(stub: StubServer) -> str:
    """All that an impostor was told."""
    return "".join("%s %s %s %r" % (asked.method, asked.target, dict(asked.headers), asked.body)
                   for asked in stub.asked)


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("answer", [
    Answer(200, {"status": "ok", "role": "api", "expId": "exp"}), Answer(200, {"proof": "0" * 64}),
    Answer(200, {"proof": 7}), Answer(200, b"<html>"), Answer(404, {"error": "nothing here"}),
    Answer(hang_up=True), Answer(302, {}, {"Location": "/healthz"})],
    ids=["older", "wrong", "number", "page", "404", "hangs up", "redirect"])
def test_an_impostor_does_not_get_it(stub: StubServer, answer: Answer) -> None:
    stub.otherwise = answer
    with pytest.raises(ServerUnreachable):
        Client(stub.url, lambda: TOKEN).call("GET", "/job_counts")
    assert stub.asked and TOKEN not in told(stub)


@pytest.mark.usefixtures("unknown")
def test_a_server_that_says_that_it_has_another_one_does_not_get_it_either(stub: StubServer) -> None:
    stub.otherwise = Answer(200, {"proof": None})
    with pytest.raises(ServerRefused, match="another token than ours, which was not sent") as caught:
        Client(stub.url, lambda: TOKEN).call("GET", "/job_counts")
    assert caught.value.status == 401 and TOKEN not in told(stub)


@pytest.mark.usefixtures("unknown")
def test_what_is_no_connection_of_the_proof_is_not_used(stub: StubServer,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub closes after each answer: a second connection may lead to somebody else."""
    monkeypatch.setattr("jd.net.peer.proof._mac", lambda token, side, nonce: "0" * 64)
    stub.otherwise = Answer(200, {"proof": "0" * 64})
    with pytest.raises(ServerUnreachable):
        Client(stub.url, lambda: TOKEN).call("GET", "/job_counts")
    assert len(stub.asked) == 1 and TOKEN not in told(stub)


@pytest.mark.usefixtures("unknown")
def test_a_launch_says_so(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jd.net.client.is_own_machine", lambda host: False)
    stub.otherwise = Answer(200, {"status": "ok", "role": "api", "expId": "exp", "version": "1"})
    with pytest.raises(WrongPort, match="does not show that it knows the token"):
        check(Client(stub.url, lambda: TOKEN, experiment="exp"), "exp")


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("token", ["jd_" + "x" * 40, "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"], ids=["API key", "JWT"])
def test_what_only_one_side_knows_cannot_be_proven(stub: StubServer, token: str) -> None:
    stub.otherwise = Answer(200, COUNTS)
    assert Client(stub.url, lambda: token).call("GET", "/job_counts") == COUNTS
    assert [asked.target for asked in stub.asked] == ["/job_counts"]


def test_the_kernel_s_word_is_enough(stub: StubServer) -> None:
    stub.otherwise = Answer(200, COUNTS)
    Client(stub.url, lambda: TOKEN).call("GET", "/job_counts")
    assert stub.asked[0].headers["Authorization"] == "Bearer " + TOKEN and len(stub.asked) == 1


def test_a_certificate_is_enough() -> None:
    with socket.socket() as sock:
        connection = Connection(sock)
        assert proof.is_needed(connection)
        connection.secure = True
        assert not proof.is_needed(connection)


def test_a_server_shows_nothing_to_who_does_not_know_it() -> None:
    nonce = "0123456789abcdef" * 2
    assert proof.given({"nonce": nonce, "knows": "0" * 64}, TOKEN, ValueError) == {"proof": None}
    assert proof.given({"nonce": nonce}, TOKEN, ValueError) == {"proof": None}
    assert proof.given({}, TOKEN, ValueError) == {}
    assert proof.given({"nonce": nonce, "knows": "é"}, None, ValueError) == {}
    for bad in ("", "12", nonce.upper(), nonce + "0"):
        with pytest.raises(ValueError, match="32 hexadecimal digits"):
            proof.given({"nonce": bad}, TOKEN, ValueError)
