"""Orders for jobs are read piece by piece: too much and too bad is refused when it is met."""

import asyncio
import io
import json
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, BinaryIO, Callable, Dict, List, Optional, Tuple

import pytest

from jd import protocol as p
from jd import space
from jd.errors import StorageError
from jd.net.serving import spool
from jd.net.serving.body import BodyStream
from jd.net.serving.jsonpieces import READ
from jd.net.serving.routing import Request
from jd.protocol import ProtocolError
from jd.server.creation import createrequest, jobtext
from jd.server.creation.batch import from_grid
from jd.server.store.queue import jobs
from tests.net.test_jsonpieces import Counted
from tests.server.parts_bench import PartsBench, Run, run_bench


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


class Endless(Counted):
    """`head`, then `part` again and again, up to so many bytes."""

    def __init__(self, head: bytes, part: bytes, size: int = 256 * 1024 * 1024) -> None:
        super().__init__(b"")
        self._head, self._part, self._size, self._place = head, part, size, 0

    def read(self, size: Optional[int] = -1) -> bytes:
        assert size is not None and size > 0, "nobody reads all of it"
        begin, size = self._place, min(size, self._size - self._place)
        data = self._head[begin:begin + size]
        if len(data) < size:
            skipped = max(0, begin - len(self._head)) % len(self._part)
            data += (self._part * (size // len(self._part) + 2))[skipped:skipped + size - len(data)]
        self._place += len(data)
        self.taken += len(data)
        return data

    read1 = read

    def readable(self) -> bool:
        return True

    seekable = readable

    def seek(self, offset: int, _whence: int = 0) -> int:
        self._place = offset
        return offset

    def tell(self) -> int:
        return self._place


@pytest.mark.parametrize("head, part, says", [
    (b'{"jobs": [', b"{},", r"jobs\[0\]: a non-empty object"),
    (b'{"jobs": [', b'{"a":1},', "more than 1,000 jobs; at most 1,000 at once"),
    (b'{"parameters": {"a": [', b"{},", "more than 1,000 jobs"),
    (b'{"parameters": {"a": [1,2], "b": [', b"1,", "more than 1,000 jobs"),
    (b'{"jobs": [{"a":"', b"x", "jobs.0.|more than 524288 characters"),
    (b'{"other": [', b"1,", "more than 524288 characters"),
    (b'{"jobs": [{"a":1}], "jobs": [', b"{},", "'jobs' is there twice"),
    (b'{"jobs": [{"a":1}], "parameters": {"a":[', b"1,", "exactly one of"),
])
def test_a_request_is_refused_where_it_goes_wrong(head: bytes, part: bytes, says: str,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "MAX_JOBS_PER_BATCH", 1000)
    file = Endless(head, part)
    with pytest.raises(ProtocolError, match=says):
        createrequest.read(file)
    assert file.taken <= 3 * READ  # of 256 MB


@pytest.mark.parametrize("form, head, part, says", [
    ("json", b"[", b"{},", r"jobs\[0\]"),
    ("json", b"[", b'{"a":1},', "more than 1,000 jobs"),
    ("json", b'{"jobs": [', b'{"a":1},', "more than 1,000 jobs"),
    ("json", b'{"jobs": [', b"1,", "more than 1,000 jobs"),
    ("json", b'{"a": [1], "b": [', b"1,", "more than 1,000 jobs"),
    ("json", b'{"parameters": {"a": [', b"1,", "more than 1,000 jobs"),
    ("csv", b"a,b\n", b"1,2\n", "more than 1,000 jobs"),
    ("csv", b"a,b\n", b"1\n", "line 2 has 1 cells"),
    ("csv", b"a,b\n", b"x", "line 2 has more than 1048576 characters|field larger"),
    ("tsv", b"a\tb\n1\t\"", b"x\n", "field larger than field limit"),
])
def test_a_text_is_refused_where_it_goes_wrong(form: str, head: bytes, part: bytes, says: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "MAX_JOBS_PER_BATCH", 1000)
    file = Endless(b"\xef\xbb\xbf" + head, part)
    with pytest.raises(ProtocolError, match=says):
        jobtext.parse(file, form)
    assert file.taken <= 4 * READ


SPACE = {"lr": {"low": 1e-4, "high": 0.1, "log": True}, "opt": ["adam", "sgd"]}


def test_a_request_may_have_a_space_that_is_sampled(tmp_path: Path) -> None:
    body = {"n": 6, "seed": 3, "space": SPACE, "method": "halton", "timeout": 60, "unique": True}
    texts = [json.dumps(job) for job in space.jobs(body)]
    file = io.BytesIO(json.dumps(body).encode())
    for order in (createrequest.read(file), createrequest.read_form(io.BytesIO(file.getvalue()), tmp_path)):
        assert list(order.batch.texts()) == texts and order.unique and order.batch.terms.timeout == 60
    text = json.dumps({"text": json.dumps({"space": SPACE, "n": 6, "seed": 3, "method": "halton"}),
                       "format": "json"})
    assert list(createrequest.read_form(io.BytesIO(text.encode()), tmp_path).batch.texts()) == texts
    handed_over = createrequest.read(io.BytesIO(createrequest.body_of(order.batch, "sweep.json")))
    assert list(handed_over.batch.texts()) == texts and handed_over.batch.terms == order.batch.terms
    assert handed_over.file == "sweep.json" and handed_over.batch.digest() == order.batch.digest()
    with pytest.raises(ProtocolError, match="file has 300 characters"):
        createrequest.read(io.BytesIO(createrequest.body_of(order.batch, "x" * 300)))
    shuffled = createrequest.read(io.BytesIO(json.dumps(dict(body, order="random")).encode()))
    assert sorted(shuffled.batch.texts()) == sorted(texts) != list(shuffled.batch.texts()) != texts


@pytest.mark.parametrize("beside, says", [
    ({"jobs": [{"a": 1}], "n": 1}, "exactly one of parameters"),
    ({"parameters": {"a": [1]}, "n": 1}, "exactly one of parameters"),
    ({}, "n is missing"),
    ({"n": 3, "method": "model"}, "method must be one of random, halton, grid, not 'model'"),
    ({"n": 3, "space": [1]}, "space must be a non-empty object"),
    ({"n": 3, "space": None}, "exactly one of parameters"),
])
def test_a_mistake_in_a_space_is_named(tmp_path: Path, beside: Dict[str, Any], says: str) -> None:
    body = json.dumps(dict({"space": SPACE}, **beside)).encode()
    with pytest.raises(ProtocolError, match=says):
        createrequest.read(io.BytesIO(body))
    with pytest.raises(ProtocolError, match=says):
        createrequest.read_form(io.BytesIO(body), tmp_path)


def test_which_of_a_grid_and_a_request_a_text_is() -> None:
    def read(text: str) -> Tuple[List[Dict[str, Any]], Optional[float]]:
        batch = jobtext.parse(io.BytesIO(text.encode()), "json")
        return [json.loads(one) for one in batch.texts()], batch.terms.lease

    assert read('{"idle_timeout": 9, "jobs": [{"a": 1}], "needs": ["x"]}') == ([{"a": 1}], 9.0)
    assert read('{"jobs": [1, {"a": 2}]}') == ([{"jobs": 1}, {"jobs": {"a": 2}}], None)
    assert read('{"parameters": [1], "jobs": [2, 3]}')[0] == [
        {"parameters": 1, "jobs": 2}, {"parameters": 1, "jobs": 3}]
    assert read('{"parameters": {"a": [1]}, "idle_timeout": 9}') == ([{"a": 1}], 9.0)
    for both in ('{"jobs": [{"a": 1}], "parameters": {"a": [1]}}', '{"parameters": [1], "jobs": [{"a": 1}]}',
                 '{"parameters": {"a": [1]}, "jobs": [1]}'):
        with pytest.raises(ProtocolError, match="exactly one of"):
            read(both)
    with pytest.raises(ProtocolError, match="'jobs': a non-empty list"):
        read('{"jobs": []}')
    with pytest.raises(ProtocolError, match="Extra data"):
        read('[{"a": 1}] x')


@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\r"])
def test_lines_of_tables_end_in_any_way(breaks: str) -> None:
    batch = jobtext.parse(io.BytesIO(breaks.join(["a,b", "1,\u00e4", '2,"x\ny"']).encode()), "csv")
    assert [json.loads(text) for text in batch.texts()] == [{"a": 1, "b": "\u00e4"}, {"a": 2, "b": "x\ny"}]


# ---- through the routes

class Gate:
    """In the place of a parser: it begins, and goes on when it is told to."""

    def __init__(self, parse: Callable[..., Optional[createrequest.Order]]) -> None:
        self.parse, self.begun, self.go = parse, threading.Event(), threading.Event()

    def __call__(self, file: BinaryIO, *more: Any) -> Optional[createrequest.Order]:
        self.begun.set()
        assert self.go.wait(60)
        return self.parse(file, *more)


def test_workers_are_answered_while_an_order_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(createrequest.read_form)
    monkeypatch.setattr(createrequest, "read_form", gate)

    async def scenario(bench: PartsBench) -> None:
        making = asyncio.ensure_future(bench.post("/web/create", {"jobs": [{"x": 1}]}))
        assert await asyncio.get_running_loop().run_in_executor(None, gate.begun.wait, 20)
        assert await bench.beat() is None
        assert not making.done()
        gate.go.set()
        assert (await making).status == 200
        job = await bench.beat()
        assert job is not None and job["parameters"] == {"x": 1}
    run(scenario)


def test_a_large_body_waits_on_disk_and_leaves_nothing_there(run: Run,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    made: List[Tuple[str, IO[bytes]]] = []
    real = tempfile.TemporaryFile

    def temporary(dir: str) -> IO[bytes]:
        made.append((dir, real(dir=dir)))
        return made[-1][1]

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)

    async def scenario(bench: PartsBench) -> None:
        meta = bench.experiment.meta_dir
        before = sorted(meta.iterdir())
        text = json.dumps([{"x": "y" * 100, "n": number} for number in range(5000)])
        answer = await bench.post("/web/create", {"text": text, "format": "json"})
        assert answer.status == 200 and answer.json["total_jobs"] == 5000
        assert [where for where, _ in made] == [str(meta)] * 2  # the body, and the text in it
        assert all(file.closed for _, file in made)
        answer = await bench.post("/web/create", {"text": text[:-1], "format": "json"})
        assert answer.status == 400 and all(file.closed for _, file in made)
        assert [path for path in sorted(meta.iterdir()) if not path.name.startswith("jobs.db")] == [
            path for path in before if not path.name.startswith("jobs.db")]
    run(scenario)


def test_who_leaves_ends_the_reading(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is closed, so that what reads it in a thread ends too."""
    gate, ended = Gate(lambda *_: None), threading.Event()

    def read(file: BinaryIO, *_: Any) -> None:
        gate(file)
        try:
            while True:
                file.seek(0)
        except ValueError:
            ended.set()
            raise

    monkeypatch.setattr(createrequest, "read_form", read)

    async def scenario(bench: PartsBench) -> None:
        loop = asyncio.get_running_loop()
        making = asyncio.ensure_future(bench.post("/web/create", {"jobs": [{"x": 1}]}))
        assert await loop.run_in_executor(None, gate.begun.wait, 20)
        gate.go.set()
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert await loop.run_in_executor(None, ended.wait, 20)
        monkeypatch.undo()
        assert (await bench.post("/web/create", {"jobs": [{"x": 1}]})).status == 200
    run(scenario)


def test_a_full_disk_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)

    async def scenario(bench: PartsBench) -> None:
        answer = await bench.post("/web/create", {"jobs": [{"x": "y" * 1000}] * 1000})
        assert answer.status == 503 and "No space left on device" in answer.json["error"]
        assert (await bench.experiment.read(jobs.counts))["PENDING"] == 0
    run(scenario)


def test_an_order_needs_its_content_type(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        answer = await bench.send("POST", "/web/create", b'{"jobs": [{"a": 1}]}',
                                  {"content-type": "text/plain"})
        assert answer.status == 415
    run(scenario)


def test_a_body_in_pieces_is_put_together(tmp_path: Path) -> None:
    async def main() -> None:
        body = BodyStream(None)
        for _ in range(5):
            body.feed(b"x" * 100_000)
        body.end()
        request = Request("POST", "/", {}, body)
        request.max_body = createrequest.MAX_BODY
        async with spool.spooled(request, tmp_path) as file:
            assert file.read() == b"x" * 500_000
        assert file.closed and not list(tmp_path.iterdir())
    asyncio.run(main())


def test_a_body_that_a_full_disk_does_not_take_is_told_of(tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY", 1)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: open("/dev/full", "r+b"))

    async def main() -> None:
        body = BodyStream(None)
        body.feed(b"x" * 100)
        body.end()
        request = Request("POST", "/", {}, body)
        request.max_body = createrequest.MAX_BODY
        with pytest.raises(StorageError, match="cannot keep the body in %s: No space left" % tmp_path):
            async with spool.spooled(request, tmp_path):
                pass
    asyncio.run(main())


def test_as_many_values_as_jobs_make_a_grid_and_one_more_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "MAX_JOBS_PER_BATCH", 1000)
    assert from_grid({"a": [1], "b": range(3).__iter__()}).total == 3
    most = p.MAX_JOBS_PER_BATCH
    assert from_grid({"a": iter(range(most))}).total == most
    with pytest.raises(ProtocolError, match="more than 1,000 jobs"):
        from_grid({"a": iter(range(most + 1))})
