"""A file on its way from a request to the disk."""

import asyncio
import io
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List

import pytest

from jd.errors import StorageError
from jd.net.multipart import UploadFrame, encode_upload
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import HttpError, Request
from jd.server.api.receiving import GATHERED, Receiver
from jd.server.store.files import files

PIECE = 64 * 1024


@pytest.fixture
def experiment(tmp_path: Path) -> Any:
    files.prepare(tmp_path / "data")
    return SimpleNamespace(data_dir=tmp_path / "data")


def incoming(experiment: Any) -> List[Path]:
    return list((experiment.data_dir / ".incoming").iterdir())


def fed(frame: UploadFrame, content: bytes) -> Request:
    data = frame.prefix + content + frame.suffix
    body = BodyStream(len(data))
    for at in range(0, len(data), PIECE):
        body.feed(data[at:at + PIECE])
    body.end()
    return Request("POST", "/upload", {"content-type": frame.content_type}, body)


async def received(experiment: Any, content: bytes) -> bytes:
    async with Receiver(experiment, "file", None) as receiver:
        request = fed(encode_upload({}, "file", "x", len(content)), content)
        request.max_body = 2 ** 30
        await receiver.receive(request)
        return receiver.incoming.path.read_bytes()


def test_a_thread_gets_much_at_a_time(experiment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To hand something to a thread and back takes longer than to write a piece."""
    written: List[int] = []
    real = Receiver._write

    def watched(self: Receiver, gathered: io.BytesIO) -> None:
        assert threading.current_thread() is not threading.main_thread()
        written.append(gathered.tell())
        real(self, gathered)
    monkeypatch.setattr(Receiver, "_write", watched)
    content = os.urandom(3 * GATHERED + 5)
    assert asyncio.run(received(experiment, content)) == content
    assert sum(written) == len(content) and len(written) <= 4
    assert all(GATHERED <= size < GATHERED + PIECE for size in written[:-1])
    assert incoming(experiment) == []


@pytest.mark.parametrize("good", [0, 1, 2])
def test_a_disk_that_is_full(experiment: Any, monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    """At the first write, in the middle, and with the last, whatever was received meanwhile."""
    calls: List[int] = []

    def full(self: Receiver, gathered: io.BytesIO) -> None:
        calls.append(1)
        if len(calls) > good:
            raise StorageError("no space")
    monkeypatch.setattr(Receiver, "_write", full)
    with pytest.raises(StorageError, match="no space"):
        asyncio.run(received(experiment, bytes(3 * GATHERED + 5)))
    assert len(calls) == good + 1 and incoming(experiment) == []


def test_a_file_that_is_too_large(experiment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jd.protocol.MAX_FILE_BYTES", 2 * 2 ** 20)
    assert len(asyncio.run(received(experiment, bytes(2 * 2 ** 20)))) == 2 * 2 ** 20
    with pytest.raises(HttpError, match="larger than 2 MB"):
        asyncio.run(received(experiment, bytes(2 * 2 ** 20 + 1)))
    assert incoming(experiment) == []


def test_who_leaves_while_it_is_written(experiment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    writing, go_on = threading.Event(), threading.Event()

    def slow(self: Receiver, gathered: io.BytesIO) -> None:
        writing.set()
        go_on.wait(60)

    async def leave() -> None:
        task = asyncio.ensure_future(received(experiment, bytes(3 * GATHERED)))
        await asyncio.get_running_loop().run_in_executor(None, writing.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert incoming(experiment) == []
        go_on.set()
    monkeypatch.setattr(Receiver, "_write", slow)
    asyncio.run(leave())
