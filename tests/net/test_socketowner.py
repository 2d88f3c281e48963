"""Whose socket is at the other end: the kernel's answers, its tables in /proc, and what is nobody's."""

import ipaddress
import json
import os
import socket
import struct
import sys
from typing import Any, Callable, Iterator, List, Optional, Tuple

import pytest

from jd.net.peer import socketowner as owners
from jd.net.peer.socketowner import Place
from jd.net.serving.routing import Request, Response, Router
from tests.net.http_wire import run, serving
from tests.users import OTHER, Other, needs_root

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")

LISTEN, ESTABLISHED, FIN_WAIT2, TIME_WAIT = 10, 1, 5, 6
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
Listen = Callable[[int, str], Tuple[socket.socket, int]]

ways = pytest.mark.parametrize("way", ["netlink", "tables"])
places = pytest.mark.parametrize("bound,called", [
    ((socket.AF_INET, "127.0.0.1"), "127.0.0.1"), ((socket.AF_INET, "0.0.0.0"), "127.0.0.2"),
    ((socket.AF_INET6, "::1"), "::1"), ((socket.AF_INET6, "::"), "127.0.0.1"),
    ((socket.AF_INET6, "::"), "::1"),
], ids=["v4", "any v4", "v6", "mapped", "any v6"])


@pytest.fixture(autouse=True)
def closing() -> Iterator[List[socket.socket]]:
    """Sockets to be closed."""
    sockets: List[socket.socket] = []
    yield sockets
    for sock in sockets:
        sock.close()


@pytest.fixture
def pair(closing: List[socket.socket]) -> Listen:
    """Makes a listener; returns it and where it listens."""
    def make(family: int, address: str) -> Tuple[socket.socket, int]:
        listener = socket.socket(family)
        closing.append(listener)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((address, 0))
        listener.listen(8)
        return listener, listener.getsockname()[1]
    return make


def choose(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def silent(*_: Any) -> None:
        raise OSError("not to be had")
    monkeypatch.setattr(owners, "_by_netlink" if way == "tables" else "_of_tables", silent)


@ways
@places
def test_both_ends_are_known(pair: Listen, closing: List[socket.socket], monkeypatch: pytest.MonkeyPatch,
                             way: str, bound: Tuple[int, str], called: str) -> None:
    choose(monkeypatch, way)
    listener, port = pair(*bound)
    client = socket.create_connection((called, port))
    closing.append(client)
    # Nobody has accepted it: it is the listener's.
    assert owners.server_uid(client) == os.geteuid()
    accepted = listener.accept()[0]
    closing.append(accepted)
    assert owners.client_uid(accepted) == owners.server_uid(client) == os.geteuid()
    client.shutdown(socket.SHUT_WR)
    assert owners.client_uid(accepted) == os.geteuid()
    assert owners.is_within_machine(client) and owners.is_within_machine(accepted)


@ways
@places
def test_a_client_that_has_closed_is_nobody_and_not_root(pair: Listen, closing: List[socket.socket],
                                                         monkeypatch: pytest.MonkeyPatch, way: str,
                                                         bound: Tuple[int, str], called: str) -> None:
    choose(monkeypatch, way)
    listener, port = pair(*bound)
    client = socket.create_connection((called, port))
    accepted = listener.accept()[0]
    closing.append(accepted)
    client.sendall(b"POST")
    client.close()
    entry = owners._entry(owners._place(accepted.getpeername()), owners._place(accepted.getsockname()))
    assert entry is not None and entry.uid == 0 and entry.inode == 0, "this is the trap"
    assert owners.client_uid(accepted) is None


@ways
def test_what_a_reset_connection_left_is_not_of_who_has_its_port_next(pair: Listen,
                                                                      closing: List[socket.socket],
                                                                      monkeypatch: pytest.MonkeyPatch,
                                                                      way: str) -> None:
    choose(monkeypatch, way)
    listener, port = pair(socket.AF_INET, "127.0.0.1")

    def client(at: int) -> socket.socket:
        made = socket.socket()
        closing.append(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", at))
        made.connect(("127.0.0.1", port))
        return made
    first = client(0)
    at = first.getsockname()[1]
    first.sendall(b"an order")
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    first.close()
    client(at)
    left, successor = listener.accept()[0], listener.accept()[0]
    closing += [left, successor]
    assert left.fileno() != successor.fileno() and owners.client_uid(left) is None
    assert owners.client_uid(successor) == os.geteuid()
    assert left.recv(100) == b"an order", "a server would read it"


def test_a_connection_that_is_reset_while_it_is_looked_up_is_nobodys(pair: Listen,
                                                                     closing: List[socket.socket],
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    listener, port = pair(socket.AF_INET, "127.0.0.1")
    client = socket.create_connection(("127.0.0.1", port))
    accepted = listener.accept()[0]
    closing.append(accepted)

    def look_up(*_: Any) -> owners.Entry:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        client.close()
        return owners.Entry(ESTABLISHED, os.geteuid(), 5)  # of who has its port next
    monkeypatch.setattr(owners, "_entry", look_up)
    assert owners.client_uid(accepted) is None


@needs_root
@ways
@pytest.mark.parametrize("family,address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_other_end_of_another_user(pair: Listen, closing: List[socket.socket],
                                       monkeypatch: pytest.MonkeyPatch, way: str, family: int,
                                       address: str) -> None:
    choose(monkeypatch, way)
    listener, port = pair(family, address)

    def call(say: Callable[[Any], None]) -> None:
        with socket.create_connection((address, port)) as client:
            client.recv(1)

    def listen(say: Callable[[Any], None]) -> None:
        with socket.socket(family) as theirs:
            theirs.bind((address, 0))
            theirs.listen(2)
            say(theirs.getsockname()[1])
            theirs.accept()[0].recv(1)
            say("accepted")
            theirs.accept()[0].recv(1)
    with Other(call):
        accepted = listener.accept()[0]
        closing.append(accepted)
        assert owners.client_uid(accepted) == OTHER
    with Other(listen) as other:
        theirs = other.hear()
        waiting = socket.create_connection((address, theirs))
        closing.append(waiting)
        assert owners.server_uid(waiting) == OTHER
        waiting.sendall(b"x")
        assert other.hear() == "accepted" and owners.server_uid(waiting) == OTHER


def test_an_attempt_to_connect_is_no_client(monkeypatch: pytest.MonkeyPatch, pair: Listen,
                                            closing: List[socket.socket]) -> None:
    listener, port = pair(socket.AF_INET, "127.0.0.1")
    closing.append(socket.create_connection(("127.0.0.1", port)))
    accepted = listener.accept()[0]
    closing.append(accepted)
    for state in (2, 3, 7, LISTEN):
        monkeypatch.setattr(owners, "_entry", lambda *_: owners.Entry(state, 0, 77))
        assert owners.client_uid(accepted) is None
    monkeypatch.setattr(owners, "_entry", lambda *_: owners.Entry(ESTABLISHED, 0, 77))
    assert owners.client_uid(accepted) == 0


def test_who_accepts_while_it_is_asked_decides(monkeypatch: pytest.MonkeyPatch, pair: Listen,
                                               closing: List[socket.socket]) -> None:
    _, port = pair(socket.AF_INET, "127.0.0.1")
    client = socket.create_connection(("127.0.0.1", port))
    closing.append(client)
    told = [owners.Entry(ESTABLISHED, 0, 0), owners.Entry(LISTEN, 0, 5), owners.Entry(ESTABLISHED, 777, 6)]
    monkeypatch.setattr(owners, "_entry", lambda *_: told.pop(0))
    assert owners.server_uid(client) == 777


def test_where_the_kernel_does_not_tell_nobody_knows(monkeypatch: pytest.MonkeyPatch, pair: Listen,
                                                     closing: List[socket.socket]) -> None:
    choose(monkeypatch, "tables")
    choose(monkeypatch, "netlink")
    listener, port = pair(socket.AF_INET, "127.0.0.1")
    client = socket.create_connection(("127.0.0.1", port))
    accepted = listener.accept()[0]
    closing += [client, accepted]
    assert owners.client_uid(accepted) is None and owners.server_uid(client) is None
    ends = socket.socketpair()
    closing += ends
    assert owners.client_uid(ends[0]) is None and owners.server_uid(ends[0]) is None
    assert not owners.is_within_machine(ends[0])
    accepted.close()
    assert owners.client_uid(accepted) is None


def test_a_kernel_without_an_answer_is_told_from_a_socket_that_is_gone(monkeypatch: pytest.MonkeyPatch,
                                                                       pair: Listen,
                                                                       closing: List[socket.socket]) -> None:
    listener, port = pair(socket.AF_INET, "127.0.0.1")
    closing.append(socket.create_connection(("127.0.0.1", port)))
    accepted = listener.accept()[0]
    closing.append(accepted)
    monkeypatch.setattr(owners, "_by_netlink", lambda *_: None)
    monkeypatch.setattr(owners, "_netlink_works", lambda: False)
    assert owners.client_uid(accepted) == os.geteuid()
    monkeypatch.setattr(owners, "_netlink_works", lambda: True)
    assert owners.client_uid(accepted) is None
    monkeypatch.undo()
    assert owners._netlink_works()


def test_another_user_namespace_has_users_without_a_number(monkeypatch: pytest.MonkeyPatch, pair: Listen,
                                                           closing: List[socket.socket]) -> None:
    listener, port = pair(socket.AF_INET, "127.0.0.1")
    closing.append(socket.create_connection(("127.0.0.1", port)))
    accepted = listener.accept()[0]
    closing.append(accepted)
    monkeypatch.setattr(owners, "_entry", lambda *_: owners.Entry(ESTABLISHED, 65534, 8))
    monkeypatch.setattr(owners, "_overflow_uid", lambda: 65534)
    monkeypatch.setattr(owners, "_all_are_mapped", lambda: True)
    assert owners.client_uid(accepted) == 65534
    monkeypatch.setattr(owners, "_all_are_mapped", lambda: False)
    assert owners.client_uid(accepted) is None


# ---- the tables

HEADING = (b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   "
           b"uid  timeout inode\n")


def line(local: Tuple[str, int], remote: Tuple[str, int], state: int, uid: int, inode: int) -> bytes:
    def word(place: Tuple[str, int]) -> str:
        raw = ipaddress.ip_address(place[0]).packed
        if sys.byteorder == "little":
            raw = b"".join(raw[at:at + 4][::-1] for at in range(0, len(raw), 4))
        return "%s:%04X" % (raw.hex().upper(), place[1])
    return ("   7: %s %s %02X 00000000:00000000 00:00000000 00000000 %5d        0 %d 1 0000000000000000 "
            "100 0 0 10 0\n" % (word(local), word(remote), state, uid, inode)).encode()


def found(lines: List[bytes], local: Tuple[str, int], remote: Tuple[str, int]) -> Optional[owners.Entry]:
    return owners.find(owners._rows([HEADING] + lines), owners._place(local), owners._place(remote))


@pytest.mark.skipif(sys.byteorder != "little", reason="the text below is of a little-endian machine")
def test_a_line_as_the_kernel_writes_it() -> None:
    text = (b"   2: 0100007F:1388 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000  1000        0 "
            b"41503 1 0000000000000000 20 4 30 10 -1\n")
    text6 = (b"   0: 00000000000000000000000001000000:1388 0000000000000000FFFF00000100007F:D2F0 0A "
             b"00000000:00000000 00:00000000 00000000  1001        0 "
             b"41504 1 0000000000000000 20 4 30 10 -1\n")
    (row,) = owners._rows([HEADING, text, b"\n", b"nonsense\n"])
    assert row == (owners._place(("127.0.0.1", 5000)), owners._place(("127.0.0.1", 54000)), (1, 1000, 41503))
    (row,) = owners._rows([text6])
    assert row == (owners._place(("::1", 5000)), owners._place(("127.0.0.1", 54000)), (LISTEN, 1001, 41504))


def test_the_table_is_searched_for_both_ends() -> None:
    ends = ("127.0.0.1", 40000), ("127.0.0.1", 5000)
    mapped = ("::ffff:127.0.0.1", 40000), ("::ffff:127.0.0.1", 5000)
    others = [line(ends[1], ends[0], ESTABLISHED, 1, 11), line(("127.0.0.2", 40000), ends[1], ESTABLISHED, 2,
                                                               12),
              line(ends[0], ("127.0.0.1", 5001), ESTABLISHED, 3, 13),
              line(("::1", 40000), ("::1", 5000), 1, 4, 14)]
    assert found(others, *ends) is None
    assert found(others + [line(*ends, ESTABLISHED, 5, 15)], *ends) == (ESTABLISHED, 5, 15)
    assert found(others + [line(*mapped, ESTABLISHED, 6, 16)], *ends) == (ESTABLISHED, 6, 16)
    assert found(others + [line(*ends, TIME_WAIT, 0, 0)], *ends) == (TIME_WAIT, 0, 0)
    assert found([], *ends) is None


def test_the_listener_that_is_meant() -> None:
    place, nowhere = ("127.0.0.1", 5000), ("0.0.0.0", 0)
    own = line(place, nowhere, LISTEN, 1, 11)
    v4 = line(("0.0.0.0", 5000), nowhere, LISTEN, 2, 12)
    v6 = line(("::", 5000), ("::", 0), LISTEN, 3, 13)
    others = [line(("127.0.0.2", 5000), nowhere, LISTEN, 4, 14),
              line(("::1", 5000), ("::", 0), LISTEN, 5, 15),
              line(("0.0.0.0", 5001), nowhere, LISTEN, 6, 16),
              line(place, ("127.0.0.1", 6), ESTABLISHED, 7, 17)]
    for lines, uid in (([v6, v4, own], 1), ([own, v4, v6], 1), ([v6, v4], 2), ([v4, v6], 2), ([v6], 3)):
        for given in (lines + others, others + lines):
            entry = found(given, place, nowhere)
            assert entry is not None and entry.uid == uid
    assert found(others, place, nowhere) is None
    assert found([v4], ("::1", 5000), ("::", 0)) is None
    assert found([v6], ("::1", 5000), ("::", 0)) == (LISTEN, 3, 13)


def test_addresses() -> None:
    assert owners._place(("::ffff:10.1.2.3", 7)) == Place(bytes([10, 1, 2, 3]), 7)
    assert owners._place(("fe80::1%eth0", 7, 0, 2)).port == 7
    nonsenses: List[Tuple[object, ...]] = [(), ("",), ("/run/socket", 1), ("localhost", 80)]
    for nonsense in nonsenses:
        with pytest.raises(OSError):
            owners._place(nonsense)


# ---- users

def test_names_of_users() -> None:
    assert owners.uid_of("root") == 0
    assert owners.name_of(0) == "root" and owners.described(0) == "root (uid 0)"
    assert owners.uid_of("54321") == OTHER and owners.described(OTHER) == "uid 54321"
    assert owners.name_of(OTHER) == "54321"
    for unknown in ("no-such-user", "", "-1", "4294967295", "99999999999999999999", "0x10", "a\0b"):
        assert owners.uid_of(unknown) is None


# ---- in a server

def test_a_server_asks_once_for_each_connection_and_only_when_it_matters(
        monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def client_uid(sock: socket.socket) -> int:
        asked.append(sock.getpeername())
        return OTHER
    monkeypatch.setattr(owners, "client_uid", client_uid)

    async def who(request: Request) -> Response:
        return Response.json([request.peer_uid(), request.peer_uid()])

    async def nobody(request: Request) -> Response:
        return Response.json(None)
    router = Router()
    router.add("GET", "/who", who)
    router.add("GET", "/nobody", nobody)

    async def scenario() -> None:
        async with serving(router) as site:
            for connections in (1, 2):
                client = await site.client()
                await client.ask("GET", "/nobody")
                assert len(asked) == connections - 1
                for _ in range(3):
                    assert json.loads((await client.ask("GET", "/who")).body) == [OTHER, OTHER]
            assert len(set(asked)) == 2
    run(scenario())
