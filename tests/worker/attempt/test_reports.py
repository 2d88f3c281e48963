"""What scripts append to the file of JD_METRICS: read, kept, sent, or waiting on disk with the result."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

from jd import protocol
from jd.errors import ServerRefused, ServerUnreachable
from jd.net.jsonbody import parse_json
from jd.script.context import JobContext
from jd.worker.attempt.reports import keptreports, reportfile, reportline, reportsending
from jd.worker.attempt.reports.keptreports import KeptReports
from jd.worker.attempt.reports.reportfile import ReportFile
from jd.worker.attempt.reports.reportsending import ReportSending
from jd.worker.uplink import reportpieces
from jd.worker.uplink.waitingfiles import WaitingFiles

JOB = JobContext("e", 5, "http://127.0.0.1:9", lambda: None, 2)
BEGAN, WALL = 100.0, 1_700_000_000.0


class Server:
    """Has what it was sent, by number; `failure` is what a call meets. It may forget."""

    def __init__(self) -> None:
        self.kept: List[Any] = []
        self.sizes: List[int] = []
        self.finals: List[bool] = []
        self.failure: Optional[Exception] = None
        self.after: Optional[Exception] = None  # the answer does not arrive
        self.every = 10.0

    def call(self, method: str, route: str, body: Dict[str, Any]) -> Any:
        assert (method, route) == ("POST", protocol.REPORT)
        if self.failure is not None:
            raise self.failure
        sent = json.dumps(body).encode()
        parse_json(sent)  # which refuses what is no JSON of RFC 8259
        assert (body["job_id"], body["attempt"]) == (5, 2)
        assert len(body["reports"]) <= protocol.MAX_REPORTS_IN_PIECE
        assert len(json.dumps(body, separators=(",", ":"))) <= protocol.MAX_PIECE_BYTES
        if body["first"] <= len(self.kept):
            self.kept += body["reports"][len(self.kept) - body["first"]:]
        self.sizes.append(len(body["reports"]))
        self.finals.append(body["final"])
        if self.after is not None:
            raise self.after
        return {"count": len(self.kept), "every": self.every}

    @property
    def told(self) -> List[Any]:
        return [told for _, told in self.kept]


class Bench:
    """An attempt that reports, on clocks that a test moves."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.wall = BEGAN, WALL
        self.server = Server()
        self.offered = True
        self.over = False
        self.logged: List[str] = []
        self.outbox = tmp_path / "outbox"
        job_dir = tmp_path / "e" / "5"
        (job_dir.parent / ".jd").mkdir(parents=True)
        self.file = Path(reportfile.place(job_dir, 2))
        monkeypatch.setattr(JobContext, "client", lambda context, timeout: self.server)
        monkeypatch.setattr(Server, "shown", "http://server", raising=False)
        self.sending = ReportSending(job_dir, self.outbox, lambda: JOB, lambda: self.offered,
                                     lambda: self.over, self.logged.append, lambda: self.now,
                                     lambda: self.wall)
        self.sending.begin()

    def write(self, *lines: Any) -> None:
        with open(str(self.file), "ab") as file:
            for line in lines:
                file.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")

    def look(self, after: float = 2.0, watched: bool = False) -> None:
        self.now, self.wall = self.now + after, self.wall + after
        self.sending.look(watched)

    def end(self) -> None:
        self.sending.read_rest()
        self.sending.finish()

    def wait(self) -> WaitingFiles:
        waiting = WaitingFiles.new(self.outbox, 5, 2)
        self.sending.read_rest()
        self.sending.keep(waiting)
        return waiting


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch)
    yield made
    made.sending.close()


def steps(*numbers: int) -> List[Dict[str, int]]:
    return [{"step": number} for number in numbers]


# ---- when it is sent

def test_what_is_new_is_sent_after_some_seconds_and_at_the_end(bench: Bench) -> None:
    bench.write(*steps(0, 1))
    bench.look()
    assert bench.server.kept == []
    bench.look(8.0)
    bench.write(*steps(2))
    bench.look()
    assert bench.server.told == steps(0, 1)
    bench.end()
    assert bench.server.told == steps(0, 1, 2) and bench.server.finals == [False, True]


def test_while_somebody_looks_it_is_sent_at_once(bench: Bench) -> None:
    bench.write(*steps(0))
    bench.look(watched=True)
    bench.write(*steps(1))
    bench.look(watched=True)
    assert bench.server.told == steps(0, 1)


def test_the_server_says_when_it_wants_more(bench: Bench) -> None:
    bench.server.every = 60.0
    bench.write(*steps(0))
    bench.look(10.0)
    bench.write(*steps(1))
    bench.look(59.0)
    assert bench.server.told == steps(0)
    bench.look(1.0)
    assert bench.server.told == steps(0, 1)


def test_that_nothing_comes_after_is_said_where_something_came_before(bench: Bench) -> None:
    bench.write(*steps(0))
    bench.look(10.0)
    bench.end()
    assert bench.server.sizes == [1, 0] and bench.server.finals == [False, True]


def test_a_job_that_reports_nothing_asks_nothing_of_anybody(bench: Bench) -> None:
    bench.look(60.0)
    bench.end()
    assert bench.server.sizes == [] and bench.wait().items() == [] and not bench.outbox.exists()


def test_a_server_that_does_not_offer_it_gets_nothing(bench: Bench) -> None:
    bench.offered = False
    bench.write(*steps(0))
    bench.look(60.0)
    bench.end()
    assert bench.server.sizes == [] and bench.wait().items() == [] and bench.sending.remark() == ""
    assert ["server does not take" in line for line in bench.logged] == [True, True]
    bench.sending.close()
    assert not bench.file.exists()


def test_a_server_that_offers_it_later_gets_all(bench: Bench) -> None:
    bench.offered = False
    bench.write(*steps(0))
    bench.look(60.0)
    bench.offered = True
    bench.look()
    assert bench.server.told == steps(0)


# ---- outages

def test_an_outage_loses_nothing_and_nothing_goes_twice(bench: Bench) -> None:
    bench.write(*steps(0))
    bench.look(10.0)
    bench.server.failure = ServerUnreachable("away")
    for number in range(1, 50):
        bench.write(*steps(number))
        bench.look(10.0)
    bench.server.failure, bench.server.after = None, ServerUnreachable("the answer was lost")
    bench.look(10.0)
    bench.server.after = None
    bench.write(*steps(50))
    bench.look(10.0)
    assert bench.server.told == steps(*range(51))
    assert [round(seconds) for seconds, _ in bench.server.kept] == [10 * n + 10 for n in range(50)] + [520]


def test_what_is_left_when_the_server_is_away_waits_and_arrives_once(bench: Bench) -> None:
    bench.write(*steps(0, 1))
    bench.look(10.0)
    bench.write(*steps(*range(2, 6000)))
    bench.server.failure = ServerUnreachable("away")
    with pytest.raises(ServerUnreachable):
        bench.end()
    waiting = bench.wait()
    item, = waiting.items()
    assert (item.route, item.name, item.offset) == (protocol.REPORT, "reports.jsonl", 2)
    bench.server.failure, bench.server.after = None, ServerUnreachable("the answer was lost")
    with pytest.raises(ServerUnreachable):
        waiting.send(JOB, bench.logged.append)
    bench.server.after = None
    waiting.send(JOB, bench.logged.append)
    assert bench.server.told == steps(*range(6000)) and waiting.items() == [] and waiting.losses() == []
    assert bench.server.finals[-1] and not any(bench.server.finals[:-1])


def test_what_waits_for_a_server_that_knows_no_reports_is_told_as_not_uploaded(bench: Bench) -> None:
    bench.write(*steps(0))
    waiting = bench.wait()
    refused = ServerRefused(404, "no such route")
    setattr(refused, "told", "no such route")
    bench.server.failure = refused
    waiting.send(JOB, bench.logged.append)
    assert waiting.items() == [] and "reports.jsonl" in waiting.losses()[0]


def test_damaged_lines_of_what_waits_do_not_keep_the_others(bench: Bench) -> None:
    bench.write(*steps(0, 1, 2))
    waiting = bench.wait()
    item, = waiting.items()
    content = item.path.read_bytes().splitlines(True)
    item.path.write_bytes(content[0] + b"\x00\xff[[\n" + content[2][:-4])
    waiting.send(JOB, bench.logged.append)
    assert bench.server.told == steps(0)


@pytest.mark.parametrize("has", [0, 3])
def test_a_server_that_was_restored_gets_what_follows_what_it_has(bench: Bench, has: int) -> None:
    bench.write(*steps(*range(5)))
    bench.look(10.0)
    del bench.server.kept[has:]
    bench.write(*steps(5, 6))
    bench.look(10.0)
    assert bench.server.told == steps(*range(has), 5, 6)
    bench.write(*steps(7))
    bench.look(10.0)
    assert bench.server.told == steps(*range(has), 5, 6, 7)


@pytest.mark.parametrize("status, more", [(409, False), (400, False), (410, False), (404, True), (503, True),
                                          (401, True)])
def test_a_refusal_that_cannot_pass_ends_it(bench: Bench, status: int, more: bool) -> None:
    bench.server.failure = ServerRefused(status, "no")
    bench.write(*steps(0))
    bench.look(10.0)
    bench.server.failure = None
    bench.look(10.0)
    bench.end()
    assert bool(bench.server.kept) is more
    assert any("takes no more of what the job reports" in line for line in bench.logged) is not more


def test_no_more_is_sent_when_the_time_is_up(bench: Bench) -> None:
    bench.write(*steps(*range(20_000)))
    bench.over = True
    bench.end()
    assert bench.server.sizes == []


# ---- when it was

def stamps(bench: Bench) -> List[float]:
    return [seconds for seconds, _ in bench.server.kept]


def test_a_report_has_the_time_that_its_line_says_else_that_of_its_reading(bench: Bench) -> None:
    bench.write({"time": WALL + 1.25, "loss": 1}, {"loss": 2})
    bench.look(12.0)
    assert bench.server.kept == [[1.25, {"loss": 1}], [12.0, {"loss": 2}]]


@pytest.mark.parametrize("time", [WALL - 5, WALL + 500, 0.3, "noon", None, True, -1e300, 1e308, float("nan")])
def test_a_time_that_is_not_within_the_attempt_is_none(bench: Bench, time: Any) -> None:
    bench.write({"time": time, "loss": 1})
    bench.look(12.0)
    assert bench.server.kept == [[12.0, {"loss": 1}]]


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 30.0])
def test_a_clock_that_is_set_meanwhile_changes_no_times(bench: Bench, jump: float) -> None:
    bench.write({"time": bench.wall + 1.0})
    bench.look(10.0)
    bench.wall += jump
    bench.write({"time": bench.wall + 5.0})
    bench.look(10.0)
    assert stamps(bench) == [1.0, 15.0]


def test_a_line_that_was_written_before_the_clock_was_set_has_the_time_of_its_reading(bench: Bench) -> None:
    bench.write({"time": bench.wall + 1.0})
    bench.wall += 3600.0
    bench.look(10.0)
    assert stamps(bench) == [10.0]


# ---- what scripts do to the file

def test_the_end_of_a_line_is_waited_for_until_the_script_has_ended(bench: Bench) -> None:
    bench.write(b'{"step": 0}\n{"st')
    bench.look(10.0)
    assert bench.server.told == steps(0)
    bench.write(b'ep": 1}')
    bench.look(10.0)
    assert bench.server.told == steps(0)
    bench.end()
    assert bench.server.told == steps(0, 1) and bench.sending.remark() == ""


def test_a_file_that_is_emptied_and_written_anew_goes_on(bench: Bench) -> None:
    bench.write(*steps(0, 1, 2))
    bench.look(10.0)
    bench.file.write_bytes(b'{"step": 3}\n')
    bench.look(10.0)
    bench.file.write_bytes(b'{"step": 4, "x": 1}\n')
    bench.look(10.0)
    assert [one["step"] for one in bench.server.told] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("by_rename", [False, True])
def test_a_file_that_is_written_anew_with_all_that_it_had_says_nothing_twice(bench: Bench,
                                                                             by_rename: bool) -> None:
    for count in range(1, 6):
        content = "".join(json.dumps(one) + "\n" for one in steps(*range(count)))
        new = bench.file.with_name("new") if by_rename else bench.file
        new.write_text(content)
        new.replace(bench.file)
        bench.look(10.0)
    assert bench.server.told == steps(*range(5))


def test_a_file_that_is_deleted_is_read_to_its_end_and_so_is_its_successor(bench: Bench) -> None:
    bench.write(*steps(0))
    bench.look(10.0)
    bench.write(*steps(1))
    bench.file.unlink()
    bench.look(10.0)
    bench.write(*steps(2))
    bench.look(10.0)
    assert bench.server.told == steps(0, 1, 2)


def test_what_was_written_before_another_file_took_its_place_counts(bench: Bench) -> None:
    bench.write(*steps(0))
    bench.look(10.0)
    bench.write(*steps(1), b'{"step": 2}')
    bench.file.unlink()
    bench.write({"step": 3, "x": 1})
    bench.look(10.0)
    assert [one["step"] for one in bench.server.told] == [0, 1, 2, 3]


def _pipe(path: Path) -> None:
    os.mkfifo(str(path))


def _directory(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text('{"step": 1}\n')
    path.symlink_to(target)


@pytest.mark.parametrize("make, name", [(_pipe, "a pipe"), (_directory, "a directory"), (_link, "a link")])
def test_what_is_no_file_is_not_read_and_the_history_says_so(bench: Bench, make: Callable[[Path], None],
                                                            name: str) -> None:
    make(bench.file)
    bench.look(10.0)
    bench.end()
    assert bench.server.kept == [] and name in bench.sending.remark()
    bench.sending.close()


def test_garbage_is_left_out_and_counted_and_what_is_around_it_counts(bench: Bench) -> None:
    bench.write(*steps(0), b"\x00\xff\xfe\n", b"not json\n", b"[1, 2]\n", b"{}}\n", b"\n", b"  \r\n",
                b'{"step": 1}\r\n', b'{"x": "\xff"}\n', os.urandom(50).replace(b"\n", b"") + b"\n", *steps(2))
    bench.look(10.0)
    bench.end()
    assert bench.server.told == steps(0, 1, 2)
    assert bench.sending.remark() == "6 lines of its reports are no JSON object of at most 16 KB"
    assert len(bench.logged) == 1 and "no JSON object" in bench.logged[0]


def test_a_line_without_an_end_fills_no_memory_and_what_comes_after_it_counts(bench: Bench) -> None:
    bench.write(*steps(0), b'{"x": "' + b"x" * (3 * reportfile.CHUNK))
    bench.look(10.0)
    bench.write(b"x" * reportfile.CHUNK)
    bench.look(10.0)
    bench.write(b'"}\n', *steps(1))
    bench.look(10.0)
    assert bench.server.told == steps(0, 1)
    assert bench.sending.remark() == "1 line of its reports is no JSON object of at most 16 KB"


@pytest.mark.parametrize("line, told", [
    ('{"x": NaN, "y": [Infinity, -Infinity]}', {"x": "NaN", "y": ["Infinity", "-Infinity"]}),
    ('{"x": 1e999, "y": {"z": -1e999}}', {"x": "Infinity", "y": {"z": "-Infinity"}}),
    ('{"x": -%s, "y": %s, "z": 1}' % ("9" * 310, "9" * 400), {"x": "-Infinity", "y": "Infinity", "z": 1}),
    ('{"x": 1, "time": %s}' % ("9" * 310), {"x": 1}),
    ('{"x": 1%s, "y": -1%s}' % ("0" * 308, "0" * 308), {"x": 10 ** 308, "y": -10 ** 308}),
    ('{"x": 0.%s1, "y": "%s"}' % ("0" * 320, "1" * 400), {"x": 1e-321, "y": "1" * 400}),
    ('{"x": 1, "x": 2}', {"x": 2}),
    ('{"\\u00e4 \\ud83d\\ude00": 1}', {"ä 😀": 1}),
    ('{"x": "text", "y": null, "z": true}', {"x": "text", "y": None, "z": True}),
    ('{}', {}),
])
def test_a_line_becomes_what_a_server_takes(line: str, told: Dict[str, Any]) -> None:
    found = reportline.read(line.encode())
    assert found is not None and parse_json(found.told.encode()) == told


@pytest.mark.parametrize("line", [
    '{"x": "\\ud800"}', '{"\\udfff": 1}', '{"x": %s}' % ("[" * 40 + "]" * 40), "[" * 5000, '{"x": ' * 3000,
    '{"x": %s}' % ("9" * 6000), '{"x": "%s"}' % ("x" * protocol.MAX_REPORT_BYTES),
    '{"x": "%s"}' % ("ä" * 4000), "", "3", '"x"', "null"])
def test_what_no_server_would_take_is_no_report(line: str) -> None:
    """One of them would have the whole piece refused."""
    assert reportline.read(line.encode()) is None


# ---- how much

def test_a_piece_is_no_larger_than_the_server_takes(bench: Bench) -> None:
    bench.write(*[{"step": number, "text": "x" * 4000} for number in range(300)])
    bench.write(*steps(*range(300, 12_000)))
    bench.end()
    assert [one["step"] for one in bench.server.told] == list(range(12_000))
    assert len(bench.server.sizes) >= 6 and bench.server.finals[-1]


def test_so_many_at_once_are_taken_and_of_more_an_even_part_with_the_last(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reportsending, "AT_ONCE", 1000)
    monkeypatch.setattr(reportsending, "PER_SECOND", 10)
    bench.write(*steps(*range(1000)))
    bench.look(1.0)
    bench.write(*steps(*range(1000, 5003)))
    bench.look(99.0)
    bench.end()
    found = [one["step"] for one in bench.server.told]
    assert found[:1000] == list(range(1000)) and found[-1] == 5002
    rest = found[1000:]
    assert 700 <= len(rest) <= 1001 and max(b - a for a, b in zip(rest, rest[1:])) <= 5
    assert "it reported more than is taken (1,000, and 10 a second)" in bench.sending.remark()


def test_of_far_too_much_parts_are_looked_at_from_its_beginning_to_its_end(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reportfile, "MAX_BEHIND", 64 * 200)
    bench.write(*steps(*range(20_000)))
    bench.look(10.0)
    found = [one["step"] for one in bench.server.told]
    assert found == sorted(set(found)) and (found[0], found[-1]) == (0, 19_999)
    assert 400 < len(found) < 900 and max(b - a for a, b in zip(found, found[1:])) < 350
    bench.write(*steps(20_000, 20_001))
    bench.look(10.0)
    bench.end()
    assert [one["step"] for one in bench.server.told] == [*found, 20_000, 20_001]
    assert "more than is taken" in bench.sending.remark() and bench.logged == []


def test_while_a_server_is_away_for_long_every_second_one_stays(bench: Bench,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keptreports, "IN_MEMORY", 1000)
    monkeypatch.setattr(keptreports, "MAX_BYTES", 20_000)
    bench.server.failure = ServerUnreachable("away")
    for number in range(0, 3000, 100):
        bench.write(*steps(*range(number, number + 100)))
        bench.look(10.0)
    bench.server.failure = None
    bench.end()
    found = [one["step"] for one in bench.server.told]
    assert found == sorted(set(found)) and found[-1] == 2999 and found[0] < 100 and 400 < len(found) < 1500
    assert "some of it is left out" in bench.sending.remark()


def test_a_full_disk_loses_reports_and_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    logged: List[str] = []
    kept = KeptReports(tmp_path, logged.append)
    kept.append([b"x" * 100_000 + b"\n"] * 2)
    assert kept.waiting == 2
    for _ in range(3):
        kept.append([b"x" * 100_000 + b"\n"] * 2)
    assert kept.waiting == 0 and kept.piece() == [] and len(logged) == 1 and "No space left" in logged[0]


@pytest.mark.parametrize("in_memory", [0, 50, 10_000])
def test_what_is_kept_is_given_out_in_its_order_from_memory_and_disk(tmp_path: Path, in_memory: int,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keptreports, "IN_MEMORY", in_memory)
    monkeypatch.setattr(reportpieces, "MAX_REPORTS_IN_PIECE", 7)
    kept = KeptReports(tmp_path / "cache", print)
    given, taken = 0, []
    for _ in range(40):
        kept.append([b"%d\n" % number for number in range(given, given + 5)])
        given += 5
        some = kept.piece()
        taken += some
        kept.forget(some)
        with kept.all() as rest:
            rest.seek(0)
            assert [int(line) for line in rest] == list(range(len(taken), given))
    assert [int(line) for line in taken] == list(range(given))
    assert kept.waiting == 0
    kept.close()


def test_what_a_dead_worker_left_of_this_attempt_and_the_one_before_is_removed(bench: Bench) -> None:
    bench.write(*steps(0))
    earlier = bench.file.with_name("5.1.reports")
    earlier.write_text("x")
    bench.sending.begin()
    bench.look(60.0)
    assert bench.server.kept == [] and not earlier.exists()


def test_nothing_is_left_of_it(bench: Bench) -> None:
    bench.write(*steps(0))
    bench.look(10.0)
    bench.end()
    bench.sending.close()
    assert list(bench.file.parent.iterdir()) == []


def test_a_file_is_not_read_again_where_nothing_has_changed(tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_text('{"a": 1}\n')
    file = ReportFile(str(path))
    assert len(list(file.lines(10))) == 1

    def read(*_: Any) -> bytes:
        raise AssertionError("it was read")
    monkeypatch.setattr(os, "pread", read)
    assert list(file.lines(10)) == []
    file.close()
