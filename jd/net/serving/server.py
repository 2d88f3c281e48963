"""The HTTP server: listening, limits on the whole, periodic checks, graceful stop.

What happens on one connection is in `connection`; what is answered is the router's business.
Several servers run in one loop (the API and the dashboard do).
"""

import asyncio
import errno
import logging
import socket
import ssl
from itertools import islice
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from jd.errors import JdError
from jd.net.serving.connection import Connection
from jd.net.serving.heads import KnownHeads
from jd.net.serving.limits import Limits, room
from jd.net.serving.routing import Router
from jd.net.serving.rush import Rush
from jd.net.serving.traffic import Traffic
from jd.threads import Reported

__all__ = ["HttpServer", "Limits", "Traffic"]

log = logging.getLogger("jd.net")

# How long handlers that were cancelled may take to clean up before they are left alone, in seconds.
_CLEANUP = 5.0
# Bytes that are read from a connection at once. A buffer for each reading would be had from the system.
_INPUT = 256 * 1024
# Connections whose time is looked at in one turn of the loop: about a millisecond.
_CHECKED = 1000
# How often it is said that there are too few open files, in seconds.
_WARN_AGAIN = 300.0


class PortTaken(JdError):
    """Another program listens on the port."""


class HttpServer:
    """Serves a router on one address.

    A handler is `async def handler(request) -> Response`. It is cancelled when its client
    disconnects. A handler that holds its answer back may take as long as it likes; it should
    also wait for `stopping`, so that it can answer when the server goes down. A stream
    (`Response.stream`) need not: it is cut off.
    """

    stopping: asyncio.Event
    """Set when `stop` begins. Exists from `start` on."""

    def __init__(self, router: Router, limits: Limits = Limits(),
                 ssl_context: Optional[ssl.SSLContext] = None, rush: Optional[Rush] = None) -> None:
        self.router = router
        self.limits = limits
        self.traffic = Traffic()
        self.rush = Rush() if rush is None else rush
        self.known_heads = KnownHeads()
        self.input = memoryview(bytearray(_INPUT))
        self._ssl = ssl_context
        self._listeners: List[asyncio.AbstractServer] = []
        self._connections: Set[Connection] = set()
        self._all_closed: Optional[asyncio.Event] = None
        self._sweeper: Optional[asyncio.Handle] = None
        self.is_stopping = False
        self._room = room()
        self._warned_at: Optional[float] = None  # of too few files
        self._checking = Reported("a connection was not looked after", log.error)

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    async def start(self, host: str, port: int, others: int = 0) -> int:
        """Listen on every address that `host` means; return the port (0 picks a free one).

        Where another program has it, the next `others` ports are tried. Raises PortTaken when all of
        them are taken, and JdError when it is not possible for another reason.
        """
        for number in range(port, port + others):
            try:
                return await self._listen(host, number)
            except PortTaken:
                pass
        return await self._listen(host, port + others)

    async def _listen(self, host: str, port: int) -> int:
        self.stopping = asyncio.Event()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        loop = asyncio.get_running_loop()
        if loop.get_exception_handler() is None:  # one server speaks for all of the loop
            loop.set_exception_handler(self._trouble)
        sockets = await _bind(host, port)
        # A handshake that never ends is no connection yet, and has its own clock.
        handshake = self.limits.head_timeout if self._ssl is not None else None
        try:
            for sock in sockets:
                self._listeners.append(await loop.create_server(
                    lambda: Connection(self), sock=sock, ssl=self._ssl,
                    backlog=self._room.at_once, ssl_handshake_timeout=handshake))
                # To asyncio `backlog` is also how many it accepts before it looks at any of them.
                sock.listen(self.limits.backlog)
        except OSError as error:
            for listener in self._listeners:
                listener.close()
            self._listeners.clear()
            _close_all(sockets)
            raise _listen_error(host, port, error) from None
        self._sweep_later()
        return int(sockets[0].getsockname()[1])

    async def stop(self, grace: float) -> None:
        """Stop accepting, close idle connections, cut streams off, give requests `grace` seconds,
        cancel the rest."""
        if self._all_closed is None:
            return
        self.is_stopping = True
        self.stopping.set()
        await stop_listening(self._listeners)
        streams = [task for task in [connection.stop() for connection in list(self._connections)]
                   if task is not None]
        if streams:
            await asyncio.wait(streams, timeout=_CLEANUP)
        try:
            await asyncio.wait_for(self._all_closed.wait(), grace)
        except asyncio.TimeoutError:
            await self._kill_rest()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    async def _kill_rest(self) -> None:
        tasks = [task for task in [connection.kill() for connection in list(self._connections)]
                 if task is not None]
        if tasks:
            log.warning("%d requests were cut off", len(tasks))
            _, pending = await asyncio.wait(tasks, timeout=_CLEANUP)
            if pending:
                log.error("%d handlers do not end although they were cancelled", len(pending))
        # The loop tells a connection that it is lost one step after it was aborted.
        await asyncio.sleep(0)

    # ---- called by connections

    def has_room(self, descriptor: int) -> bool:
        """Whether a new connection can even be told that it is not served."""
        return descriptor < self._room.drop

    def admit(self, connection: Connection, descriptor: int) -> bool:
        """Count a new connection; whether it may be served."""
        self._connections.add(connection)
        self.traffic.connections = len(self._connections)
        if self._all_closed is not None:
            self._all_closed.clear()
        if descriptor >= self._room.refuse:
            self._warn_of_files(asyncio.get_running_loop().time())
            return False
        return len(self._connections) <= self.limits.max_connections

    def forget(self, connection: Connection) -> None:
        """The connection is closed."""
        self._connections.discard(connection)
        self.traffic.connections = len(self._connections)
        if not self._connections and self._all_closed is not None:
            self._all_closed.set()

    def _trouble(self, loop: asyncio.AbstractEventLoop, context: Dict[str, Any]) -> None:
        """What asyncio reports. Connections count here only when their TLS handshake is done: with
        many at once the files may end all the same, and asyncio says so thousands of times."""
        number = getattr(context.get("exception"), "errno", None)
        if number in (errno.EMFILE, errno.ENFILE) and "accept" in context["message"]:
            self._warn_of_files(loop.time())
        else:
            loop.default_exception_handler(context)

    def _warn_of_files(self, now: float) -> None:
        if self._warned_at is None or now >= self._warned_at + _WARN_AGAIN:
            self._warned_at = now
            log.warning("connections are refused: as many are open as ulimit -n allows; raise it "
                        "where the server is started")

    # ---- time

    def sweep(self, now: float, connections: Optional[Iterable[Connection]] = None) -> None:
        """End what takes too long on all connections, or on some. `now` is in the loop's time.

        One pass a second over all connections instead of a timer for each: most of them wait for
        minutes, and every timer would be set anew with every packet.
        """
        for connection in list(self._connections) if connections is None else connections:
            with self._checking:
                connection.check(now)

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(self.limits.sweep_interval,
                                        lambda: self._sweep_now(iter(list(self._connections))))

    def _sweep_now(self, left: Iterator[Connection]) -> None:
        """Some in this turn of the loop, the others in the next ones."""
        loop = asyncio.get_running_loop()
        some = list(islice(left, _CHECKED))
        self.sweep(loop.time(), some)
        if len(some) == _CHECKED:
            self._sweeper = loop.call_soon(self._sweep_now, left)
        else:
            self._sweep_later()


# ---- listening

async def stop_listening(listeners: Sequence[asyncio.AbstractServer]) -> None:
    """Close listeners. What they have accepted has its protocol then.

    asyncio makes the transport of a connection in the next turn of the loop and calls its protocol in the one
    after that. Where the listener is closed by then, it loses the connection.
    """
    loop = asyncio.get_running_loop()
    for listener in listeners:
        for sock in listener.sockets:  # type: ignore[attr-defined]
            loop.remove_reader(sock.fileno())
    for _ in range(2):
        await asyncio.sleep(0)
    for listener in listeners:
        listener.close()


async def _bind(host: str, port: int) -> List[socket.socket]:
    """Sockets on all addresses of `host`, all with the same port."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise JdError("cannot listen on %s: the name is unknown (%s)" % (host, error),
                      "give an address of this machine, 127.0.0.1 or 0.0.0.0") from None
    sockets: List[socket.socket] = []
    failure: Optional[OSError] = None
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            sock = _bind_one(family, address, port)
        except OSError as error:
            # "localhost" is ::1 as well, also where there is no IPv6.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                _close_all(sockets)
                raise _listen_error(host, port, error) from None
            failure = error
            continue
        sockets.append(sock)
        port = int(sock.getsockname()[1])
    if not sockets:
        raise _listen_error(host, port, failure or OSError(errno.EADDRNOTAVAIL, "no address"))
    return sockets


def _bind_one(family: int, address: Tuple[object, ...], port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Its own socket serves IPv4; a shared one would find the port taken.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((address[0], port, *address[2:]))
    except OSError:
        sock.close()
        raise
    return sock


def _close_all(sockets: List[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _listen_error(host: str, port: int, error: OSError) -> JdError:
    where = "cannot listen on %s port %d: " % (host or "any address", port)
    if error.errno == errno.EADDRINUSE:
        return PortTaken(where + "another program has the port; stop it, choose another port, or "
                                 "port 0 for a free one")
    if error.errno == errno.EADDRNOTAVAIL:
        return JdError(where + "this machine does not have the address; use 127.0.0.1, 0.0.0.0 "
                               "for all of its addresses, or one of them")
    if error.errno in (errno.EACCES, errno.EPERM):
        return JdError(where + "permission denied; ports below 1024 need root, choose a higher one")
    return JdError(where + str(error))
