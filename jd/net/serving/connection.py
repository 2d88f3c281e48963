"""One client connection: bytes to requests, responses to bytes, flow control both ways.

A protocol of asyncio rather than streams: a connection that only waits costs no task and no buffer, so that
ten thousand idle workers are cheap. A task exists while a request is being answered. Reading goes on
meanwhile, because a client that goes away has to cancel its handler.

Phases:

    IDLE       nothing of a next request has come
    HEAD       part of a header section has come
    REQUEST    a request is being answered; its body may still be coming
    LINGER     a refusal is written; input is dropped until the client has seen it
    CLOSED     the transport is closing or closed
"""

import asyncio
import enum
import logging
import socket
from typing import AsyncIterator, Optional, Protocol, cast

from jd.net.peer import socketowner
from jd.net.serving.body import BodyStream
from jd.net.serving.heads import KnownHeads, RequestHead
from jd.net.serving.limits import Limits
from jd.net.serving.parser import NEED_DATA, BodyChunk, EndOfRequest, ParseError, RequestParser
from jd.net.serving.responsehead import BODILESS, head_bytes
from jd.net.serving.routing import HttpError, Request, Response, Router, error_response
from jd.net.serving.rush import Rush
from jd.net.serving.traffic import Traffic

log = logging.getLogger("jd.net")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# A node that loses its power sends no FIN; these find it after about two minutes.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class Phase(enum.Enum):
    """See the module."""

    IDLE = "idle"
    HEAD = "head"
    REQUEST = "request"
    LINGER = "linger"
    CLOSED = "closed"


class Server(Protocol):
    """What a connection has to do with the server that it belongs to."""

    router: Router
    limits: Limits
    traffic: Traffic
    rush: Rush
    known_heads: KnownHeads
    input: memoryview  # into which each connection reads what it handles at once
    is_stopping: bool

    def has_room(self, descriptor: int) -> bool:
        """Whether a new connection can even be told that it is not served."""

    def admit(self, connection: "Connection", descriptor: int) -> bool:
        """Count a new connection; whether it may be served."""

    def forget(self, connection: "Connection") -> None:
        """The connection is closed."""


class Connection(asyncio.BufferedProtocol):
    """The server's end of one connection."""

    __slots__ = ("_server", "_limits", "_loop", "_transport", "_parser", "_peer", "_secure", "phase",
                 "_since", "_task", "_body", "_keep", "_expects", "_progress", "_paused_at",
                 "_drain_waiter", "_write_paused", "_written", "_taken", "_taken_at",
                 "_linger_left", "_streaming", "_cancelled", "_peer_uid", "_knows_peer_uid")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._limits = server.limits
        self._loop = asyncio.get_running_loop()
        self._transport: Optional[asyncio.Transport] = None
        self._parser = RequestParser(self._limits.parser, server.known_heads)
        self._peer = ""
        self._peer_uid: Optional[int] = None
        self._knows_peer_uid = False  # the system has been asked, whatever it said
        self._secure = False
        self.phase = Phase.IDLE
        self._since = self._loop.time()  # when the phase began; for LINGER, when it has to end
        self._task: Optional["asyncio.Task[None]"] = None
        self._cancelled = False  # the task, once: a second time would disturb how it tidies up
        self._expects = False  # the client waits for 100 Continue
        self._body: Optional[BodyStream] = None
        self._keep = True
        self._progress = 0.0  # when the last byte of the body came
        self._paused_at: Optional[float] = None  # since when we do not read
        self._write_paused = False
        self._drain_waiter: Optional["asyncio.Future[None]"] = None
        self._written = 0
        self._taken = 0  # bytes that the system had taken at the last look
        self._taken_at = 0.0
        self._linger_left = 0
        self._streaming = False  # the answer is a stream, which may have no end

    # ---- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._limits.write_buffer)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self._secure = transport.get_extra_info("sslcontext") is not None
        sock = transport.get_extra_info("socket")
        _keep_tcp_alive(sock)
        descriptor = -1 if sock is None else sock.fileno()
        if not self._server.has_room(descriptor):
            self._abort()
        elif not self._server.admit(self, descriptor):
            self._refuse(503, "the server has as many connections as it can serve; try again later",
                         self._limits.short_linger)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.input

    def buffer_updated(self, nbytes: int) -> None:
        data = self._server.input[:nbytes]
        self._server.traffic.bytes_in += nbytes
        if self.phase is Phase.LINGER:
            self._linger_left -= nbytes
            if self._linger_left < 0:
                self._close()
        elif self.phase is Phase.REQUEST and self._body is not None and self._body.failed:
            pass  # the handler knows; what still comes of this body is worth nothing
        elif self.phase is not Phase.CLOSED:
            self._parser.receive(data)
            self._advance()

    def eof_received(self) -> bool:
        # A client that is gone and one that only says that it sends no more look the same here.
        # Workers that are gone are normal; nobody half-closes and then waits for an answer.
        self._gone()
        return False

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._paused_at = None  # there is nothing more to be read
        self._gone()
        if hasattr(self._transport, "_read_ready_cb"):
            # As asyncio does itself since Python 3.13. The transport refers to itself there, and would wait
            # for the collector of garbage, with all that it has.
            setattr(self._transport, "_read_ready_cb", None)
        self._transport = None  # that of TLS takes no call any more, and a handler may still be tidying up
        self._server.forget(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    # ---- input

    def _advance(self) -> None:
        """Take events from the parser, up to the end of the request that is being answered."""
        while self.phase in (Phase.IDLE, Phase.HEAD) or not self._body_complete():
            try:
                event = self._parser.next_event()
            except ParseError as error:
                self._parse_error(error)
                return
            if event is NEED_DATA:
                if self.phase is Phase.IDLE and not self._parser.idle:
                    self._enter(Phase.HEAD)
                return
            if isinstance(event, RequestHead):
                self._begin(event)
            elif isinstance(event, BodyChunk) and self._body is not None:
                self._progress = self._loop.time()
                self._body.feed(event.data)
                if self._body.buffered > self._limits.body_buffer:
                    self._pause_reading()
            elif isinstance(event, EndOfRequest) and self._body is not None:
                self._body.end()
        if self._parser.buffered > self._limits.pipeline_buffer:
            self._pause_reading()

    def _body_complete(self) -> bool:
        return self._body is None or self._body.complete or self._body.failed

    def _begin(self, head: RequestHead) -> None:
        self._enter(Phase.REQUEST)
        self._expects = head.expect_continue
        self._keep = head.keep_alive
        self._cancelled = False
        self._progress = self._since
        self._body = BodyStream(head.content_length, self._ask_for_body, self._resume_reading,
                                self._limits.body_buffer // 4)
        self._task = self._loop.create_task(self._serve(head, self._body))
        if head.content_length == 0:
            # The parser's EndOfRequest is due, and belongs to this request.
            self._parser.next_event()

    def _parse_error(self, error: ParseError) -> None:
        if self._task is None:
            self._refuse(error.status, str(error))
        elif self._body is not None:
            self._body.fail(HttpError(error.status, str(error)))

    def _ask_for_body(self) -> None:
        """The handler waits for the body: tell the client, if it asked (RFC 9110, 10.1.1)."""
        if self._awaits_continue() and self._transport is not None \
                and not self._transport.is_closing():
            self._expects = False
            self._since = self._progress = self._loop.time()
            self._write(_CONTINUE)

    def _awaits_continue(self) -> bool:
        return self._expects and self._body is not None and not self._body.received

    def _pause_reading(self) -> None:
        if self._paused_at is None and self._transport is not None:
            self._paused_at = self._loop.time()
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused_at is not None and self._transport is not None:
            # It was not the client's fault: the clocks of its body stood still.
            pause = self._loop.time() - self._paused_at
            self._since += pause
            self._progress += pause
            self._paused_at = None
            if self.phase is not Phase.CLOSED:
                self._transport.resume_reading()

    # ---- the task of a request

    async def _serve(self, head: RequestHead, body: BodyStream) -> None:
        response: Optional[Response] = None
        try:
            response = await self._answer(head, body)
            await self._send(head, response, body)
        except ConnectionError:
            self._abort()
        except asyncio.CancelledError:
            self._abort()
            raise
        except Exception:
            log.exception("the answer to %s could not be sent", head.method)
            self._abort()
        finally:
            try:
                if response is not None:
                    await response.aclose()
            finally:
                self._done(body, response is not None and response.next_waits)

    async def _answer(self, head: RequestHead, body: BodyStream) -> Response:
        try:
            request = Request(head.method, head.target, head.headers, body, self._peer, self._secure,
                              self._uid_of_peer)
        except HttpError as error:
            return self._server.router.refuse_target(head.method, head.target, head.headers, error)
        return await self._server.router.dispatch(request)

    def _uid_of_peer(self) -> Optional[int]:
        """Whose socket the client's end is (see jd.net.peer.socketowner); asked once, when it matters."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if not self._knows_peer_uid and sock is not None:
            self._knows_peer_uid = True
            self._peer_uid = socketowner.client_uid(sock)
        return self._peer_uid

    async def _send(self, asked: RequestHead, response: Response, body: BodyStream) -> None:
        self._expects = False
        if response.stream is not None and self._server.is_stopping:
            await response.aclose()
            response = error_response(503, "the server stops; try again later")
        chunked = response.stream is not None and asked.version >= (1, 1)
        if not body.complete or body.failed or self._server.is_stopping or (
                response.stream is not None and not chunked):
            self._keep = False
        self._server.traffic.count(response.status)
        length = response.length if response.file is not None else len(response.body)
        head = head_bytes(response, length or 0, chunked, self._keep)
        if asked.method == "HEAD" or response.status in BODILESS:
            self._write(head)
        elif response.stream is not None:
            self._write(head)
            await self._send_stream(response.stream, chunked)
        else:
            # In one piece: two small packets would cost more than the copy.
            self._write(head + response.body)
            await self._drain()
            await self._send_file(response, length or 0)

    async def _send_file(self, response: Response, left: int) -> None:
        while left and response.file is not None:
            data = await self._loop.run_in_executor(
                None, response.file.read, min(left, self._limits.file_chunk))
            if not data:
                raise OSError("%s became shorter while it was sent" % response.file.name)
            left -= len(data)
            self._write(data)
            await self._drain()

    async def _send_stream(self, stream: AsyncIterator[bytes], chunked: bool) -> None:
        """Each piece as a chunk (RFC 9112, 7.1), or as it is: then the end of the connection is
        the end of the answer, the only way that HTTP/1.0 has."""
        self._streaming = True
        try:
            async for data in stream:
                if data:  # an empty chunk would be the last one
                    self._write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                    await self._drain()
        finally:
            self._streaming = False
        if chunked:
            self._write(b"0\r\n\r\n")

    def _done(self, body: BodyStream, next_waits: bool) -> None:
        self._task = None
        self._body = None
        if self.phase is Phase.CLOSED:
            return
        if self._keep and not self._server.is_stopping:
            self._resume_reading()
            self._enter(Phase.IDLE)
            if next_waits and self._server.rush.is_on:
                self._pause_reading()
                self._server.rush.put_off(self._go_on)
            else:
                self._advance()
        elif body.complete and not self._parser.buffered:
            self._close()
        else:
            self._linger(self._limits.linger_timeout)

    def _go_on(self) -> None:
        """Take the next request: it was put off."""
        if self.phase is not Phase.CLOSED:
            self._resume_reading()
            self._advance()

    # ---- output

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        if self._transport.get_write_buffer_size() == 0:
            self._taken_at = self._loop.time()
        self._written += len(data)
        self._server.traffic.bytes_out += len(data)
        self._transport.write(data)

    async def _drain(self) -> None:
        """Wait until the client has taken most of what was written."""
        if self._write_paused:
            self._drain_waiter = self._loop.create_future()
            try:
                await self._drain_waiter
            finally:
                self._drain_waiter = None

    def _refuse(self, status: int, message: str, linger: Optional[float] = None) -> None:
        """Answer without a request, and part."""
        response = error_response(status, message)
        self._server.traffic.count(status)
        try:
            self._write(head_bytes(response, len(response.body), False, False) + response.body)
        except ConnectionError:
            self._abort()
            return
        self._linger(self._limits.linger_timeout if linger is None else linger)

    # ---- phases

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._since = self._loop.time()

    def _linger(self, seconds: float) -> None:
        """Say that there is no more, and drop what comes until the client closes."""
        self._resume_reading()
        self._enter(Phase.LINGER)
        self._since += min(seconds, self._limits.short_linger) if self._server.is_stopping else seconds
        self._linger_left = self._limits.linger_bytes
        if self._transport is None or self._transport.is_closing():
            return
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        except OSError:
            self._abort()  # it has been reset, and the loop has not heard of that yet

    def _gone(self) -> None:
        """The client has left: nobody waits for what its handler does."""
        task = self._task
        self._close()
        if task is not None and not self._cancelled:
            self._cancelled = True
            task.cancel()

    def _close(self) -> None:
        """Close when what is written has been sent."""
        if self.phase is Phase.CLOSED:
            return  # closed twice, the transport of TLS would take no call any more (Python 3.11 and later)
        self._resume_reading()  # before Python 3.11 TLS closes when it has read its peer's farewell
        self._enter(Phase.CLOSED)
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        self._enter(Phase.CLOSED)
        if self._transport is not None:
            self._transport.abort()

    # ---- called by the server

    def stop(self) -> Optional["asyncio.Task[None]"]:
        """Close now if no request is being answered, else after its answer.

        A stream is cut off, since it may have no end; its cancelled task is returned.
        """
        if self._streaming:
            return self.kill()
        if self.phase in (Phase.IDLE, Phase.HEAD):
            self._close()
        elif self.phase is Phase.LINGER:
            self._since = min(self._since, self._loop.time() + self._limits.short_linger)
        return None

    def kill(self) -> Optional["asyncio.Task[None]"]:
        """Close whatever happens; the cancelled task, if there is one."""
        task = self._task
        self._abort()
        if task is not None:
            self._cancelled = True
            task.cancel()
        return task

    def check(self, now: float) -> None:
        """End what takes too long. `now` is in the loop's time."""
        limits = self._limits
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._check_writing(now, self._transport.get_write_buffer_size())
        if self.phase is Phase.IDLE:
            # Before its first request a client has no reason to wait so long.
            if now - self._since > (limits.idle_timeout if self._written else limits.head_timeout):
                self._close()
        elif self.phase is Phase.HEAD:
            if now - self._since > limits.head_timeout:
                self._refuse(408, "the header section did not come within %g seconds"
                             % limits.head_timeout)
        elif self.phase is Phase.REQUEST:
            self._check_body(now)
        elif self.phase is Phase.LINGER and now > self._since:
            self._close()
        elif self.phase is Phase.CLOSED and now - self._since > limits.linger_timeout:
            self._abort_if_flushed()

    def _abort_if_flushed(self) -> None:
        # Before Python 3.11 a TLS connection waits for its peer's farewell for ever.
        if self._transport is not None and not self._transport.get_write_buffer_size():
            self._transport.abort()

    def _check_writing(self, now: float, waiting: int) -> None:
        taken = self._written - waiting
        if taken > self._taken:
            self._taken = taken
            self._taken_at = now
        elif now - self._taken_at > self._limits.write_timeout:
            log.info("client %s does not read its answer; disconnected", self._peer)
            self.kill()

    def _check_body(self, now: float) -> None:
        body = self._body
        if body is None or body.complete or body.failed or self._paused_at is not None:
            return
        if self._awaits_continue():
            return
        limits = self._limits
        elapsed = now - self._since
        if now - self._progress > limits.body_timeout:
            body.fail(HttpError(408, "no byte of the body came for %g seconds" % limits.body_timeout))
        elif elapsed > limits.body_timeout and body.received < elapsed * limits.body_rate:
            body.fail(HttpError(408, "the body comes with less than %g bytes per second"
                                % limits.body_rate))


def _keep_tcp_alive(sock: Optional[socket.socket]) -> None:
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # not everywhere
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
