"""The clock of the machine is set while the server runs or while it does not, and the machine sleeps."""

import asyncio
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

from jd import messages
from jd.clock import Clock, elapsed
from jd.server import sweeper
from jd.server.experiment import Experiment
from jd.server.store.fleet import presence, workers
from jd.server.store.operators import signins
from jd.server.store.policy import Policy
from jd.server.store.queue import ending, lease
from jd.server.store.transaction import Transaction

HOUR, DAY = 3600.0, 86400.0
LEASE, PAUSE = 600.0, 20.0


class Bench:
    """The data of a server whose clocks the test sets: `passing` lets time pass, `set` sets the one that
    people see."""

    def __init__(self, workspace: Path, now: float = 1_700_000_000.0) -> None:
        self.now = now
        self.passed = 5_000.0
        self.experiment = Experiment(workspace, "exp", Policy(lease=LEASE, retry_pause=PAUSE),
                                     Clock(lambda: self.now, lambda: self.passed))

    def close(self) -> None:
        self.experiment.close()

    def set(self, by: float) -> None:
        self.now += by

    def passing(self, seconds: float) -> None:
        self.now += seconds
        self.passed += seconds

    def write(self, operation: Callable[[Transaction], Any]) -> Any:
        return self.experiment.write_now(operation)

    def sweep(self) -> None:
        self.write(sweeper.step)

    def beat(self, worker: str = "w", **fields: Any) -> messages.HeartbeatReply:
        beat = messages.Heartbeat.from_json(dict({"worker_id": worker, "session": worker}, **fields))
        reply: messages.HeartbeatReply = self.write(lambda t: workers.heartbeat(t, beat)).reply
        return reply

    def sql(self, text: str, *values: Any) -> Any:
        return self.experiment.read_now(lambda db: db.execute(text, values).fetchone()[0])

    def status(self, job_id: int) -> str:
        return str(self.sql("SELECT status FROM jobs WHERE id = ?", job_id))

    def begin(self) -> None:
        """Job 1 runs on worker w, job 2 waits for its retry, v is idle; somebody is signed in."""
        self.write(lambda t: t.db.executemany(
            "INSERT INTO jobs (status, parameters) VALUES ('PENDING', '{}')", [()] * 2))
        assert self.beat().job is not None and self.beat("v").job is not None
        self.write(lambda t: ending.finish(t, messages.Result(2, "ABORTED", attempt=1)))
        self.beat("v")
        self.write(lambda t: signins.begin(t, None))


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    made.begin()
    yield made
    made.close()


def standing(bench: Bench) -> Dict[str, float]:
    """How far everything that counts is from the time of the clock."""
    return {column: bench.sql("SELECT coalesce(%s, ?) FROM %s" % (column, rows), bench.now) - bench.now
            for column, rows in (
                ("lease_until", "jobs WHERE id = 1"), ("request_timestamp", "jobs WHERE id = 1"),
                ("started_at", "attempts WHERE job_id = 1"), ("retry_at", "jobs WHERE id = 2"),
                ("last_seen", "workers WHERE worker_id = 'w'"),
                ("failing_since", "workers WHERE worker_id = 'v'"), ("expires_at", "sessions"))}


@pytest.mark.parametrize("by", [HOUR, -HOUR, DAY, -DAY, 400 * DAY])
def test_what_is_counted_goes_on_counting(bench: Bench, by: float) -> None:
    bench.passing(5.0)
    bench.sweep()
    before = standing(bench)
    bench.set(by)
    bench.sweep()
    after = standing(bench)
    assert after == pytest.approx(before, abs=0.01)
    assert (bench.status(1), bench.status(2)) == ("SERVED", "ABORTED")
    assert bench.sql("SELECT count(*) FROM workers WHERE left_at IS NULL") == 2
    bench.sweep()
    assert standing(bench) == after  # and is moved once
    assert bench.sql("SELECT started_at FROM attempts WHERE job_id = 2") == 1_700_000_000.0  # it is over


@pytest.mark.parametrize("by", [HOUR, -DAY])
def test_all_happens_when_it_would_have(bench: Bench, by: float) -> None:
    bench.set(by)
    bench.passing(PAUSE - 1)
    bench.sweep()
    assert bench.status(2) == "ABORTED"
    bench.passing(1)
    bench.sweep()
    assert bench.status(2) == "PENDING"
    bench.passing(LEASE - PAUSE - 1)
    bench.sweep()
    assert bench.status(1) == "SERVED"
    bench.passing(1)
    bench.sweep()
    assert bench.status(1) == "PENDING"
    bench.passing(presence.SILENCE)
    bench.sweep()
    assert bench.sql("SELECT count(*) FROM workers WHERE left_at IS NULL") == 0


def test_the_first_heartbeat_after_it_gets_the_lease_that_it_should(bench: Bench) -> None:
    bench.set(-DAY)
    bench.beat(reported_status="busy", current_job_id=1, attempt=1)
    assert bench.sql("SELECT lease_until FROM jobs WHERE id = 1") == bench.now + LEASE
    bench.set(HOUR)
    bench.write(lambda t: t.db.execute("UPDATE jobs SET retry_at = NULL"))
    bench.beat(reported_status="busy", current_job_id=1, attempt=1)
    assert bench.sql("SELECT lease_until FROM jobs WHERE id = 1") == bench.now + LEASE


def test_it_is_seen_again_where_an_operation_fails(bench: Bench) -> None:
    def fail(t: Transaction) -> None:
        raise ZeroDivisionError

    before = standing(bench)
    bench.set(HOUR)
    with pytest.raises(ZeroDivisionError):
        bench.write(fail)
    bench.sweep()
    assert standing(bench) == pytest.approx(before, abs=0.01)


def test_figures_of_a_worker_are_kept_after_the_clock_was_set_back(bench: Bench) -> None:
    bench.beat("v", system_metrics={"cpu_util": 1.0})
    bench.beat("v", system_metrics={"cpu_util": 2.0})  # in the same minute
    assert bench.sql("SELECT metrics FROM worker_metrics") == '{"cpu_util": 1.0}'
    bench.set(-DAY)  # to the same place of the ring
    bench.beat("v", system_metrics={"cpu_util": 3.0})
    assert bench.sql("SELECT metrics FROM worker_metrics") == '{"cpu_util": 3.0}'


@pytest.mark.parametrize("by, said", [(HOUR, "set forward by 3600 s"), (-DAY, "set back by 86400 s"),
                                      (2.0, "")])
def test_the_server_says_that_the_clock_was_set(bench: Bench, by: float, said: str) -> None:
    async def scenario() -> None:
        heard = []
        bench.experiment.on_commit(lambda happened: heard.extend(happened.said))
        bench.set(by)
        await bench.experiment.write(sweeper.step)
        await bench.experiment.write(sweeper.step)
        assert len(heard) == bool(said) and all(said in line for line in heard)

    asyncio.run(scenario())


# ---- the machine sleeps

def swept(bench: Bench, then: Callable[[], bool]) -> None:
    """Let the sweeper run until `then` is true."""
    async def scenario() -> None:
        sweeping = asyncio.ensure_future(sweeper.run(bench.experiment))
        while not then():
            await asyncio.sleep(0.005)
        sweeping.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def slept(bench: Bench, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of a server that sweeps sleeps for so long, and the server has swept again."""
    sweeps = []
    step = sweeper.step

    def counted(t: Transaction, missed: float = 0.0, limit: Optional[int] = None) -> bool:
        more = step(t, missed, limit)
        sweeps.append(missed)
        if len(sweeps) == 1:
            bench.passing(seconds)
        return more

    monkeypatch.setattr(sweeper, "step", counted)
    monkeypatch.setattr(sweeper, "INTERVAL", 0.01)
    swept(bench, lambda: len(sweeps) >= 3)
    assert (sweeps[0], sweeps[2]) == (0.0, 0.0)


def test_many_leases_end_in_slices_between_which_others_are_served(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    total = 2 * sweeper.BATCH + 50
    slices: List[int] = []
    bench.write(lambda t: t.db.executemany(
        "INSERT INTO jobs (status, parameters, attempt, lease_until) VALUES ('SERVED', '{}', 1, ?)",
        [(bench.now - 1,)] * total) and None)
    step = sweeper.step

    def waiting(t: Transaction) -> int:
        return int(t.db.execute("SELECT count(*) FROM jobs WHERE status = 'PENDING'").fetchone()[0])

    def counted(t: Transaction, missed: float, limit: int) -> bool:
        before = waiting(t)
        more = step(t, missed, limit)
        slices.append(waiting(t) - before)
        return more

    monkeypatch.setattr(sweeper, "step", counted)
    monkeypatch.setattr(sweeper, "INTERVAL", 3600.0)
    swept(bench, lambda: sum(slices) >= total)  # without a pause
    assert sum(slices) == total and max(slices) <= sweeper.BATCH


def test_a_server_that_slept_counts_the_time_for_nobody(bench: Bench,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    before = standing(bench)
    slept(bench, 8 * HOUR, monkeypatch)
    after = standing(bench)
    assert bench.status(1) == "SERVED" and bench.status(2) == "PENDING"
    assert after["lease_until"] == pytest.approx(before["lease_until"], abs=0.1)
    assert after["last_seen"] == pytest.approx(before["last_seen"], abs=0.1)
    bench.passing(LEASE)
    bench.sweep()
    assert bench.status(1) == "PENDING"


def test_no_lease_is_longer_for_a_sleep_than_when_it_begins(bench: Bench) -> None:
    bench.passing(DAY)
    bench.beat(reported_status="busy", current_job_id=1, attempt=1)  # before the sweeper has run
    bench.write(lambda t: sweeper.step(t, DAY))
    assert standing(bench)["lease_until"] == LEASE and standing(bench)["last_seen"] == 0.0


def test_a_sweep_that_is_late_by_little_extends_nothing(bench: Bench,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.sql("SELECT lease_until FROM jobs WHERE id = 1")
    slept(bench, sweeper.LATE, monkeypatch)
    assert bench.sql("SELECT lease_until FROM jobs WHERE id = 1") == before


# ---- the server takes long to start

@pytest.mark.parametrize("seconds", [1.0, LEASE + 1.0])
def test_the_time_until_a_server_listens_counts_for_no_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                             seconds: float) -> None:
    bench = restarted(tmp_path, 10 * DAY)
    expired = []
    expire = lease.expire
    monkeypatch.setattr(lease, "expire", lambda t, limit: expired.append(expire(t, limit)))
    bench.passing(seconds)
    swept(bench, lambda: bool(expired))
    assert bench.status(1) == "SERVED" and standing(bench)["lease_until"] == LEASE
    bench.close()


# ---- the server starts on another clock

def restarted(tmp_path: Path, by: float) -> Bench:
    """A server that ran, ended, and starts again on a machine with another clock."""
    first = Bench(tmp_path)
    first.begin()
    first.close()
    return Bench(tmp_path, first.now + by)


@pytest.mark.parametrize("by", [-400 * DAY, -DAY, 0.0, HOUR])
def test_nothing_lies_further_ahead_than_if_it_had_begun_now(tmp_path: Path, by: float) -> None:
    bench = restarted(tmp_path, by)
    try:
        found = standing(bench)
        assert found["lease_until"] == LEASE and found["last_seen"] == 0.0
        assert found["retry_at"] <= PAUSE and found["expires_at"] <= signins.LIFETIME
        assert found["failing_since"] <= 0.0
        bench.passing(PAUSE)
        bench.sweep()
        assert (bench.status(1), bench.status(2)) == ("SERVED", "PENDING")
    finally:
        bench.close()


def test_time_that_passes_is_what_the_system_counts() -> None:
    first = elapsed()
    assert first <= elapsed() <= first + 60.0
    clock = Clock(lambda: 100.0, lambda: 30.0)
    assert (clock(), clock.elapsed(), clock.offset()) == (100.0, 30.0, 70.0)
