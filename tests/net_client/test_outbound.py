import socket
from typing import Any

import pytest

from jd.errors import ServerRefused, ServerUnreachable, UsageError
from jd.net.client import Client
from jd.net.outbound import CONNECT_SECONDS, Address, is_own_machine, open_connection, proxy_for
from tests.script.stub_server import Answer, StubServer

DEAD = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.9.1",
                                  "::1", "0.0.0.0", "::ffff:127.0.0.1"])
def test_loopback_is_known(host: str) -> None:
    assert is_own_machine(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example", "128.0.0.1", "::2", "node1", ""])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_own_machine(host)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_loopback_never_goes_through_a_proxy(
        stub: StubServer, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, DEAD)
    monkeypatch.setenv("no_proxy", "other.example")
    Client(stub.url).call("GET", "/job_counts")
    assert stub.asked[0].target == "/job_counts"
    # The same proxy is in the way of any other host, or this test would show nothing.
    with pytest.raises(ServerUnreachable, match=r"through the proxy 127\.0\.0\.1:9"):
        Client("http://jobs.example:5000").call("GET", "/job_counts")


def test_localhost_needs_no_etc_hosts(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def knows_no_names(host: bytes, *more: Any, **words: Any) -> Any:
        if host[:1].isdigit():
            return real(host, *more, **words)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", knows_no_names)
    Client("http://localhost:%d" % stub.port).call("GET", "/job_counts")
    assert stub.asked[0].headers["Host"] == "localhost:%d" % stub.port
    with pytest.raises(ServerUnreachable, match="the host name is unknown"):
        Client("http://elsewhere:%d" % stub.port).call("GET", "/job_counts")


def test_proxy_gets_the_whole_url_and_its_own_credentials(
        stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://bob:pr0xy@127.0.0.1:%d" % stub.port)
    stub.will_answer(Answer(200, {}), Answer(503, b"<html>"))
    client = Client("http://jobs.example:5000/jd", lambda: "a-worker-token")
    client.call("GET", "/job_counts")
    asked = stub.asked[0]
    assert asked.target == "http://jobs.example:5000/jd/job_counts"
    assert asked.headers["Host"] == "jobs.example:5000"
    assert asked.headers["Proxy-Authorization"] == "Basic Ym9iOnByMHh5"
    assert asked.headers["Authorization"] == "Bearer a-worker-token"
    with pytest.raises(ServerRefused) as raised:
        client.call("GET", "/job_counts")
    assert "through the proxy 127.0.0.1:%d" % stub.port in str(raised.value)
    assert "pr0xy" not in str(raised.value)


def test_https_goes_through_a_tunnel_that_never_sees_the_token(
        stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "127.0.0.1:%d" % stub.port)
    stub.will_answer(Answer(403, b""))
    with pytest.raises(ServerUnreachable, match="Tunnel connection failed: 403"):
        Client("https://hub.example", lambda: "a-worker-token").call("GET", "/healthz")
    assert (stub.asked[0].method, stub.asked[0].target) == ("CONNECT", "hub.example:443")
    assert stub.asked[0].headers["Authorization"] is None


@pytest.mark.parametrize("no_proxy, direct", [
    ("10.0.0.0/8", True), ("10.1.2.3", True), ("192.168.0.0/16, 10.1.0.0/16", True),
    ("192.168.0.0/16", False), ("nonsense/99,,", False), ("*", True), ("", False),
])
def test_no_proxy_knows_networks(monkeypatch: pytest.MonkeyPatch, no_proxy: str, direct: bool) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (proxy_for(Address.parse("http://10.1.2.3:5000")) is None) == direct


def test_no_proxy_knows_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", ".cluster.example")
    assert proxy_for(Address.parse("http://node1.cluster.example:5000")) is None
    assert proxy_for(Address.parse("http://node1.example:5000")) is not None


@pytest.mark.parametrize("url", ["socks5://proxy:1080", "http://proxy:port", "http://"])
def test_proxy_that_cannot_be_used_names_its_variable(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("http_proxy", url)
    with pytest.raises(UsageError, match="http_proxy must be like http://host:3128; .* no_proxy"):
        proxy_for(Address.parse("http://jobs.example"))


def test_long_waits_are_for_answers_not_for_connecting(
        stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = []
    create_connection = socket.create_connection

    def watched(address: Any, timeout: float, *rest: Any) -> Any:
        patience.append(timeout)
        return create_connection(address, timeout, *rest)

    monkeypatch.setattr(socket, "create_connection", watched)
    connection = open_connection(Address.parse(stub.url), None, 210.0)
    try:
        assert connection.sock.gettimeout() == 210.0
        assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    finally:
        connection.close()
    assert patience == [CONNECT_SECONDS]


@pytest.mark.parametrize("url, shown, netloc", [
    ("node1:5000", "http://node1:5000", "node1:5000"),
    ("http://Node1/", "http://node1", "node1"),
    ("https://u:p@h:443/a/", "https://h/a", "h"),
    ("http://[::1]:5000", "http://[::1]:5000", "[::1]:5000"),
    ("http://bücher.example:81", "http://xn--bcher-kva.example:81", "xn--bcher-kva.example:81"),
])
def test_address(url: str, shown: str, netloc: str) -> None:
    address = Address.parse(url)
    assert (address.shown, address.netloc) == (shown, netloc)
    assert "'p'" not in repr(address) and "Basic" not in repr(address)
