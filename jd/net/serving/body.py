"""The body of a request on its way from the connection to the handler, with flow control."""

import asyncio
from collections import deque
from typing import Callable, Deque, Optional


def _nothing() -> None:
    pass


class BodyStream:
    """One side feeds, the other reads; neither knows the other.

    `on_read` is called before the reader first waits for data that has not come (100-continue),
    `on_drained` when the buffer falls to `low_water` bytes after it was above.
    """

    def __init__(self, length: Optional[int] = 0, on_read: Callable[[], None] = _nothing,
                 on_drained: Callable[[], None] = _nothing, low_water: int = 64 * 1024) -> None:
        self.length = length
        """Bytes announced, None if chunked."""
        self.received = 0
        self.buffered = 0
        self.complete = length == 0
        self.failed = False
        self._on_read = on_read
        self._on_drained = on_drained
        self._low_water = low_water
        self._chunks: Deque[bytes] = deque()
        self._error: Optional[BaseException] = None
        self._waiter: Optional["asyncio.Future[None]"] = None

    @classmethod
    def of(cls, data: bytes) -> "BodyStream":
        """A body that is all there."""
        stream = cls(len(data))
        if data:
            stream.feed(data)
        stream.end()
        return stream

    def feed(self, data: bytes) -> None:
        """The next bytes, not empty."""
        self._chunks.append(data)
        self.received += len(data)
        self.buffered += len(data)
        self._wake()

    def end(self) -> None:
        """Everything has come."""
        self.complete = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Nothing more will come: the reader gets `error`, at once."""
        self.failed = True
        self._error = error
        self._chunks.clear()
        self.buffered = 0
        self._wake()

    async def next(self) -> bytes:
        """The next bytes as they came; b"" after the last. For one reader."""
        while not self._chunks and not self.complete and self._error is None:
            self._on_read()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._error is not None:
            raise self._error
        if not self._chunks:
            return b""
        data = self._chunks.popleft()
        was = self.buffered
        self.buffered -= len(data)
        if was > self._low_water >= self.buffered:
            self._on_drained()
        return data

    async def rest(self) -> bytes:
        """All bytes of a body that is complete."""
        pieces = [await self.next()]
        while self._chunks:
            pieces.append(await self.next())
        return b"".join(pieces)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
