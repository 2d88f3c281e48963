"""What is done for a job's files when its script has ended, without a server."""

import errno
import json
import math
import os
import shutil
import socket
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Tuple

import pytest

from jd import protocol
from jd.errors import JdError, ServerRefused, ServerUnreachable, StorageError
from jd.script import uploaded
from jd.script.context import JobContext
from jd.threads import Kept
from jd.worker.attempt.files import checkpointdir, collecting, jobdir, jobfiles
from jd.worker.attempt.files.collect import Rules
from jd.worker.attempt.files.jobfiles import FileSettings, JobFiles, Saved
from jd.worker.attempt.output.keptoutput import KeptOutput
from jd.worker.attempt.output.printed import Printed
from jd.worker.uplink import reportpieces
from jd.worker.uplink.reportpieces import Told
from jd.worker.uplink.waitingfiles import WaitingFiles
from tests.support import wait_until

JOB = JobContext("e", 5, "http://127.0.0.1:9", lambda: None, 2)


class Bench:
    """An attempt that has ended; `away` is what uploads raise."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.job_dir = tmp_path / "5"
        self.checkpoints = self.job_dir / "jd_checkpoint-2"
        self.outbox = tmp_path / "outbox"
        self.checkpoints.mkdir(parents=True)
        self.sent: List[str] = []
        self.logged: List[str] = []
        self.failure: Optional[JdError] = None
        self.before_sending: Callable[[], object] = lambda: None
        self.woken = threading.Event()
        monkeypatch.setattr(jobfiles, "send", self.send)
        monkeypatch.setattr(collecting, "upload_file", self.upload_file)
        self.care: Optional[JobFiles] = None
        self.output: Optional[KeptOutput] = None
        self.takes_reports = False
        self.metrics = tmp_path / ".jd" / "5.2.reports"
        self.metrics.parent.mkdir()

    def send(self, context: Any, patience: Any, route: str, part: str, file: Any, name: str,
             size: int, *texts: str) -> None:
        self.upload(name)

    def upload_file(self, context: Any, path: str, patience: Any, job_dir: Path, name: str,
                    place: Optional[str] = None) -> None:
        self.upload(name if place is None else "%s at %s" % (name, place))

    def upload(self, name: str) -> None:
        self.before_sending()
        if self.failure is not None:
            raise self.failure
        self.sent.append(name)

    def begin(self, *patterns: str, takes_paths: bool = False, printed: Optional[bytes] = None,
              limits: Tuple[int, int] = (500, 1 << 30), **more: Any) -> JobFiles:
        heard = None
        if printed is not None:
            heard = Printed()
            heard.feed(printed)
        settings = FileSettings(Rules(patterns, *limits), 100.0, self.outbox)
        self.care = JobFiles(settings, self.job_dir, self.checkpoints, lambda: JOB, "data",
                             self.logged.append, self.woken.set, lambda: takes_paths, heard,
                             output=self.output, takes_reports=lambda: self.takes_reports, **more)
        self.care.start()
        return self.care

    def end(self, exit_code: int = 0, stopped: bool = False) -> Saved:
        assert self.care is not None
        self.care.finish(exit_code, stopped)
        assert self.care.outcome is not None or self.woken.wait(60)
        assert self.care.outcome is not None
        return self.care.outcome


_events: Optional[List[str]] = None


@contextmanager
def audited() -> Iterator[List[str]]:
    """What the main thread asks the system for in the block: files, directories and their lists."""
    global _events
    if _events is None:
        sys.addaudithook(_note)  # which stays
    _events, main = [], threading.current_thread()
    assert main is threading.main_thread()
    found = _events
    try:
        yield found
    finally:
        _events = []


def _note(event: str, _: Any) -> None:
    if (event.startswith("os.") or event == "open") and threading.current_thread() is threading.main_thread():
        assert _events is not None
        _events.append(event)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


@pytest.mark.parametrize("name, has_files", [("a.csv", True), ("a.txt", False)])
def test_whether_an_attempt_has_collected_anything_is_told(bench: Bench, name: str, has_files: bool) -> None:
    bench.begin("*.csv")
    bench.job_dir.joinpath(name).write_text("1")
    assert bench.end(2).has_files is has_files


def test_a_checkpoint_that_an_attempt_went_on_from_counts(bench: Bench) -> None:
    bench.checkpoints.joinpath("state").write_text("restored")
    bench.begin()
    assert bench.end(2).has_files and bench.sent == []


def test_nothing_to_do_leaves_nothing(bench: Bench) -> None:
    bench.begin()
    assert bench.end() == Saved()
    assert not bench.job_dir.exists() and not bench.outbox.exists()


def test_a_short_job_that_has_left_nothing_wakes_no_thread(bench: Bench) -> None:
    thread = Kept("test")
    thread.do = None  # type: ignore[assignment,method-assign]
    care = bench.begin(thread=thread)
    care.finish(0, False)
    assert care.outcome == Saved() and not bench.job_dir.exists()


def test_what_a_short_job_costs_in_files(bench: Bench) -> None:
    """Each of these is asked of the system for every job: the files of a new one are not looked for."""
    bench.checkpoints.rmdir()
    bench.job_dir.rmdir()
    with audited() as before:
        prepared = jobdir.prepare(bench.job_dir, "data", 1)
        checkpointdir.make(bench.checkpoints)
        bench.begin(is_new=prepared.is_new, restored=False)
        jobdir.confirm(bench.job_dir, "data")
    with audited() as after:
        bench.end()
    assert prepared.is_new and not bench.job_dir.exists()
    # The directory, that of marks, that of checkpoints; whether one was there; the mark with the list of
    # uploads, and for a later attempt whether it is still there; what others may have reported, of this
    # attempt and the one before.
    assert sorted(before) == sorted(["os.mkdir"] * 3 + ["os.scandir"] + ["open"] * 2 + ["os.remove"] * 2)
    assert after == ["os.rmdir"] * 2 + ["os.remove"]


@pytest.mark.parametrize("name", ["out.csv", ".hidden", "jd_checkpoint-1/state"])
def test_what_anybody_else_has_written_keeps_it(bench: Bench, name: str) -> None:
    bench.begin()
    path = bench.job_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("1")
    bench.end()
    assert path.read_text() == "1" and not bench.checkpoints.exists()


@pytest.mark.parametrize("exit_code, stopped, stays", [(0, False, True), (1, False, False), (0, True, False)])
def test_the_directory_is_saved_and_stays_for_people_where_no_attempt_follows(
        bench: Bench, exit_code: int, stopped: bool, stays: bool) -> None:
    bench.begin()
    (bench.checkpoints / "state").write_text("1")
    outcome = bench.end(exit_code, stopped)
    assert bench.sent == [checkpointdir.NAME]
    assert outcome == Saved("checkpoint saved" if stopped else "", has_files=True)
    assert bench.checkpoints.exists() is stays


def test_what_a_killed_script_was_writing_is_not_saved(bench: Bench) -> None:
    bench.begin()
    (bench.checkpoints / "state").write_text("half")
    assert "torn" in bench.end(-9).note
    assert bench.sent == [] and (bench.checkpoints / "state").exists()


def test_of_a_stopped_job_a_copy_is_kept_before_the_server_is_asked(bench: Bench) -> None:
    seen: List[int] = []
    bench.before_sending = lambda: seen.append(len(list(bench.outbox.glob("*.files/*.json"))))
    bench.begin()
    (bench.checkpoints / "state").write_text("1")
    assert bench.end(0, stopped=True).waiting_files is None
    assert seen == [1] and list(bench.outbox.iterdir()) == []


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("failure", [ServerUnreachable("away"), ServerRefused(503, "soon")])
def test_what_cannot_be_sent_waits(bench: Bench, failure: JdError, stopped: bool) -> None:
    bench.failure = failure
    bench.begin("*.csv")
    (bench.checkpoints / "state").write_text("1")
    (bench.job_dir / "a.csv").write_text("1")
    outcome = bench.end(1, stopped)
    assert outcome.waiting_files is not None
    waiting = WaitingFiles(outcome.waiting_files).items()
    assert [item.name for item in waiting] == [checkpointdir.NAME, "a.csv"]
    assert "its checkpoint waits" in outcome.note and "1 file waited" in outcome.note
    assert (bench.checkpoints / "state").exists()


NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("failure", [NO_SPACE, MemoryError(), ValueError("odd")])
def test_whatever_a_look_meets_the_next_ones_come(bench: Bench, monkeypatch: pytest.MonkeyPatch,
                                                  failure: Exception) -> None:
    """The thread that ends in silence saves no checkpoint and collects no file."""
    monkeypatch.setattr(jobfiles, "LOOK_EVERY", 0.001)
    looks: List[float] = []
    twice = threading.Event()

    def look(saver: checkpointdir.Saver, now: float) -> None:
        looks.append(now)
        if len(looks) == 2:
            twice.set()
        raise failure
    monkeypatch.setattr(checkpointdir.Saver, "look", look)
    bench.begin("*.csv").look(math.inf)
    assert twice.wait(60)
    (bench.checkpoints / "state").write_text("1")
    (bench.job_dir / "a.csv").write_text("1")
    outcome = bench.end()
    assert bench.sent == [checkpointdir.NAME, "a.csv"] and outcome.note.startswith("collected 1 file")
    assert sum("the checkpoint directory was not saved" in line for line in bench.logged) == 1


@pytest.mark.parametrize("place, name, told", [
    (jobfiles.JobFiles, "_save_last", "the checkpoint directory was not saved: No space left on device"),
    (jobfiles.JobFiles, "_send_output", "not all of its output was sent: No space left on device"),
    (jobfiles.JobFiles, "_send_reports", "not all of its reports were sent: No space left on device"),
    (jobfiles.JobFiles, "_tidy_up", ""),
    (collecting.Collector, "collect", "not all of its files were collected: No space left on device"),
    (jobfiles.JobFiles, "_waiting", "its files were not all saved: No space left on device"),
])
def test_what_fails_at_the_end_is_told_in_the_jobs_history(bench: Bench, monkeypatch: pytest.MonkeyPatch,
                                                           place: Any, name: str, told: str) -> None:
    def fail(*_: Any) -> None:
        raise NO_SPACE
    monkeypatch.setattr(place, name, fail)
    bench.begin("*.csv")
    (bench.checkpoints / "state").write_text("1")
    (bench.job_dir / "a.csv").write_text("1")
    outcome = bench.end()
    assert told in outcome.note and any("No space left" in line for line in bench.logged)
    if name != "_save_last":
        assert checkpointdir.NAME in bench.sent
    if name != "collect":
        assert "a.csv" in bench.sent


def test_a_full_outbox_does_not_keep_a_stopped_job_from_saving(bench: Bench,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageError("no space left for what waits")
    monkeypatch.setattr(WaitingFiles, "add", full)
    bench.begin()
    (bench.checkpoints / "state").write_text("1")
    assert bench.end(0, stopped=True).note == "checkpoint saved"
    assert bench.sent == [checkpointdir.NAME] and "no space left for what waits" in bench.logged[0]


def test_where_neither_server_nor_disk_takes_it_the_history_says_so(bench: Bench,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageError("no space left for what waits")
    monkeypatch.setattr(WaitingFiles, "add", full)
    bench.failure = ServerUnreachable("away")
    bench.begin("*.csv")
    (bench.checkpoints / "state").write_text("1")
    (bench.job_dir / "a.csv").write_text("1")
    note = bench.end(1).note
    assert "checkpoint directory was not saved: no space left for what waits" in note
    assert "not collected: a.csv (no space left for what waits)" in note
    assert (bench.checkpoints / "state").exists()


def test_output_whose_file_cannot_be_closed_does_not_hold_the_job(bench: Bench) -> None:
    class Stuck(KeptOutput):
        def close(self) -> None:
            raise NO_SPACE
    bench.output = Stuck(bench.outbox, bench.logged.append)
    bench.begin()
    (bench.job_dir / "model").write_text("")
    assert bench.end(1) == Saved() and "No space left" in bench.logged[0]


# ---- what it reports

@pytest.fixture
def reporting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> List[Any]:
    """What a server gets of the reports of an attempt."""
    got: List[Any] = []

    def send(context: JobContext, first: int, lines: List[bytes], final: bool = False) -> Told:
        bench.upload("reports")
        got.extend(json.loads(line)[1] for line in lines)
        return Told(first + len(lines), 10.0)
    monkeypatch.setattr(reportpieces, "send", send)
    bench.takes_reports = True
    return got


@pytest.mark.parametrize("exit_code", [0, 1, -9])
def test_reports_are_sent_before_the_files_whatever_the_exit_status(bench: Bench, reporting: List[Any],
                                                                    exit_code: int) -> None:
    bench.begin()
    bench.job_dir.joinpath("result.json").write_text("{}")
    bench.metrics.write_text('{"loss": 0.5}\nodd\n')
    note = bench.end(exit_code).note
    assert bench.sent == ["reports", "result.json"] and reporting == [{"loss": 0.5}]
    assert "1 line of its reports is no JSON object" in note and not bench.metrics.exists()


def test_reports_go_while_the_script_runs_if_somebody_looks(bench: Bench, reporting: List[Any],
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobfiles, "LOOK_EVERY", 0.001)
    care = bench.begin()
    care.watched()
    care.look(math.inf)
    bench.metrics.write_text('{"loss": 0.5}\n')
    wait_until(lambda: reporting)
    bench.end()
    assert reporting == [{"loss": 0.5}]


@pytest.mark.parametrize("stopped", [False, True])
def test_reports_wait_with_the_result_while_the_server_is_away(bench: Bench, reporting: List[Any],
                                                               stopped: bool) -> None:
    bench.failure = ServerUnreachable("away")
    bench.begin()
    bench.metrics.write_text('{"loss": 0.5}\n')
    waiting = bench.end(1, stopped).waiting_files
    assert waiting is not None and not bench.metrics.exists()
    bench.failure = None
    files = WaitingFiles(waiting)
    files.send(JOB, bench.logged.append)
    assert reporting == [{"loss": 0.5}] and files.items() == []


def test_reports_of_a_stopped_job_are_kept_before_the_server_is_asked(bench: Bench,
                                                                      reporting: List[Any]) -> None:
    seen: List[int] = []
    bench.before_sending = lambda: seen.append(len(list(bench.outbox.glob("*.files/*.json"))))
    bench.begin()
    bench.metrics.write_text('{"loss": 0.5}\n')
    assert bench.end(0, stopped=True).waiting_files is None
    assert seen == [1] and list(bench.outbox.iterdir()) == [] and reporting == [{"loss": 0.5}]


def test_of_an_attempt_that_is_lost_no_reports_go(bench: Bench, reporting: List[Any]) -> None:
    care = bench.begin()
    bench.metrics.write_text('{"loss": 0.5}\n')
    care.cancel()
    assert bench.woken.wait(60)
    assert reporting == [] and not bench.metrics.exists()


def test_a_lost_attempt_sends_no_more(bench: Bench) -> None:
    bench.failure = ServerRefused(409, "stale")
    bench.begin("*.csv")
    for name in "ab":
        (bench.job_dir / (name + ".csv")).write_text("1")
    outcome = bench.end()
    assert outcome.waiting_files is None and "collected no more after 0 files: stale" in outcome.note


def test_a_file_that_is_refused_is_named(bench: Bench) -> None:
    bench.failure = ServerRefused(400, "too many files")
    bench.begin("*.csv")
    (bench.job_dir / "a.csv").write_text("1")
    assert bench.end() == Saved("collected 0 files; not collected: a.csv (too many files)")


@pytest.mark.parametrize("in_time", [True, False])
def test_of_a_lost_attempt_nothing_waits_for_the_server(bench: Bench, in_time: bool) -> None:
    """Its files would lie there without a result, so that nobody ever sends them."""
    care = bench.begin("*.csv")
    bench.job_dir.joinpath("a.csv").write_text("1")
    bench.failure = ServerUnreachable("the server is away")
    if in_time:
        bench.before_sending = care.cancel
    bench.end()
    care.cancel()
    assert list(bench.outbox.glob("*")) == []


def test_cancelled_it_sends_nothing(bench: Bench) -> None:
    care = bench.begin("*.csv")
    (bench.checkpoints / "state").write_text("1")
    care.cancel()
    assert bench.woken.wait(60)
    assert care.outcome == Saved() and bench.sent == []


def test_when_the_time_is_up_the_copy_waits(bench: Bench) -> None:
    entered, go = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        go.wait(60)
    bench.before_sending = hang
    care = bench.begin()
    (bench.checkpoints / "state").write_text("1")
    care.finish(0, True)
    assert entered.wait(60)
    outcome = care.give_up()
    assert outcome.waiting_files is not None and len(WaitingFiles(outcome.waiting_files).items()) == 1
    go.set()
    assert bench.woken.wait(60)


def test_a_server_that_takes_paths_gets_them_with_a_name_that_it_can_store(bench: Bench) -> None:
    long = "/".join(["n" * 60] * 5) + "/ü.csv"
    bench.begin("**", takes_paths=True)
    for name in ("a.csv", "ckpt/a.csv", long):
        (bench.job_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (bench.job_dir / name).write_text("1")
    bench.end()
    assert bench.sent[:2] == ["a.csv", "ckpt__a.csv at ckpt/a.csv"]
    name, place = bench.sent[2].split(" at ")
    assert place == long and name.endswith("__ü.csv") and len(name.encode()) == 200


def test_a_path_waits_with_its_file(bench: Bench) -> None:
    bench.failure = ServerUnreachable("away")
    bench.begin("**", takes_paths=True)
    (bench.job_dir / "ckpt").mkdir()
    (bench.job_dir / "ckpt" / "a.pt").write_text("1")
    waiting = bench.end().waiting_files
    assert waiting is not None
    item, = WaitingFiles(waiting).items()
    assert (item.name, item.place) == ("ckpt__a.pt", "ckpt/a.pt")


# ---- results without a line of code

@pytest.mark.parametrize("exit_code", [0, 1])
def test_result_files_are_collected_by_default_as_collect_does_whatever_the_exit_status(
        bench: Bench, exit_code: int) -> None:
    bench.begin()
    (bench.job_dir / "history.csv").write_text("epoch,loss\n1,0.5\n")
    (bench.job_dir / "metrics.json").write_text("{}")
    (bench.job_dir / "result.json").write_text("{}")
    outcome = bench.end(exit_code)
    assert bench.sent == ["result.json", "metrics.json", "history.csv"] and outcome.has_files
    assert outcome.note == "collected result.json, metrics.json and history.csv (21 bytes)"


def test_what_the_script_has_uploaded_does_not_go_twice(bench: Bench) -> None:
    bench.begin()
    path = bench.job_dir / "result.json"
    path.write_text("{}")
    uploaded.add(bench.job_dir, str(path), uploaded.version_of(path.stat()))
    assert bench.end() == Saved() and bench.sent == []


def test_a_result_of_an_earlier_attempt_is_not_that_of_this_one(bench: Bench) -> None:
    bench.begin()
    bench.failure = ServerRefused(400, "no")
    (bench.job_dir / "result.json").write_text("{}")
    bench.end(1)
    bench.failure = None
    bench.woken.clear()
    bench.begin()
    assert bench.end(0).note == "result.json was there before this attempt, and is not its result"
    assert bench.sent == []


def test_what_lay_there_from_another_sweep_is_not_spoken_of(bench: Bench) -> None:
    (bench.job_dir / "result.json").write_text("{}")
    bench.begin()
    assert bench.end() == Saved()


@pytest.mark.parametrize("patterns, said", [
    ((), "collected result.json (2 bytes); 2 other files (3.0 kB) stay on %s in %s; collect= sends them"),
    (("*.csv",), "collected 2 files (1.0 kB); 1 other file (2.0 kB) stays on %s in %s")])
def test_a_job_that_is_done_says_what_it_left_behind(bench: Bench, patterns: Any, said: str) -> None:
    bench.begin(*patterns)
    (bench.job_dir / "result.json").write_text("{}")
    (bench.job_dir / "a.csv").write_text("x" * 1000)
    (bench.job_dir / "model.pt").write_text("x" * 2000)
    assert bench.end().note == said % (socket.gethostname(), bench.job_dir)


def test_one_that_failed_says_nothing_of_files_that_stay(bench: Bench) -> None:
    bench.begin()
    (bench.job_dir / "model.pt").write_text("x")
    assert bench.end(1) == Saved()


def test_what_was_left_out_is_counted_by_kind(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_FILE_BYTES", 1 << 20)
    bench.begin("*", limits=(2, 1 << 30))
    (bench.job_dir / "result.json").write_text("{}")
    for number in range(6):
        (bench.job_dir / ("%d.png" % number)).write_text("x")
    (bench.job_dir / "model.pt").write_bytes(bytes((1 << 20) + 1))
    assert bench.end().note == (
        "collected 2 files (3 bytes); not collected: 5 files (over the limit of 2 files): 1.png, 2.png, "
        "3.png and 2 more; model.pt (larger than 1 MB)")
    assert bench.sent == ["result.json", "0.png"]


def test_a_directory_that_goes_has_no_list(bench: Bench) -> None:
    bench.begin()
    listed = Path(uploaded.beside(bench.job_dir))
    assert listed.exists()
    bench.end()
    assert not listed.exists() and not bench.job_dir.exists()


# ---- results_from=stdout

def test_what_was_printed_becomes_a_result_file(bench: Bench) -> None:
    bench.begin(printed=b"loss=0.5\nacc: nan\n")
    assert bench.end().note.startswith("collected result.json")
    assert bench.sent == ["result.json"]
    assert (bench.job_dir / "result.json").read_text() == '{\n  "loss": 0.5,\n  "acc": NaN\n}\n'


def test_also_where_the_script_has_removed_its_directory(bench: Bench) -> None:
    bench.begin(printed=b"loss=0.5\n")
    shutil.rmtree(str(bench.job_dir))
    assert bench.end().note.startswith("collected result.json") and bench.sent == ["result.json"]


def test_it_takes_the_place_of_one_of_an_earlier_attempt(bench: Bench) -> None:
    (bench.job_dir / "result.json").write_text('{"loss": 9}')
    bench.begin(printed=b"loss=0.5\n")
    bench.end()
    assert json.loads((bench.job_dir / "result.json").read_text()) == {"loss": 0.5}


@pytest.mark.parametrize("earlier", [False, True])
def test_a_worker_that_is_killed_meanwhile_leaves_no_draft_of_it(
        bench: Bench, monkeypatch: pytest.MonkeyPatch, earlier: bool) -> None:
    """The job may go on elsewhere, and then nobody would remove it."""
    made: List[str] = []
    usual = os.open

    def watch(path: Any, flags: int, *others: Any, **words: Any) -> int:
        if flags & os.O_CREAT and Path(path).parent == bench.job_dir:
            made.append(Path(path).name)
        return usual(path, flags, *others, **words)

    if earlier:
        (bench.job_dir / "result.json").write_text('{"loss": 9}')
    bench.begin(printed=b"loss=0.5\n")
    monkeypatch.setattr(os, "open", watch)
    bench.end()
    assert made == ["result.json"] and bench.sent == ["result.json"]


def test_what_a_worker_that_was_killed_has_left_of_it_is_not_taken(bench: Bench) -> None:
    (bench.job_dir / "result.json").touch()
    bench.begin(printed=b"hello\n")
    bench.end()
    assert bench.sent == []


@pytest.mark.parametrize("exit_code, stopped", [(1, False), (0, True), (-9, False)])
def test_only_a_job_that_is_done_has_results_in_its_output(
        bench: Bench, exit_code: int, stopped: bool) -> None:
    bench.begin(printed=b"loss=0.5\n")
    assert not bench.end(exit_code, stopped).has_files and bench.sent == []


def test_a_result_file_of_the_script_goes_before_what_it_printed(bench: Bench) -> None:
    bench.begin(printed=b"loss=0.5\n")
    (bench.job_dir / "result.json").write_text('{"loss": 7}')
    bench.end()
    assert (bench.job_dir / "result.json").read_text() == '{"loss": 7}'


def test_so_does_one_that_it_has_uploaded_from_elsewhere(bench: Bench, tmp_path: Path) -> None:
    bench.begin(printed=b"loss=0.5\n")
    path = tmp_path / "result.json"
    path.write_text("{}")
    uploaded.add(bench.job_dir, str(path), uploaded.version_of(path.stat()))
    assert bench.end() == Saved() and bench.sent == []


def test_output_without_results_is_told(bench: Bench) -> None:
    bench.begin(printed=b"hello\n")
    assert bench.end().note == "no results in its output: results_from=stdout takes lines such as loss=0.5"


def test_names_beyond_those_that_are_kept_are_told(bench: Bench) -> None:
    bench.begin(printed=b"".join(b"n%d=1\n" % number for number in range(203)))
    assert "its output has 3 names more than the 200" in bench.end().note


def test_a_server_of_the_base_protocol_gets_flat_names(bench: Bench) -> None:
    bench.begin("**")
    (bench.job_dir / "ckpt").mkdir()
    (bench.job_dir / "ckpt" / "a.pt").write_text("1")
    bench.end()
    assert bench.sent == ["ckpt__a.pt"]


@pytest.mark.parametrize("patterns, said", [((), ""), (("*",), "nothing was collected")])
def test_a_script_may_remove_its_directory(bench: Bench, patterns: Any, said: str) -> None:
    bench.begin(*patterns)
    shutil.rmtree(str(bench.job_dir))
    note = bench.end().note
    assert note.startswith(said) and bool(note) == bool(said)
