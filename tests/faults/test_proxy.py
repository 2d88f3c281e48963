"""That the proxy does to requests what it says."""

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Iterator, List, Tuple, Union
from urllib.parse import urlsplit

import pytest

from tests.faults.proxy import KINDS, Proxy, Weather
from tests.support import wait_until

BROKEN, SILENT = "broken", "silent"
# How often a request arrives, and what the client hears.
EXPECTED = {
    "delayed": (1, 200), "dropped": (0, BROKEN), "answer dropped": (1, BROKEN), "reset": (1, BROKEN),
    "truncated": (0, BROKEN), "answer truncated": (1, BROKEN), "twice": (2, 200), "reordered": (2, 200),
    "half-open": (0, SILENT), "answer half-open": (1, SILENT), "502 before": (0, 502), "504 after": (1, 504),
    "500 after": (1, 500),
}


class Listener(HTTPServer):
    """Takes what is posted, and answers with it."""

    def __init__(self) -> None:
        self.taken: List[bytes] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) == length:
            self.server.taken.append(body)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def both() -> Iterator[Tuple[Listener, Proxy]]:
    with Listener() as listener, Proxy(1) as proxy:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        proxy.target = listener.server_port
        yield listener, proxy
        listener.shutdown()
        thread.join(60)


def heard(proxy: Proxy, timeout: float = 60.0) -> Union[int, str]:
    """The status that a client gets, if it gets an answer that is whole."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(proxy.url).port or 0, timeout=timeout)
    try:
        connection.request("POST", "/", b"x" * 1000)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except socket.timeout:
        return SILENT
    except (OSError, http.client.HTTPException):
        return BROKEN
    finally:
        connection.close()


@pytest.mark.parametrize("kind", EXPECTED)
def test_trouble(both: Tuple[Listener, Proxy], kind: str) -> None:
    listener, proxy = both
    arrives, hears = EXPECTED[kind]
    proxy.weather = Weather((kind,), 1.0)
    assert heard(proxy, 0.3 if hears == SILENT else 60.0) == hears
    wait_until(lambda: len(listener.taken) == arrives)
    proxy.calm()
    assert heard(proxy) == 200
    assert len(listener.taken) == arrives + 1
    assert set(listener.taken) == {b"x" * 1000}
    assert proxy.met == {kind: 1}


def test_each_kind_of_trouble_is_tested() -> None:
    assert set(EXPECTED) == set(KINDS)


def test_when_it_calms_down_nobody_is_left_waiting(both: Tuple[Listener, Proxy]) -> None:
    _, proxy = both
    proxy.weather = Weather(("half-open",), 1.0)
    told: List[Union[int, str]] = []
    client = threading.Thread(target=lambda: told.append(heard(proxy)))
    client.start()
    wait_until(lambda: proxy.met)
    proxy.calm()
    client.join(60)
    assert told == [BROKEN]


def test_where_it_has_moved_from_nobody_listens(both: Tuple[Listener, Proxy]) -> None:
    _, proxy = both
    before = proxy.url
    proxy.move()
    assert proxy.url != before and heard(proxy) == 200
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", urlsplit(before).port or 0, timeout=60).connect()
