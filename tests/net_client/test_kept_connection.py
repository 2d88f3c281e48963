"""A client that keeps its connection for the next call."""

import io
import os
import socket
import ssl
import threading
from typing import Iterator, List

import pytest

from jd.errors import ServerRefused, ServerUnreachable
from jd.net import client as client_module
from jd.net.client import Client
from jd.net.clienttls import tls_context
from jd.net.connection import Connection
from tests.net_client.keeper import ANSWER, Keeper
from tests.net_client.test_tls import CERTIFICATE, pem
from tests.script.stub_server import Answer, StubServer

TOKEN = "a-token-nobody-may-see"


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    with Keeper() as server:
        yield server


def connections(keeper: Keeper) -> List[int]:
    return [number for number, _ in keeper.asked]


def test_calls_share_a_connection(keeper: Keeper) -> None:
    keeper.answers = [ANSWER, b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}",
                      b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                      b"HTTP/1.1 204 Nothing\r\n\r\n"]
    client = Client(keeper.url, lambda: TOKEN, experiment="exp", keep=True)
    client.call("GET", "/a")
    with pytest.raises(ServerRefused):
        client.call("POST", "/b", {})
    assert client.call("GET", "/c") == {} and client.call("GET", "/d") is None
    client.upload("/e", {}, "file", io.BytesIO(b"content"), "x", 7)
    client.download("/f", None, io.BytesIO(), 100)
    client.anonymous().call("GET", "/g")
    assert connections(keeper) == [1] * 7
    assert not any("Connection:" in head for head in keeper.heads)
    assert ["Authorization: Bearer " + TOKEN in head for head in keeper.heads] == [True] * 6 + [False]


def test_others_have_one_for_each_call(keeper: Keeper) -> None:
    client = Client(keeper.url)
    client.call("GET", "/a")
    client.call("GET", "/b")
    assert connections(keeper) == [1, 2] and all("Connection: close\r\n" in head for head in keeper.heads)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", ANSWER + b"HTTP/1.1 200 OK\r\n"],
    ids=["close", "1.0", "more than was asked"])
def test_one_that_is_not_to_be_kept(keeper: Keeper, answer: bytes) -> None:
    keeper.answers = [answer]
    client = Client(keeper.url, keep=True)
    client.call("GET", "/a")
    client.call("GET", "/b")
    assert connections(keeper) == [1, 2]


def test_one_that_has_rested_for_long(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(keeper.url, keep=True)
    client.call("GET", "/a")
    monkeypatch.setattr(client_module, "KEPT_SECONDS", 0.0)
    client.call("GET", "/b")
    assert connections(keeper) == [1, 2]


def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server closes a connection just when it is used again."""
    monkeypatch.setattr("jd.net.connection.is_readable", lambda sock: False)


def test_one_that_the_server_has_closed(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    unseen(monkeypatch)
    client = Client(keeper.url, keep=True)
    client.call("GET", "/a")
    keeper.answers = [b""]
    assert client.call("GET", "/b") == {}
    assert keeper.asked == [(1, "GET"), (1, "GET"), (2, "GET")]
    keeper.answers = [b""]
    with pytest.raises(ServerUnreachable, match="closed before the answer was complete"):
        client.call("POST", "/c", {})  # which may have been done
    assert keeper.asked[3:] == [(2, "POST")]


def test_a_call_is_made_again_once(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    unseen(monkeypatch)
    client = Client(keeper.url, keep=True)
    client.call("GET", "/a")
    keeper.answers = [b"", b""]
    with pytest.raises(ServerUnreachable, match="closed before the answer was complete"):
        client.call("GET", "/b")
    assert len(keeper.asked) == 3


def test_half_an_answer_is_no_reason_to_ask_again(keeper: Keeper) -> None:
    client = Client(keeper.url, keep=True)
    client.call("GET", "/a")
    keeper.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX"]
    with pytest.raises(ServerUnreachable, match="timed out"):
        client.call("GET", "/b", timeout=0.05)
    assert len(keeper.asked) == 2


def test_a_proof_is_asked_for_once(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    demanded = []
    monkeypatch.setattr("jd.net.peer.proof.is_needed", lambda connection: True)
    monkeypatch.setattr("jd.net.peer.proof.demand", lambda connection, token, *_: demanded.append(token))
    tokens = iter(["one", "one", "two"])
    client = Client(keeper.url, lambda: next(tokens), keep=True)
    client.anonymous().call("GET", "/a")
    for _ in range(3):
        client.call("GET", "/b")
    assert demanded == ["one", "two"] and connections(keeper) == [1] * 4


def test_threads_do_not_share_one(keeper: Keeper) -> None:
    client = Client(keeper.url, keep=True)
    client.call("GET", "/a")
    client.call("GET", "/outer", met=lambda _: client.call("GET", "/inner"))
    assert connections(keeper) == [1, 2, 1]
    client.call("GET", "/last")
    assert connections(keeper) == [1, 2, 1, 2]


def test_a_forked_process_has_one_of_its_own(keeper: Keeper) -> None:
    client = Client(keeper.url, keep=True)
    client.call("GET", "/a")
    client._kept[0]._process = os.getpid() + 1  # as a child finds it
    client.call("GET", "/b")
    assert connections(keeper) == [1, 2]


def test_after_an_upload_that_was_refused_half_way(stub: StubServer) -> None:
    stub.will_answer(Answer(413, {"error": "too large"}, {"Connection": "keep-alive"}, early=True))
    client = Client(stub.url, keep=True)
    size = 60 * 1024 * 1024
    with pytest.raises(ServerRefused, match="413"):
        client.upload("/upload", {}, "file", io.BytesIO(bytes(size)), "x", size)
    assert client._kept == []


def test_one_whose_server_says_more_in_a_record_of_tls_is_not_kept() -> None:
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def serve() -> None:
        with context.wrap_socket(theirs, server_side=True) as server:
            server.recv(1000)
            server.sendall(ANSWER[:-2])
            server.sendall(b"{}" + ANSWER)
            server.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    connection = Connection(ours)
    try:
        connection.secured(tls_context(pem()), "localhost")
        connection.send_head("GET", "/", {})
        answer = connection.answer("GET")
        assert answer.read(100) == b"{}" and answer.ended
        connection.rest()
        assert not connection.is_usable(60.0)
    finally:
        connection.close()
        thread.join(60)


def test_tls() -> None:
    with StubServer(CERTIFICATE) as stub:
        client = Client(stub.url, lambda: TOKEN, certificate=pem(), keep=True)
        for _ in range(2):  # the stub closes each
            client.call("GET", "/a")
        assert len(stub.asked) == 2
