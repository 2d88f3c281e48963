"""A server that speaks TLS and is addressed as http://, and one that does not."""

import socket
import ssl
import threading
from typing import Iterator, List, Tuple

import pytest

from jd.errors import ServerUnreachable
from jd.net import outbound
from jd.net.client import Client, SpeaksTls
from jd.net.finding import probe
from tests.net_client.test_tls import CERTIFICATE
from tests.script.stub_server import Answer, StubServer

TLS_RECORD = 0x16  # RFC 8446, section 5.1: a handshake record


class Listener:
    """A port whose every connection is closed after its first bytes, which `asked` keeps; `answer` is
    sent to plain HTTP, and TLS is spoken if `secure`."""

    def __init__(self, secure: bool, answer: bytes = b"") -> None:
        self.asked: List[int] = []
        self._answer = answer
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if secure else None
        if self._context is not None:
            self._context.load_cert_chain(str(CERTIFICATE))
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(5)
        self.url = "http://127.0.0.1:%d" % self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            with connection:
                first = connection.recv(1, socket.MSG_PEEK)
                self.asked += first
                try:
                    if first == bytes([TLS_RECORD]) and self._context is not None:
                        self._context.wrap_socket(connection, server_side=True).close()
                    else:
                        connection.recv(65536)
                        connection.sendall(self._answer)
                except OSError:
                    pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def made() -> Iterator[List[Listener]]:
    listeners: List[Listener] = []
    yield listeners
    for listener in listeners:
        listener.close()


NGINX = (b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
         b"<center>The plain HTTP request was sent to HTTPS port</center>")
ALERT = b"\x15\x03\x01\x00\x02\x02\x46"


@pytest.mark.parametrize("answer", [b"", NGINX, ALERT])
def test_a_tls_port_is_told(made: List[Listener], answer: bytes) -> None:
    made.append(Listener(True, answer))
    client = Client(made[0].url, lambda: "a-token-nobody-may-see")
    with pytest.raises(SpeaksTls) as told:
        client.call("GET", "/job_counts")
    secure = made[0].url.replace("http:", "https:")
    assert str(told.value).startswith("%s speaks https, not http; give %s, or server=@FILE" % (
        made[0].url, secure))
    with pytest.raises(probe.WrongPort, match="speaks https, not http; give https://"):
        probe.check(Client(made[0].url), "exp")


def test_a_plain_port_is_asked_once(made: List[Listener]) -> None:
    made.append(Listener(False))
    client = Client(made[0].url)
    for _ in range(2):
        with pytest.raises(ServerUnreachable, match="closed before the answer"):
            client.call("GET", "/job_counts")
    assert made[0].asked == [ord("G"), TLS_RECORD, ord("G")]


def test_a_port_that_is_silent_to_the_question_does_not_take_much_longer_than_the_call(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with a lease of 3 seconds was held up for 3, and lost its job."""
    given: List[float] = []
    connect = outbound.connect

    def noted(place: Tuple[str, int], timeout: float) -> socket.socket:
        given.append(timeout)
        return connect(place, 0.01)
    monkeypatch.setattr(outbound, "connect", noted)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = outbound.Address.parse("http://127.0.0.1:%d" % silent.getsockname()[1])
        assert not outbound.speaks_tls(address, 2.0) and not outbound.speaks_tls(address, 30.0)
    assert given == [0.5, outbound.HELLO_SECONDS]


def test_who_has_answered_is_not_asked(stub: StubServer) -> None:
    stub.will_answer(Answer(401, {"error": "no"}), Answer(400, {}, {"Content-Type": "text/html"}))
    client = Client(stub.url)
    for status in (401, 400):
        with pytest.raises(Exception, match=str(status)):
            client.call("GET", "/job_counts")
    assert not client._may_be_tls
