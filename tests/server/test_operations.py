"""Settings while the server runs, the backup, the end of the sweep."""

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import IO, Any, Awaitable, Callable, Dict, List, Set

import pytest

from jd import messages
from jd import protocol as p
from jd.errors import StorageError
from jd.net.serving.routing import Request
from jd.server import sweeper
from jd.server.command import commandline
from jd.server.creation.batch import from_grid
from jd.server.dashboard import operations
from jd.server.experiment import Experiment
from jd.server.store.fleet import commands, sweepend, workers
from jd.server.store.operators import options
from jd.server.store.policy import Policy
from jd.server.store.queue import claim, ending, retry
from jd.storage import backup
from jd.storage.database import Database
from tests.server import scenes
from tests.server.dashboard_bench import Answer, Dashboard
from tests.server.store_support import Desk


class SignedIn(Dashboard):
    """A dashboard, and the Cookie header of a session."""

    def __init__(self, workspace: Path) -> None:
        super().__init__(workspace)
        self.session = self.signed_in()


Scenario = Callable[[SignedIn], Awaitable[Any]]
Run = Callable[[Scenario], None]


@pytest.fixture
def play(tmp_path: Path) -> Run:
    """Run a scenario on a dashboard that is signed in."""
    return lambda scenario: scenes.play(lambda: SignedIn(tmp_path), scenario)


async def backup_status(dashboard: SignedIn) -> int:
    """The status of a backup, which is thrown away."""
    response = await dashboard.server.dashboard.dispatch(
        Request("GET", "/web/backup", {"host": "127.0.0.1:5050", "cookie": dashboard.session}))
    response.close()
    return response.status


async def ask(dashboard: SignedIn, path: str, body: Any = None) -> Answer:
    return await dashboard.send("GET" if body is None else "POST", path, body, dashboard.session)


# ---- settings

def test_settings_and_what_the_server_tells_of_itself(play: Run) -> None:
    async def scene(dashboard: SignedIn) -> None:
        dashboard.server._api_server.traffic.count(404)
        found = (await ask(dashboard, "/web/settings")).json
        assert {name: found[name] for name in Policy._fields} == Policy()._asdict()
        assert found["traffic"]["since"] == dashboard.now
        assert found["traffic"]["api"] == {"requests": {"2xx": 0, "3xx": 0, "4xx": 1, "5xx": 0},
                                           "bytes_in": 0, "bytes_out": 0, "connections": 0}
        assert set(found["traffic"]["dashboard"]) == set(found["traffic"]["api"])
        assert found["database"]["size_bytes"] > 10000 and found["database"]["journal_mode"] == "WAL"
        assert found["viewers"] == 0 and found["uptime"] >= 0 and found["version"]
        for method, path in (("GET", "/web/settings"), ("POST", "/web/settings"), ("GET", "/web/backup")):
            assert (await dashboard.send(method, path, {} if method == "POST" else None)).status == 401
    play(scene)


def test_a_setting_takes_effect_at_once_and_is_there_at_the_next_start(play: Run, tmp_path: Path) -> None:
    async def scene(dashboard: SignedIn) -> None:
        answer = await ask(dashboard, "/web/settings", {"lease": 30, "max_attempts": 7.0, "paused": True})
        assert answer.json["success"] and answer.json["lease"] == 30.0
        assert dashboard.experiment.policy == Policy(lease=30.0, max_attempts=7, paused=True)
        assert type(dashboard.experiment.policy.max_attempts) is int
    play(scene)
    again = Experiment(tmp_path, "exp", Policy(retry_pause=5.0))
    try:
        assert again.policy == Policy(lease=30.0, retry_pause=5.0, max_attempts=7, paused=True)
    finally:
        again.close()


def test_what_was_given_at_the_start_wins_over_what_is_stored(play: Run, tmp_path: Path) -> None:
    play(lambda dashboard: ask(dashboard, "/web/settings", {"lease": 30, "max_attempts": 7}))
    again = Experiment(tmp_path, "exp", Policy(lease=90.0), fixed=frozenset(["lease"]))
    try:
        assert again.policy == Policy(lease=90.0, max_attempts=7)
    finally:
        again.close()


@pytest.mark.parametrize("argv, environ, fixed", [
    ([], {}, set()),
    (["--max-attempts", "3"], {}, {"max_attempts"}),  # the default, but given
    (["--idle-timeout", "60"], {"JD_SERVER_ABORTED_JOB_RESET_TIMEOUT": "1"}, {"lease", "retry_pause"}),
])
def test_which_settings_were_given_at_the_start(argv: List[str], environ: Dict[str, str],
                                                fixed: Set[str]) -> None:
    assert commandline.parse(["--expId", "exp", *argv], environ)["fixed"] == fixed


@pytest.mark.parametrize("body, complaint", [
    ({}, "no setting is given"),
    ({"leese": 5}, "no setting 'leese'"),
    ({"lease": "5"}, "lease must be a number of seconds from 3"),
    ({"lease": 0.5}, "not 0.5"),
    ({"lease": True}, "lease must be"),
    ({"lease": None}, "lease must be"),
    ({"max_attempts": 0}, "whole number from 1 to 1000"),
    ({"max_attempts": 2.5}, "whole number from 1 to 1000"),
    ({"failing_after": 10 ** 40}, "failing_after must be"),
    ({"paused": 1}, "paused must be true or false"),
    ([], "JSON object"),
])
def test_settings_that_cannot_be(play: Run, body: Any, complaint: str) -> None:
    async def scene(dashboard: SignedIn) -> None:
        answer = await ask(dashboard, "/web/settings", body)
        assert answer.status == 400 and complaint in answer.error
        assert dashboard.experiment.policy == Policy()
        if isinstance(body, dict):  # nor is half of it taken
            await ask(dashboard, "/web/settings", dict({"retry_pause": 1}, **body))
            assert (dashboard.experiment.policy == Policy()) == bool(body)
    play(scene)


def test_rows_of_another_version_are_no_reason_not_to_start(desk: Desk) -> None:
    desk.write(lambda t: options.save(t, {"max_attempts": 9}))
    for name, value in (("option.colour", '"red"'), ("option.lease", '"long"'), ("option.paused", "{")):
        desk.write(lambda t: t.db.execute("INSERT INTO settings VALUES (?, ?)", (name, value)))
    assert desk.read(lambda db: options.load(db, Policy())) == Policy(max_attempts=9)


# ---- pause

def test_a_paused_server_hands_out_nothing_and_wakes_its_workers_afterwards(play: Run) -> None:
    async def scene(dashboard: SignedIn) -> None:
        server = dashboard.server
        await server.creation.create(from_grid({"x": [1]}))
        await ask(dashboard, "/web/settings", {"paused": True})
        ticket = server.room.ticket("h_abc_0")
        with ticket:
            beat = messages.Heartbeat.from_json({"worker_id": "h_abc_0"})
            outcome = await dashboard.experiment.write(lambda t: workers.heartbeat(t, beat))
            assert outcome.reply.job is None and outcome.may_wait and not ticket.called
            await ask(dashboard, "/web/settings", {"paused": False})
            assert await ticket.wait(0)
            outcome = await dashboard.experiment.write(lambda t: workers.heartbeat(t, beat))
            assert outcome.reply.job is not None and outcome.reply.job.job_id == 1
            await ticket.look(asyncio.sleep(0))
    play(scene)


# ---- backup

def test_backup_is_a_database_and_leaves_nothing_behind(play: Run) -> None:
    async def scene(dashboard: SignedIn) -> None:
        await dashboard.server.creation.create(from_grid({"x": [1, 2]}))
        before = set(dashboard.experiment.meta_dir.iterdir())
        response = await dashboard.server.dashboard.dispatch(
            Request("GET", "/web/backup", {"host": "127.0.0.1:5050", "cookie": dashboard.session}))
        assert response.status == 200
        assert 'filename="exp-19700112T134640Z.db"' in response.headers["Content-Disposition"]
        assert response.headers["Content-Disposition"].startswith("attachment")
        copy = Path(tempfile.mkdtemp(dir=str(dashboard.experiment.data_dir))) / "copy.db"
        assert response.file is not None
        copy.write_bytes(response.file.read())
        response.close()
        database = sqlite3.connect(str(copy))
        assert database.execute("SELECT count(*) FROM jobs").fetchone() == (2,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        assert set(dashboard.experiment.meta_dir.iterdir()) == before
    play(scene)


def test_one_backup_at_a_time_and_one_that_nobody_waits_for(play: Run,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(dashboard: SignedIn) -> None:
        loop, entered, may_go = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        real = backup.write
        copies: List[IO[bytes]] = []

        def slow(database: Database, path: Path) -> int:
            loop.call_soon_threadsafe(entered.set)
            asyncio.run_coroutine_threadsafe(may_go.wait(), loop).result(20)
            return real(database, path)

        def copied(database: Database, directory: Path) -> IO[bytes]:
            copies.append(real_copy(database, directory))
            return copies[-1]
        real_copy = operations.copy_of
        monkeypatch.setattr(backup, "write", slow)
        monkeypatch.setattr(operations, "copy_of", copied)
        first = asyncio.ensure_future(ask(dashboard, "/web/backup"))
        await entered.wait()
        second = await ask(dashboard, "/web/backup")
        assert second.status == 503 and second.headers["Retry-After"] == "10"
        first.cancel()
        await asyncio.sleep(0)
        assert await backup_status(dashboard) == 503  # it is being made still
        may_go.set()
        while not (copies and copies[0].closed):
            await asyncio.sleep(0.001)
        assert await backup_status(dashboard) == 200
    play(scene)


def test_a_backup_that_cannot_be_written_says_so(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(dashboard: SignedIn) -> None:
        def full(database: Database, path: Path) -> None:
            raise StorageError("cannot write %s: No space left on device" % path)
        with monkeypatch.context() as patch:
            patch.setattr(backup, "write", full)
            answer = await ask(dashboard, "/web/backup")
        assert answer.status == 503 and "No space left" in answer.error
        assert await backup_status(dashboard) == 200
    play(scene)


# ---- the end of the sweep

def finish(desk: Desk, worker_id: str = "h_abc_0", verdict: str = p.VERDICT_DONE) -> None:
    job = desk.claim(worker_id)
    desk.write(lambda t: ending.end(t, job.job_id, verdict))


def stop(desk: Desk) -> List[str]:
    desk.write(sweepend.stop_workers)
    return desk.happened.commanded


def test_workers_are_stopped_once_when_everything_is_done(desk: Desk) -> None:
    desk.create(2)
    desk.beat("h_abc_1")
    assert stop(desk) == []  # served
    desk.write(lambda t: ending.end(t, 1, p.VERDICT_DONE))
    assert stop(desk) == []  # pending
    finish(desk)
    assert stop(desk) == ["h_abc_0", "h_abc_1"]
    assert desk.beat("h_abc_0").reply.desired_state == "stop"
    desk.beat("h_abc_2")
    assert stop(desk) == []  # who comes later may have been sent for other jobs
    desk.create(1)
    assert stop(desk) == []
    finish(desk, "h_abc_2")
    assert stop(desk) == ["h_abc_2"]


def test_a_sweep_with_retries_to_come_is_not_done(desk: Desk) -> None:
    desk.create(1)
    finish(desk, verdict=p.VERDICT_FAILED)
    assert stop(desk) == []
    desk.now += desk.policy.retry_pause
    desk.write(lambda t: retry.retry_due(t, 10))
    finish(desk)
    assert stop(desk) == ["h_abc_0"]


def test_an_experiment_without_jobs_is_not_done(desk: Desk) -> None:
    desk.beat("h_abc_0")
    assert stop(desk) == []


def test_many_workers_are_told_in_slices(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "SLICE", 2)
    desk.create(1)
    finish(desk)
    for number in range(1, 5):
        desk.beat("h_abc_%d" % number)
    assert [len(stop(desk)) for _ in range(4)] == [2, 2, 1, 0]


def test_turning_it_on_again_stops_workers_again(play: Run) -> None:
    async def scene(dashboard: SignedIn) -> None:
        experiment = dashboard.experiment
        await dashboard.server.creation.create(from_grid({"x": [1]}))
        await experiment.write(lambda t: claim.claim(t, "w", None))
        await experiment.write(lambda t: ending.end(t, 1, p.VERDICT_DONE))
        await experiment.write(lambda t: workers.heartbeat(t, messages.Heartbeat("a_b_0")))
        told: List[str] = []
        experiment.on_commit(lambda happened: told.extend(happened.commanded))
        await ask(dashboard, "/web/settings", {"stop_when_done": True})
        await experiment.write(sweepend.stop_workers)
        assert told == ["a_b_0"]
        await experiment.write(lambda t: workers.heartbeat(t, messages.Heartbeat("a_b_1")))
        await experiment.write(sweepend.stop_workers)
        assert told == ["a_b_0"]
        await ask(dashboard, "/web/settings", {"stop_when_done": False})
        await ask(dashboard, "/web/settings", {"stop_when_done": True})
        await experiment.write(sweepend.stop_workers)
        assert told == ["a_b_0", "a_b_1"]
    play(scene)


def test_the_sweeper_calls_the_workers_that_wait(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(dashboard: SignedIn) -> None:
        experiment, room = dashboard.experiment, dashboard.server.room
        monkeypatch.setattr(sweepend, "stop_workers", lambda t: t.happened.commanded.append("a_b_0"))
        experiment.policy = Policy(stop_when_done=True)
        with room.ticket("a_b_0") as ticket:
            task = asyncio.ensure_future(sweeper.run(experiment))
            assert await ticket.wait(60)
            await ticket.look(asyncio.sleep(0))
            task.cancel()
    play(scene)
