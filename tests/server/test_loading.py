"""The jobs files of a start are loaded while the server serves."""

import asyncio
import io
import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Awaitable, BinaryIO, Callable, List, cast

import pytest

from jd import messages
from jd.errors import UsageError
from jd.net.serving.process import Voice
from jd.server.app import JobServer
from jd.server.command import announcer, loading
from jd.server.command.announcer import Announcer, Loaded
from jd.server.command.loading import Loading
from jd.server.creation import jobfile
from jd.server.creation.batch import Batch, from_grid
from jd.server.creation.creator import Creator
from jd.server.driving.news import News
from jd.server.driving.waits import Question, Waits
from jd.server.experiment import Experiment
from jd.server.store.fleet import workers
from jd.server.store.operators import batches
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs

PATIENCE = 20.0  # seconds
Scenario = Callable[[Experiment, Creator], Awaitable[None]]


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is one that is read while the server serves."""
    monkeypatch.setattr(loading, "AT_ONCE", -1)


def run(tmp_path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        experiment = Experiment(tmp_path / "data", "exp", Policy())
        try:
            await asyncio.wait_for(scenario(experiment, Creator(experiment)), PATIENCE)
        finally:
            experiment.close()
    asyncio.run(main())


def files(tmp_path: Path, *contents: str) -> List[Path]:
    paths = [tmp_path / ("sweep%d.json" % number) for number in range(len(contents))]
    for path, content in zip(paths, contents):
        path.write_text(content)
    return paths


def loader(experiment: Experiment, creation: Creator, paths: List[Path]) -> Loading:
    server = cast(JobServer, SimpleNamespace(experiment=experiment, creation=creation))
    return Loading(server, loading.begin(paths), Announcer(True, experiment))


async def beat(experiment: Experiment, worker_id: str) -> messages.HeartbeatReply:
    told = messages.Heartbeat(worker_id, exit_when_empty=True)
    return (await experiment.write(lambda t: workers.heartbeat(t, told))).reply


async def total(experiment: Experiment) -> int:
    return int(await experiment.read(lambda db: db.execute("SELECT count(*) FROM jobs").fetchone()[0]))


def test_workers_are_served_and_do_not_leave_while_a_file_is_read(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, go_on, parsed = threading.Event(), threading.Event(), jobfile.parsed
    intervals = [sys.getswitchinterval()]

    def slow(path: Path, file: BinaryIO) -> Batch:
        intervals.append(sys.getswitchinterval())
        read.set()
        assert go_on.wait(PATIENCE)
        return parsed(path, file)
    monkeypatch.setattr(jobfile, "parsed", slow)

    async def scenario(experiment: Experiment, creation: Creator) -> None:
        waits = Waits(experiment, News(experiment))
        assert (await beat(experiment, "early")).empty
        load = loader(experiment, creation, files(tmp_path, '{"x": [1, 2]}'))
        assert not load.is_short
        await load.expect()
        made = asyncio.ensure_future(load.run())
        await asyncio.get_running_loop().run_in_executor(None, read.wait, PATIENCE)
        told = await beat(experiment, "w")
        assert told.job is None and not told.empty, "a worker would leave"
        assert not (await waits.hold(Question(""), 0)).to_json()["finished"], "a program would go on"
        assert (await waits.hold(Question(((1, 2),)), 0)).to_json()["missing"] == 2
        go_on.set()
        await made
        assert (await beat(experiment, "w")).job is not None
        assert not await experiment.read(jobs.are_being_loaded)
        assert intervals[1] < intervals[0] == sys.getswitchinterval(), "Python is not kept from the others"
    run(tmp_path, scenario)


def test_who_waits_hears_that_a_file_had_nothing_new(tmp_path: Path) -> None:
    async def scenario(experiment: Experiment, creation: Creator) -> None:
        told: List[bool] = []
        experiment.on_commit(lambda happened: told.append(happened.nothing_left))
        news = News(experiment)
        load = loader(experiment, creation, files(tmp_path, '{"x": [1]}'))
        await load.run()
        held = await beat(experiment, "w")
        assert held.job is not None
        done = messages.Heartbeat.from_json({"worker_id": "w", "reported_status": "idle", "finished": {
            "job_id": 1, "attempt": held.job.attempt, "status": "DONE", "runtime": 1.0}})
        await load.expect()
        await experiment.write(lambda t: workers.heartbeat(t, done))
        assert not any(told)
        waiting = asyncio.ensure_future(Waits(experiment, news).hold(Question(""), PATIENCE))
        await load.run()
        assert told[-1], "an idle worker would wait on"
        assert (await waiting).finished
        await news.close()
    run(tmp_path, scenario)


def test_a_fault_at_the_end_of_the_last_file_adds_nothing(tmp_path: Path) -> None:
    async def scenario(experiment: Experiment, creation: Creator) -> None:
        good, bad = '{"x": [1, 2]}', "[%s, 5]" % ", ".join(['{"x": 1}'] * 1000)
        with pytest.raises(UsageError, match=r"sweep1.json: jobs\[1000\]: a non-empty object"):
            await loader(experiment, creation, files(tmp_path, good, bad)).run()
        assert await total(experiment) == 0
    run(tmp_path, scenario)


def test_what_is_read_is_given_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(path: Path, file: BinaryIO) -> Batch:
        begun.set()
        try:
            while True:
                file.seek(0)
                file.read()
        finally:
            ended.set()
    monkeypatch.setattr(jobfile, "parsed", endless)

    async def scenario(experiment: Experiment, creation: Creator) -> None:
        made = asyncio.ensure_future(loader(experiment, creation, files(tmp_path, '{"x": [1]}')).run())
        await asyncio.get_running_loop().run_in_executor(None, begun.wait, PATIENCE)
        made.cancel()
        with pytest.raises(asyncio.CancelledError):
            await made
        assert await asyncio.get_running_loop().run_in_executor(None, ended.wait, PATIENCE)
    run(tmp_path, scenario)


def test_a_server_that_ends_leaves_what_is_written_to_the_next(tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "SLICE", 10)
    grid = from_grid({"x": list(range(100))})

    async def ends(experiment: Experiment, creation: Creator) -> None:
        await experiment.write(batches.expect)
        half, write = asyncio.Event(), experiment.write

        async def until_half(*operation: Any) -> Any:
            if not half.is_set() and creation.progress is not None and creation.progress[0] >= 50:
                half.set()
                await asyncio.Event().wait()  # until it is cancelled
            return await write(*operation)

        monkeypatch.setattr(experiment, "write", until_half)
        making = asyncio.ensure_future(creation.create(grid))
        await half.wait()
        await creation.stop()
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert await total(experiment) >= 50, "it was removed, and the end waited for that"

    async def begins(experiment: Experiment, creation: Creator) -> None:
        assert not await experiment.read(jobs.are_being_loaded)
        assert await total(experiment) >= 50 and await experiment.read(jobs.work_is_left)
        creation.start()
        assert (await creation.create(grid)).start_id == 1
        assert await total(experiment) == 100
        await creation.stop()

    run(tmp_path, ends)
    monkeypatch.setattr("jd.server.experiment.ABANDONED_AT_START", 0)
    run(tmp_path, begins)


def test_how_far_it_is_is_told_to_programs_and_into_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(announcer, "LINES", 0.0)
    parsed, told, event = jobfile.parsed, threading.Event(), Voice.event

    def slow(path: Path, file: BinaryIO) -> Batch:
        assert told.wait(PATIENCE)
        return parsed(path, file)

    def noted(voice: Voice, name: str, facts: Any) -> None:
        event(voice, name, facts)
        told.set()
    monkeypatch.setattr(jobfile, "parsed", slow)
    monkeypatch.setattr(Voice, "event", noted)

    async def scenario(experiment: Experiment, creation: Creator) -> None:
        await loader(experiment, creation, files(tmp_path, '{"x": [1, 2]}')).run()
    run(tmp_path, scenario)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0] == {"event": "loading", "file": "sweep0.json", "step": "reading", "done": 0, "total": 13}
    assert events[-1] == {"event": "jobs", "file": "sweep0.json", "created": 2, "existing": 0, "start_id": 1}
    Loaded(Voice(False), "creating", "s.csv", 200).update(50)
    assert capsys.readouterr().out == "  jobs       creating s.csv: 25 %\n"


def test_how_far_it_is_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True
    shown_on = Terminal()
    monkeypatch.setattr(sys, "stdout", shown_on)
    with Loaded(Voice(False), "reading", "s.csv", 200) as shown:
        shown.update(50)
        assert "reading s.csv  [#######....." in shown_on.getvalue()
    assert shown_on.getvalue().endswith("\r\033[K"), "a line of what came of it stands in its place"
