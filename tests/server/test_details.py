"""/web/job: one job, its output, its files."""

import asyncio
import io
import json
import sqlite3
import threading
import zipfile
from pathlib import Path
from typing import Any, AsyncGenerator, Generator, List, Optional, Union

import pytest

from jd import protocol as p
from jd.net.serving.routing import Request
from jd.server import jobfolder
from jd.server.dashboard import previews
from jd.server.downloads import in_steps
from jd.server.store.pages import jobdetails
from tests.server.parts_bench import PartsBench, Run, run_bench

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


def test_the_jobs_beside_it_are_those_that_there_are(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        for at in range(5):
            await bench.create({"lr": at})

        def change(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM jobs WHERE id = 3")
            db.execute("INSERT INTO settings VALUES ('creating_from', '5')")  # the last is being created

        bench.experiment.database.write(change).result(20)
        found = [(await bench.get("/web/job?id=%d" % at)).json["beside"] for at in (1, 2, 4)]
        assert [(one["before"], one["after"]) for one in found] == [(None, 2), (1, 4), (2, None)]
    run(scenario)


def test_everything_about_a_job(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"lr": 0.1, "evil": "<script>"})
        await bench.beat("node1_abc_0")
        await bench.beat("node1_abc_0", reported_status="busy", current_job_id=1, output_tail="first\n",
                         system_metrics={"cpu_util": 3.5})
        bench.now += 10
        await bench.finish(1, "ABORTED", message="boom", exit_code=3, runtime=9.5)
        bench.now += 1200
        bench.experiment.database.write(lambda db: db.execute(
            "UPDATE jobs SET status = 'PENDING', retry_at = NULL")).result(20)
        await bench.beat("w", host="other")
        await bench.upload(1, "result.json", '{"loss": 0.5}')
        job = (await bench.get("/web/job?id=1")).json
        assert {name: job[name] for name in ("id", "status", "parameters", "results", "attempt", "failures",
                                             "worker_id", "priority", "needs", "timeout", "max_attempts",
                                             "retry_at", "output")} == {
            "id": 1, "status": "SERVED", "parameters": {"lr": 0.1, "evil": "<script>"},
            "results": {"loss": 0.5}, "attempt": 2, "failures": 1, "worker_id": "w", "priority": 0,
            "needs": None, "timeout": None, "max_attempts": None, "retry_at": None, "output": ""}
        assert job["started"] == bench.now and job["lease_until"] == bench.now + 600
        assert job["finished"] is None and job["runtime"] is None
        assert [a["number"] for a in job["attempts"]] == [2, 1]
        assert [a["host"] for a in job["attempts"]] == ["other", "node1"]
        assert job["attempts"][0]["verdict"] is None and job["attempts"][0]["metrics"] == {}
        first = job["attempts"][1]
        assert (first["verdict"], first["message"], first["exit_code"], first["runtime"],
                first["metrics"], first["ended"] - first["started"]) == (
                    "failed", "boom", 3, 9.5, {"cpu_util": 3.5}, 10)
        assert job["message"] == job["history"][0]["reason"]
        assert "boom" in job["message"] and "node1_abc_0" in job["message"]
        file, = job["files"]
        expected = {"kind": "upload", "name": "result.json", "stored_name": "result.json", "version": 0,
                    "size_bytes": 13, "preview": "json"}
        assert {name: file[name] for name in expected} == expected
    run(scenario)


def test_output_of_any_attempt(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        def told(answer: Any) -> Any:
            return {name: answer.json[name] for name in ("attempt", "output", "running", "tail_only")}

        assert told(await bench.get("/web/job/output?id=2")) == {
            "attempt": None, "output": "", "running": False, "tail_only": False}
        await bench.beat("a")
        await bench.finish(1, "ABORTED", attempt=1, verdict="preempted", output_tail="one")
        await bench.beat("a")
        await bench.beat("a", reported_status="busy", current_job_id=1, attempt=2, output_tail="two")
        assert told(await bench.get("/web/job/output?id=1")) == {
            "attempt": 2, "output": "two", "running": True, "tail_only": True}
        assert told(await bench.get("/web/job/output?id=1&attempt=1")) == {
            "attempt": 1, "output": "one", "running": False, "tail_only": True}
        assert (await bench.get("/web/job/output?id=1&attempt=3")).status == 404
    run(scenario)


@pytest.mark.parametrize("target, status", [
    ("/web/job?id=9", 404), ("/web/job", 400), ("/web/job?id=x", 400), ("/web/job?id=0", 400),
    ("/web/job?id=99999999999999999999", 400), ("/web/job/output?id=9", 404), ("/web/job/zip?id=9", 404),
    ("/web/job/output?id=1&attempt=-1", 400),
    ("/web/job/file?id=9", 404), ("/web/job/preview?id=9", 404), ("/web/job/image?id=9", 404),
])
def test_what_is_not_there(run: Run, target: str, status: int) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        answer = await bench.get(target)
        assert answer.status == status and answer.json["error"]
    run(scenario)


def test_long_lists_end_at_their_limits_and_say_how_long_they_are(run: Run,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobdetails, "MAX_FILES", 2)
    monkeypatch.setattr(jobdetails, "MAX_ATTEMPTS", 1)

    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        for _ in range(3):
            await bench.beat()
            await bench.upload(1, "a.txt", b"x")
            await bench.finish(1, "ABORTED", verdict="preempted")
        job = (await bench.get("/web/job?id=1")).json
        assert ([f["version"] for f in job["files"]], job["files_total"]) == ([2, 1], 3)
        assert ([a["number"] for a in job["attempts"]], job["attempts_total"]) == ([3], 3)
    run(scenario)


@pytest.mark.parametrize("name, content, kind", [
    ("a.png", PNG, "image"), ("no-suffix", PNG, "image"), ("a.jpg", b"\xff\xd8\xff\xe0", "image"),
    ("a.gif", b"GIF89a....", "image"), ("a.webp", b"RIFF\0\0\0\0WEBPVP8 ", "image"),
    ("fake.png", b"just text", "text"), ("fake.png", b"\x89PNX\0\0", None), ("a.svg", SVG, "text"),
    ("a.html", b"<script>", "text"), ("a.json", b"{}", "json"), ("a.CSV", b"a,b\n", "csv"),
    ("a.tsv", b"a\tb\n", "csv"), ("a.txt", b"", "text"), ("a.txt", "é".encode() * 4000, "text"),
    ("a.txt", "é".encode() * 4000 + b"\xff", "text"), ("a.txt", b"a\xff", None), ("a.txt", b"a\0b", None),
    ("a.txt", b"\xc3", None),
])
def test_what_a_file_can_be_shown_as(tmp_path: Path, name: str, content: bytes, kind: Optional[str]) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert previews.kind_of(path) == kind


def test_an_image_that_is_too_large_is_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MAX_IMAGE", len(PNG) - 1)
    (tmp_path / "a.png").write_bytes(PNG)
    assert previews.kind_of(tmp_path / "a.png") is None
    assert previews.kind_of(tmp_path / "gone") is None


async def file_id(bench: PartsBench, name: str, content: Union[bytes, str], **kind: Any) -> int:
    await bench.upload(1, name, content, **kind)
    return int((await bench.get("/web/job?id=1")).json["files"][0]["id"])


def test_text_is_previewed_up_to_a_limit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MAX_TEXT", 101)

    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        number = await file_id(bench, "a.txt", "é" * 200)  # the limit is within a character
        assert (await bench.get("/web/job/preview?id=%d" % number)).json == {
            "kind": "text", "text": "é" * 50, "truncated": True}
        number = await file_id(bench, "b.json", b'{"a": 1}')
        assert (await bench.get("/web/job/preview?id=%d" % number)).json == {
            "kind": "json", "text": '{"a": 1}', "truncated": False}
        number = await file_id(bench, "b.bin", b"\xff")
        answer = await bench.get("/web/job/preview?id=%d" % number)
        assert answer.status == 400 and "download" in answer.json["error"]
    run(scenario)


@pytest.mark.parametrize("name, content, rows", [
    ("a.csv", 'a,b\n1,"x, y\nz"\n', [["a", "b"], ["1", "x, y\nz"]]),
    ("a.csv", "a;b\r\n1,5;2\r\n", [["a", "b"], ["1,5", "2"]]),
    ("a.tsv", "a\tb\n1\t2", [["a", "b"], ["1", "2"]]),
    ("a.csv", "a\n" * 300, [["a"]] * 200),
])
def test_rows_of_a_table(tmp_path: Path, name: str, content: str, rows: List[List[str]]) -> None:
    (tmp_path / name).write_bytes(content.encode())
    seen = previews.read(tmp_path / name)
    assert (seen.kind, seen.rows) == ("csv", rows)


def test_the_row_at_the_cut_is_left_out_and_what_is_no_table_is_text(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "MAX_TEXT", 10)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4000\n")
    assert previews.read(tmp_path / "a.csv").rows == [["a", "b"], ["1", "2"]]
    monkeypatch.setattr(previews, "MAX_TEXT", 200_000)
    (tmp_path / "b.csv").write_text("x" * 150_000)  # a cell that the csv module refuses
    assert (previews.read(tmp_path / "b.csv").kind, previews.read(tmp_path / "b.csv").rows) == ("text", None)


def test_images_come_with_their_type_and_can_do_nothing(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        number = await file_id(bench, "looks-like.html", PNG)
        answer = await bench.get("/web/job/image?id=%d" % number)
        assert (answer.status, answer.content, answer.content_type) == (200, PNG, "image/png")
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        for name, content in (("a.svg", SVG), ("a.png", b"<script>alert(1)</script>")):
            number = await file_id(bench, name, content)
            answer = await bench.get("/web/job/image?id=%d" % number)
            assert answer.status == 400 and b"script" not in answer.content
    run(scenario)


def test_files_are_attachments_whatever_they_are(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        for name, content in (("page.html", b"<script>"), ("b.png", PNG)):
            number = await file_id(bench, name, content)
            answer = await bench.get("/web/job/file?id=%d" % number)
            assert (answer.content, answer.content_type) == (content, "application/octet-stream")
            assert answer.headers["Content-Disposition"].startswith('attachment; filename="%s"' % name)
        (bench.experiment.data_dir / "1" / "page.html").unlink()
        for route in ("file", "preview", "image"):
            answer = await bench.get("/web/job/%s?id=1" % route)
            assert answer.status == 404 and "removed" in answer.json["error"]
    run(scenario)


def test_checkpoints_are_listed_without_a_preview(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        number = await file_id(bench, "c", b"text really", route=p.CHECKPOINT, part="checkpoint")
        file, = (await bench.get("/web/job?id=1")).json["files"]
        assert (file["kind"], file["preview"]) == ("checkpoint", None)
        assert (await bench.get("/web/job/file?id=%d" % number)).content == b"text really"
    run(scenario)


# ---- zip

def test_a_zip_has_all_files_and_the_job(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobfolder, "PIECE", 1000)

    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        big = bytes(range(256)) * 100
        await bench.upload(1, "a.bin", big)
        await bench.upload(1, "a.bin", b"second")
        await bench.upload(1, "größe: ü?.txt", b"umlaut")
        await bench.upload(1, "job.json", b"mine")
        await bench.upload(1, "gone.txt", b"x")
        await bench.upload(1, "c", b"weights", route=p.CHECKPOINT, part="checkpoint")
        (bench.experiment.data_dir / "1" / "gone.txt").unlink()
        answer = await bench.get("/web/job/zip?id=1")
        assert (answer.status, answer.content_type) == (200, "application/zip")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="exp-job-1.zip"'
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
        checkpoint = [name for name in found if name.endswith(".pt")][0]
        described = json.loads(found.pop("job-1/job.json"))
        assert json.loads(found.pop("job-1/params.json")) == described["parameters"] == {"x": 1}
        assert found == {"job-1/a.bin": b"second", "job-1/earlier/a.bin": big,
                         "job-1/größe_ ü_.txt": b"umlaut", "job-1/job (1).json": b"mine",
                         checkpoint: b"weights"}
        assert [f["stored_name"] for f in described["files"] if f["missing"]] == ["gone.txt"]
        assert archive.getinfo("job-1/a.bin").date_time == (2023, 11, 14, 22, 13, 20)
        assert archive.getinfo(checkpoint).compress_type == zipfile.ZIP_STORED
    run(scenario)


def test_steps_that_nobody_wants_any_more_are_closed() -> None:
    closed = threading.Event()

    def pieces() -> Generator[bytes, None, None]:
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    async def scenario() -> None:
        given = pieces()
        stream = in_steps(given)
        assert isinstance(stream, AsyncGenerator)
        assert await stream.__anext__() == b"x"
        await stream.aclose()
        assert await asyncio.get_running_loop().run_in_executor(None, closed.wait, 10)
        assert next(given, None) is None

    asyncio.run(scenario())


def test_a_zip_is_made_in_steps_and_given_up_when_nobody_wants_it(run: Run,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobfolder, "PIECE", 1000)

    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        await bench.upload(1, "a.png", b"x" * 10_000)
        response = await bench.router.dispatch(Request("GET", "/web/job/zip?id=1"))
        assert response.stream is not None
        await response.stream.__anext__()  # params.json
        first = await response.stream.__anext__()
        assert 1000 <= len(first) < 2000
        await response.aclose()
        with pytest.raises(StopAsyncIteration):
            await response.stream.__anext__()
    run(scenario)
