"""The output of attempts, as the server keeps and shows it."""

import io
import os
import threading
import zipfile
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Optional

import pytest

from jd import protocol as p
from jd.messages import OutputPiece
from jd.outputtext import joint
from jd.server.store.files import outputs
from jd.server.store.files.outputs import Outputs
from tests.server.parts_bench import PartsBench
from tests.server.scenes import play

Run = Callable[[Callable[[PartsBench], Awaitable[None]]], None]
HEAD, FILE = 1000, 300


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "OUTPUT_HEAD", HEAD)
    monkeypatch.setattr(outputs, "FILE_BYTES", FILE)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: play(lambda: PartsBench(tmp_path), scenario)


def piece(offset: int, output: str, after_gap: bool = False, final: bool = False) -> OutputPiece:
    return OutputPiece(7, 1, offset, output, after_gap, final)


def numbered(start: int, end: int) -> str:
    return "".join("%09d\n" % at for at in range(0, end + 10, 10))[start:end]


def whole(data_dir: Path, tail: str = "", size: Optional[int] = 0) -> str:
    return b"".join(outputs.whole(outputs.kept(data_dir, 7, 1, tail, size))).decode()


@pytest.mark.usefixtures("small")
class TestStore:
    def test_pieces_follow_on_and_a_repeated_one_does_no_harm(self, tmp_path: Path) -> None:
        store = Outputs(tmp_path)
        assert store.take(piece(0, "one\n")) == 4
        assert store.take(piece(0, "one\n")) == 4
        assert store.take(piece(2, "e\ntwo\n")) == 8
        assert whole(tmp_path) == "one\ntwo\n"

    def test_what_does_not_follow_is_not_taken_unless_it_is_all_there_is(self, tmp_path: Path) -> None:
        store = Outputs(tmp_path)
        store.take(piece(0, "one\n"))
        assert store.take(piece(10, "three\n")) == 4
        assert store.take(piece(10, "three\n", after_gap=True)) == 16
        assert whole(tmp_path) == "one\n" + joint("\n", 6) + "three\n"
        assert Outputs(tmp_path).take(piece(16, "four\n")) == 21  # a server that was started again

    def test_it_stays_bounded_whatever_a_worker_sends(self, tmp_path: Path) -> None:
        store = Outputs(tmp_path)
        for offset in range(0, 20_000, 170):
            store.take(piece(offset, numbered(offset, offset + 170)))
        for offset in range(10 ** 6, 10 ** 9, 10 ** 7):
            store.take(piece(offset, "x" * 10, after_gap=True))
        files = list((tmp_path / ".output" / "7" / "1").iterdir())
        assert len(files) == 1 + outputs.KEPT_FILES
        assert sum(path.stat().st_size for path in files) <= HEAD + outputs.KEPT_FILES * FILE
        assert whole(tmp_path).startswith(numbered(0, HEAD))

    def test_the_beginning_stays_and_of_the_end_at_least_two_files(self, tmp_path: Path) -> None:
        store = Outputs(tmp_path)
        store.take(piece(0, numbered(0, 5000), final=True))
        shown = whole(tmp_path)
        assert shown.startswith(numbered(0, HEAD)) and shown.endswith(numbered(5000 - 2 * FILE, 5000))
        assert "bytes of output are left out here" in shown
        for path in (tmp_path / ".output").rglob("*"):
            assert os.stat(str(path)).st_mode & 0o077 == 0

    def test_the_end_that_came_with_a_heartbeat_joins_on(self, tmp_path: Path) -> None:
        Outputs(tmp_path).take(piece(0, numbered(0, 500)))
        assert whole(tmp_path, numbered(450, 600), 600) == numbered(0, 600)
        assert whole(tmp_path, numbered(100, 400), 400) == numbered(0, 500)
        gap = outputs.kept(tmp_path, 7, 1, numbered(700, 900), 900)
        assert [(part.offset, part.end) for part in gap] == [(0, 500), (700, 900)]
        follows = outputs.kept(tmp_path, 7, 1, numbered(700, 900), 900, follows=True)
        assert follows[-1].end == 500  # its worker is still to send what is between

    def test_parts_end_between_characters_and_where_something_is_missing(self, tmp_path: Path) -> None:
        store = Outputs(tmp_path)
        store.take(piece(0, "€" * 20))
        store.take(piece(100, "end", after_gap=True))
        stretches = outputs.kept(tmp_path, 7, 1, "", 0)
        first = outputs.part(stretches, 0, 16)
        assert (first.text, first.next) == ("€" * 5, 15)
        assert outputs.part(stretches, 16, 100) == (18, "€" * 14, 60)
        assert outputs.part(stretches, 60, 100) == (100, "end", 103)
        assert outputs.part(stretches, 103, 100) == (103, "", 103)

    def test_a_piece_that_is_being_written_is_shown_up_to_a_whole_character(self, tmp_path: Path) -> None:
        """The kernel tells the size of a file in the midst of one write; the character was shown as �."""
        store = Outputs(tmp_path)
        store.take(piece(0, "12€"))
        with open(str(tmp_path / ".output" / "7" / "1" / ("%016d" % 0)), "r+b") as file:
            file.truncate(4)
            half = outputs.kept(tmp_path, 7, 1, "", 0)
            assert outputs.part(half, 0, 100, grows=True) == (0, "12", 2)
            assert outputs.part(half, 2, 100, grows=True) == (2, "", 2)
            assert outputs.part(half, 0, 100) == (0, "12\ufffd", 4)  # nothing more comes
            file.seek(4)
            file.write("€".encode()[2:])
        assert outputs.part(outputs.kept(tmp_path, 7, 1, "", 0), 2, 100, grows=True) == (2, "€", 5)

    def test_a_disk_without_room_takes_nothing_and_says_so_once(
            self, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        store = Outputs(tmp_path)
        store.take(piece(0, "one\n"))
        monkeypatch.setattr(outputs, "MIN_FREE", 2 ** 62)
        assert store.take(piece(4, "two\n")) == 4 and store.take(piece(4, "two\n")) == 4
        assert len([record for record in caplog.records if "are free below" in record.getMessage()]) == 1

    def test_pieces_at_once_are_kept_one_after_the_other(self, tmp_path: Path) -> None:
        store = Outputs(tmp_path)
        threads = [threading.Thread(target=store.take, args=(piece(0, numbered(0, 900)),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert whole(tmp_path) == numbered(0, 900)


async def _send(bench: PartsBench, offset: int, output: str, status: int = 200,
                **more: Any) -> Dict[str, Any]:
    answer = await bench.post(p.OUTPUT, dict({"job_id": 1, "attempt": 1, "offset": offset, "output": output},
                                             **more))
    assert answer.status == status, answer.content
    found: Dict[str, Any] = answer.json
    return found


def test_only_the_attempt_that_runs_may_write(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        await _send(bench, 0, "early", 409)
        await bench.beat("a")
        assert await _send(bench, 0, "hello\n") == {"size": 6, "every": p.OUTPUT_INTERVAL}
        await _send(bench, 6, "x", 409, attempt=2)
        await _send(bench, 6, "x", 404, job_id=99)
        await _send(bench, -1, "x", 400)
        await _send(bench, 6, "x" * (p.MAX_PIECE_BYTES + 1), 400)
        await bench.finish(1, attempt=1)
        await _send(bench, 6, "late", 409)
        assert (await bench.get("/api/jobs/1/uploads")).json["uploads"] == []
        assert (await bench.get("/api/jobs/1/output")).json["output"] == "hello\n"
    run(scenario)


def test_who_reads_is_told_where_it_goes_on(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        assert (await bench.get("/api/jobs/1/output")).json == {
            "job_id": 1, "status": "PENDING", "attempt": None, "running": False, "size": 0, "offset": 0,
            "output": "", "next": 0, "left_out": 0, "tail_only": False}
        await bench.beat("a", session="s")
        await _send(bench, 0, numbered(0, 200))
        assert (await _send(bench, 200, ""))["every"] == p.OUTPUT_INTERVAL
        first = (await bench.get("/api/jobs/1/output?limit=50")).json
        assert (first["output"], first["next"], first["size"], first["running"]) == (
            numbered(0, 50), 50, 200, True)
        assert (await _send(bench, 200, ""))["every"] == p.WATCHED_INTERVAL  # somebody has looked
        await bench.beat("a", session="s", reported_status="busy", current_job_id=1, attempt=1,
                         output_tail=numbered(180, 230), output_size=230)
        assert (await bench.get("/api/jobs/1/output?offset=200")).json["output"] == numbered(200, 230)
        last = (await bench.get("/api/jobs/1/output?last=20")).json
        assert (last["output"], last["offset"], last["left_out"]) == (numbered(210, 230), 210, 0)
        for wrong in ("offset=-1", "last=0", "limit=1", "offset=1&last=20", "attempt=x"):
            assert (await bench.get("/api/jobs/1/output?" + wrong)).status == 400, wrong
        assert (await bench.get("/api/jobs/1/output?attempt=2")).status == 404
        assert (await bench.get("/api/jobs/2/output")).status == 404
    run(scenario)


def test_a_short_output_comes_with_the_result_and_is_in_no_file(run: Run, tmp_path: Path) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        await bench.beat("a", session="s")
        await bench.beat("a", session="s", finished={"job_id": 1, "attempt": 1, "status": "DONE",
                                                     "output_tail": "all of it\n", "output_size": 10})
        found = (await bench.get("/api/jobs/1/output")).json
        assert (found["output"], found["size"], found["tail_only"]) == ("all of it\n", 10, False)
        assert not (tmp_path / "exp" / "data" / ".output").exists()
        released = {"job_id": 2, "attempt": 1, "reason": "stopped", "output_tail": "so far\n",
                    "output_size": 7}
        await bench.beat("a", session="s", reported_status="busy", released=released)
        assert (await bench.get("/api/jobs/2/output?attempt=1")).json["output"] == "so far\n"
    run(scenario)


def test_the_page_gets_16_kb_and_all_of_it_on_demand(run: Run) -> None:
    """It was promised, and there were 4096 bytes."""
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat("a")
        text = numbered(0, 300_000)
        await _send(bench, 0, text[:200_000])
        await _send(bench, 200_000, text[200_000:])
        await bench.finish(1, "ABORTED", attempt=1, exit_code=3, output_tail=text[-p.MAX_TAIL_CHARS:],
                           output_size=len(text))
        shown = (await bench.get("/web/job/output?id=1")).json
        assert shown["output"] == text[-16 * 1024:] and shown["offset"] == 300_000 - 16 * 1024
        assert (await bench.get("/web/job/output?id=1&offset=0&limit=1048576")).json["output"] == text
        log = await bench.get("/web/job/output/log?id=1&attempt=1")
        assert log.content == text.encode()
        assert log.headers["Content-Disposition"] == 'attachment; filename="exp-job-1-attempt-1-output.log"'
        archive = zipfile.ZipFile(io.BytesIO((await bench.get("/web/job/zip?id=1")).content))
        assert archive.read("job-1/output/attempt-1.log") == text.encode()
    run(scenario)


def test_names_in_the_archive(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        for number in (1, 2):
            await bench.beat("a")
            await bench.finish(1, "ABORTED", attempt=number, verdict="preempted", output_tail="o%d" % number)
        found: List[str] = zipfile.ZipFile(
            io.BytesIO((await bench.get("/web/job/zip?id=1")).content)).namelist()
        assert [name for name in found if name.startswith("job-1/output/")] == [
            "job-1/output/attempt-1.log", "job-1/output/attempt-2.log"]
    run(scenario)
