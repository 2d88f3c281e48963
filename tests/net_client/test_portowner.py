"""A client of this machine looks whose server it has reached, before its first byte."""

import os
import socket
import sys
from typing import Any, Callable, Iterator, Optional, Tuple, Union

import pytest

from jd.cli.checkup.finding import PROBLEM
from jd.errors import ServerUnreachable, UsageError
from jd.net import outbound
from jd.net.client import Client
from jd.net.finding import probe
from jd.net.peer import portowner, socketowner
from jd.net.peer.portowner import VARIABLE, ForeignServer
from tests.cli.test_doctor_checks import expect_only
from tests.cli.test_doctor_server import visit
from tests.net_client.test_tls import CERTIFICATE
from tests.script.stub_server import Answer, StubServer
from tests.users import OTHER, Other, needs_root, system_user

TOKEN = "a-token-nobody-may-see"
Say = Callable[[Any], None]

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells whose a socket is")


def listening(family: int = socket.AF_INET, address: str = "127.0.0.1", port: int = 0,
              accept: int = 1) -> Callable[[Say], None]:
    """Work of another user: listens, says on which port, then what each connection brought."""
    def work(say: Say) -> None:
        with socket.socket(family) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(8)
            say(listener.getsockname()[1])
            for _ in range(accept):
                with listener.accept()[0] as connection:
                    say(connection.recv(65536).decode("latin-1"))
    return work


@linux
@needs_root
@pytest.mark.parametrize("url", ["http://127.0.0.1:%d", "https://127.0.0.1:%d", "http://[::1]:%d",
                                 "http://ann:pw@localhost:%d"])
def test_another_users_server_gets_not_a_byte(url: str) -> None:
    family, address = (socket.AF_INET6, "::1") if "::1" in url else (socket.AF_INET, "127.0.0.1")
    with Other(listening(family, address)) as other:
        port = other.hear()
        with pytest.raises(ForeignServer) as caught:
            Client(url % port, lambda: TOKEN).call("POST", "/worker/heartbeat", {"secret": 1})
        assert other.hear() == ""
    text = str(caught.value)
    for word in ("port %d of this machine is held by uid %d" % (port, OTHER), "not by you, root (uid 0)",
                 "%s=%d" % (VARIABLE, OTHER)):
        assert word in text
    assert isinstance(caught.value, ServerUnreachable) and TOKEN not in text


@linux
@needs_root
def test_who_has_accepted_it_counts_not_who_listens() -> None:
    """A listener that was ours when it was opened, in the hands of another user."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)

        def accept(say: Say) -> None:
            with listener.accept()[0] as connection:
                say("accepted")
                say(connection.recv(100).decode())
        with Other(accept) as other, socket.create_connection(listener.getsockname()) as client:
            assert other.hear() == "accepted"
            with pytest.raises(ForeignServer, match="uid %d" % OTHER):
                portowner.check(client)


@linux
@needs_root
def test_a_user_who_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    user = system_user()
    for names in (user.pw_name, str(user.pw_uid), "somebody-else, %s" % user.pw_name):
        monkeypatch.setenv(VARIABLE, names)
        with Other(listening(), user.pw_uid) as other:
            connection = outbound.open_connection(
                outbound.Address.parse("http://127.0.0.1:%d" % other.hear()), None, 20.0)
            connection.sock.sendall(b"hello")
            assert other.hear() == "hello"
            connection.close()
    monkeypatch.setenv(VARIABLE, "root,somebody-else")
    with Other(listening(), user.pw_uid) as other:
        with pytest.raises(ForeignServer, match="%s=%s" % (VARIABLE, user.pw_name)):
            Client("http://127.0.0.1:%d" % other.hear()).call("GET", "/")
    monkeypatch.setenv(VARIABLE, "two names")
    with Other(listening(), user.pw_uid) as other:
        with pytest.raises(UsageError, match="%s: 'two names' is not allowed; give names" % VARIABLE):
            Client("http://127.0.0.1:%d" % other.hear()).call("GET", "/")


@linux
@needs_root
def test_who_takes_another_address_of_localhost_does_not_keep_us_away(
        monkeypatch: pytest.MonkeyPatch) -> None:
    def both(host: Union[str, bytes], port: int, *_: Any, **__: Any) -> Any:
        if host not in ("localhost", b"localhost"):
            return resolve(host, port, *_, **__)
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    resolve = socket.getaddrinfo
    stub = StubServer()  # which has its port now, and its thread in the `with` block: a fork wants none
    with Other(listening(socket.AF_INET6, "::1", stub.port)) as other, stub:
        assert other.hear() == stub.port
        monkeypatch.setattr(socket, "getaddrinfo", both)
        stub.will_answer(Answer(200, {"PENDING": 1}))
        client = Client("http://localhost:%d" % stub.port, lambda: TOKEN)
        assert client.call("GET", "/job_counts") == {"PENDING": 1}
        assert other.hear() == ""
        assert stub.asked[0].headers["Authorization"] == "Bearer " + TOKEN


@linux
@needs_root
def test_a_launch_and_doctor_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Other(listening(accept=9)) as other:
        url = "http://127.0.0.1:%d" % other.hear()
        with pytest.raises(ForeignServer):
            probe.check(Client(url, lambda: TOKEN), "exp")
        found = visit(url, "exp", JD_SERVER_TOKEN=TOKEN)
        expect_only(found, PROBLEM, "held by uid %d, not by you" % OTHER, VARIABLE)
        found = visit(url.replace("http:", "https:"), "exp", JD_SERVER_TOKEN=TOKEN)
        expect_only(found, PROBLEM, "held by uid %d, not by you" % OTHER, VARIABLE)
        assert [other.hear() for _ in range(3)] == [""] * 3


@pytest.fixture
def pair() -> Iterator[Tuple[socket.socket, socket.socket]]:
    """Both ends of a connection of ours over loopback: the client's first."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as accepted:
            yield client, accepted


@pytest.mark.parametrize("uid,let", [(None, True), (0, True), (os.geteuid(), True), (OTHER, False)])
def test_where_the_system_does_not_tell_it_goes_on(pair: Tuple[socket.socket, socket.socket],
                                                   monkeypatch: pytest.MonkeyPatch, uid: Optional[int],
                                                   let: bool) -> None:
    monkeypatch.setattr(socketowner, "server_uid", lambda sock: uid)
    if let:
        portowner.check(pair[0])
    else:
        with pytest.raises(ForeignServer):
            portowner.check(pair[0])


def test_another_machine_is_not_judged(pair: Tuple[socket.socket, socket.socket],
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socketowner, "server_uid", lambda sock: OTHER)
    monkeypatch.setattr(socketowner, "is_within_machine", lambda sock: False)
    portowner.check(pair[0])


def test_a_proxy_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another's as a rule, and it is told nothing that it could not read anyway."""
    monkeypatch.setattr(socketowner, "server_uid", lambda sock: OTHER)
    with StubServer() as proxy:
        proxy.will_answer(Answer(200, {"PENDING": 1}))
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:%d" % proxy.port)
        assert Client("http://far.example").call("GET", "/job_counts") == {"PENDING": 1}


def test_a_user_without_a_number_in_this_container(pair: Tuple[socket.socket, socket.socket],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socketowner, "server_uid", lambda sock: 65534)
    monkeypatch.setattr(socketowner, "is_ambiguous", lambda uid: uid == 65534)
    with pytest.raises(ForeignServer, match="no number in this container .*65534"):
        portowner.check(pair[0])


def test_who_is_trusted_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "ann")
    with portowner.trusting("bob"):
        assert os.environ[VARIABLE] == "bob"
        with portowner.trusting(None):
            assert os.environ[VARIABLE] == "bob"
    assert os.environ[VARIABLE] == "ann"
    portowner.trust({})
    assert VARIABLE not in os.environ
    with pytest.raises(ZeroDivisionError):
        with portowner.trusting("bob"):
            raise ZeroDivisionError
    assert VARIABLE not in os.environ
    portowner.trust({VARIABLE: "cyd"})
    assert os.environ[VARIABLE] == "cyd"


@linux
def test_tls_goes_on_with_a_server_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_CA_BUNDLE", str(CERTIFICATE))
    with StubServer(CERTIFICATE) as stub:
        stub.will_answer(Answer(200, {"PENDING": 1}))
        assert Client(stub.url).call("GET", "/job_counts") == {"PENDING": 1}
