"""Whose socket is at the other end of a TCP connection within this machine.

Linux knows the user of every socket. It is asked through netlink (sock_diag(7), the message `struct
inet_diag_req_v2`) with one exact question, which takes microseconds. Where netlink is not available, the
same table is read from /proc/net/tcp and /proc/net/tcp6. Neither needs privileges. On other systems, and
for a socket that is gone, the answer is None: nobody knows.

Two kinds of sockets are reported with inode 0 and user 0 although they are not root's: one that its program
has closed, and one that its listener has not accepted yet. Callers have to tell them apart.
"""

from __future__ import annotations

import errno
import functools
import ipaddress
import os
import pwd
import socket
import struct
import sys

from jd.shape import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator

_SOCK_DIAG = 4  # linux/netlink.h: NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # linux/sock_diag.h: SOCK_DIAG_BY_FAMILY
_REQUEST = 1  # NLM_F_REQUEST
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ENDPOINTS = "!HH16s16s"  # of inet_diag_sockid: ports and addresses, in network order
_ANSWER = struct.Struct("=BBBB48x12xII")  # inet_diag_msg: family, state, -, -, …, uid, inode
_ANY_COOKIE = b"\xff" * 8
_PATIENCE = 1.0  # seconds; the kernel answers before the question has been sent

# linux/tcp_states.h
_SYN_SENT, _SYN_RECV, _CLOSE, _LISTEN = 2, 3, 7, 10
_UNCONNECTED = (_SYN_SENT, _SYN_RECV, _CLOSE, _LISTEN)

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_EVERY_UID = 2 ** 32 - 1
_ROOT = 0


class Place(NamedTuple):
    """One end of a connection. IPv4 addresses that are written as IPv6 are IPv4 here."""

    address: bytes
    port: int


class Entry(NamedTuple):
    """What the kernel tells of one socket. `inode` is 0 where no program has it open."""

    state: int
    uid: int
    inode: int

    @property
    def is_connected(self) -> bool:
        """Whether it is the end of a connection, rather than a listener or an attempt."""
        return self.state not in _UNCONNECTED


def client_uid(accepted: socket.socket) -> int | None:
    """The user whose socket is at the other end of an accepted connection.

    None where that cannot be told: the connection is not from this machine, its client has closed
    it, its user is none of this user namespace, or this system does not say.
    """
    try:
        entry = _entry(_place(accepted.getpeername()), _place(accepted.getsockname()))
        # A client may reset its connection and leave what it sent behind; its port may be
        # somebody else's by now. As long as our end is connected there is but one other end.
        accepted.getpeername()
    except OSError:
        return None
    if entry is None or not entry.is_connected or not entry.inode:
        return None
    return None if is_ambiguous(entry.uid) else entry.uid


def server_uid(connected: socket.socket) -> int | None:
    """The user who has the other end of a connection that was made to this machine.

    That is who has accepted it; until somebody has, whose listener it waits for: if the listener is
    closed, what it has not accepted is reset. None where it cannot be told. A user whom this user
    namespace does not map is told as the overflow uid (`is_ambiguous`).
    """
    try:
        here, there = _place(connected.getsockname()), _place(connected.getpeername())
        entry = _entry(there, here)
        if entry is None or not (entry.is_connected and entry.inode):
            listener = _entry(there, Place(bytes(len(there.address)), 0))
            # It may have been accepted meanwhile, and its listener may be another's now.
            entry = _entry(there, here)
            if entry is None or not (entry.is_connected and entry.inode):
                entry = listener
    except OSError:
        return None
    return None if entry is None or not entry.inode else entry.uid


def is_within_machine(connected: socket.socket) -> bool:
    """Whether both ends of a connection are on this machine."""
    try:
        here, there = _place(connected.getsockname()), _place(connected.getpeername())
    except OSError:
        return False
    return here.address == there.address or ipaddress.ip_address(there.address).is_loopback


def is_trusted(uid: int | None) -> bool:
    """Whether it is this process's own user, or root, who could be any."""
    return uid in (os.geteuid(), _ROOT)


def is_ambiguous(uid: int) -> bool:
    """Whether this number stands for every user whom this user namespace does not map."""
    return uid == _overflow_uid() and not _all_are_mapped()


def name_of(uid: int) -> str:
    """The name of a user, or his number where he has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def described(uid: int) -> str:
    """A user as messages name him: `bob (uid 1234)`, or `uid 1234`."""
    name = name_of(uid)
    return "uid %d" % uid if name == str(uid) else "%s (uid %d)" % (name, uid)


def uid_of(name: str) -> int | None:
    """The number of a user who is given by name or number; None for a name that is not known."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        if name.isascii() and name.isdigit() and int(name[:11]) < _EVERY_UID:
            return int(name)
    return None


# ---- addresses

def _place(address: tuple[object, ...]) -> Place:
    """Raises OSError for what is no address of IP."""
    try:
        number = ipaddress.ip_address(str(address[0]).partition("%")[0])
        port = int(str(address[1]))
    except (ValueError, IndexError):
        raise OSError("not an address of IP") from None
    mapped = getattr(number, "ipv4_mapped", None)
    return Place((mapped or number).packed, port)


# ---- the kernel's table

def _entry(local: Place, remote: Place) -> Entry | None:
    """The socket with these ends; for one that does not exist, the listener that it would come to.

    None where neither is there. Raises OSError where the kernel does not tell.
    """
    try:
        found = _by_netlink(local, remote)
        # "No such socket" is also what a kernel says that was built without an answer to this.
        if found is not None or _netlink_works():
            return found
    except OSError:
        pass
    return _of_tables(local, remote)


def _by_netlink(local: Place, remote: Place) -> Entry | None:
    """Ask for one socket. Raises OSError where it cannot be asked."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError("no netlink")
    v6 = len(local.address) == 16
    question = struct.pack("=BBBxI", socket.AF_INET6 if v6 else socket.AF_INET,
                           socket.IPPROTO_TCP, 0, 0xffffffff)
    question += struct.pack(_ENDPOINTS, local.port, remote.port, local.address, remote.address)
    question += struct.pack("=I", 0) + _ANY_COOKIE
    with socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as kernel:
        kernel.settimeout(_PATIENCE)
        kernel.sendto(_HEADER.pack(_HEADER.size + len(question), _BY_FAMILY, _REQUEST, 1, 0)
                      + question, (0, 0))
        answer, sender = kernel.recvfrom(4096)
    if sender[0] != 0:
        raise OSError("this is not from the kernel")
    return _read_answer(answer, local, remote)


def _read_answer(answer: bytes, local: Place, remote: Place) -> Entry | None:
    """The socket that an answer describes; None if it says that there is none. Raises OSError."""
    if len(answer) < _HEADER.size + 4:
        raise OSError("a short answer")
    kind = _HEADER.unpack_from(answer)[1]
    if kind != _BY_FAMILY:  # NLMSG_ERROR, with a negative errno
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if number == errno.ENOENT:
            return None
        raise OSError(number, os.strerror(number))
    if len(answer) < _HEADER.size + _ANSWER.size:
        raise OSError("a short answer")
    _, state, _, _, uid, inode = _ANSWER.unpack_from(answer, _HEADER.size)
    ports = struct.unpack_from("!HH", answer, _HEADER.size + 4)
    if ports[0] != local.port or (state != _LISTEN and ports[1] != remote.port):
        raise OSError("this answer is about another socket")
    return Entry(state, uid, inode)


@functools.lru_cache(maxsize=None)
def _netlink_works() -> bool:
    """Whether the kernel finds a socket that is there for certain. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        return _by_netlink(_place(listener.getsockname()), Place(bytes(4), 0)) is not None


def _of_tables(local: Place, remote: Place) -> Entry | None:
    """The same from the tables in /proc. Raises OSError where there are none.

    They have a line for each socket of the machine, so this takes milliseconds where there are many.
    """
    lines = []
    failed = 0
    for table in _TABLES:
        try:
            with open(table, "rb") as file:
                lines += list(_rows(file))
        except FileNotFoundError:
            failed += 1  # a kernel without IPv6 has no tcp6
    if failed == len(_TABLES):
        raise OSError("no table of sockets")
    return find(lines, local, remote)


class Row(NamedTuple):
    """One line of a table."""

    local: Place
    remote: Place
    entry: Entry


def _rows(lines: Iterable[bytes]) -> Iterator[Row]:
    """The lines of /proc/net/tcp or tcp6 (proc(5)); what is no such line is passed over."""
    for line in lines:
        words = line.split()
        try:
            yield Row(_table_place(words[1]), _table_place(words[2]),
                      Entry(int(words[3], 16), int(words[7]), int(words[9])))
        except (IndexError, ValueError):
            continue  # the heading


def _table_place(word: bytes) -> Place:
    """`0100007F:1388`: words of 32 bits as this machine keeps them, and the port."""
    digits, _, port = word.partition(b":")
    raw = bytes.fromhex(digits.decode("ascii"))
    if sys.byteorder == "little":
        raw = b"".join(raw[at:at + 4][::-1] for at in range(0, len(raw), 4))
    return _place((str(ipaddress.ip_address(raw)), int(port, 16)))


def find(rows: Iterable[Row], local: Place, remote: Place) -> Entry | None:
    """The row with these ends, else the listener that is meant by `local`: the one on its very
    address before one on all addresses, of which that of IPv6 comes last."""
    best: tuple[int, Entry] | None = None
    for row in rows:
        if row.local.port != local.port:
            continue
        if row.local == local and row.remote == remote and row.entry.state != _LISTEN:
            return row.entry
        if row.entry.state != _LISTEN:
            continue
        if row.local.address == local.address:
            rank = 0
        elif any(row.local.address):
            continue
        elif len(row.local.address) == len(local.address):
            rank = 1
        elif len(local.address) == 4:
            rank = 2
        else:
            continue
        if best is None or rank < best[0]:
            best = (rank, row.entry)
    return None if best is None else best[1]


# ---- user namespaces

@functools.lru_cache(maxsize=None)
def _overflow_uid() -> int:
    try:
        with open("/proc/sys/kernel/overflowuid") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 65534


@functools.lru_cache(maxsize=None)
def _all_are_mapped() -> bool:
    """Whether this process sees every user by a number of his own (user_namespaces(7))."""
    try:
        with open("/proc/self/uid_map") as file:
            return sum(int(line.split()[2]) for line in file) >= _EVERY_UID
    except (OSError, ValueError, IndexError):
        return False
