"""What is written is told, after the commit, to those who wait for it."""

import asyncio
import dataclasses
import gc
import threading
from pathlib import Path
from typing import Any, Callable, Coroutine, Dict, List, Optional, Tuple

import pytest

from jd import protocol as p
from jd.errors import StorageError
from jd.server.creation.batch import from_grid
from jd.server.creation.creator import Creator
from jd.server.store.fleet import commands
from jd.server.store.operators import batches, bulk
from jd.server.store.policy import Policy
from jd.server.store.transaction import Happened, Transaction, together
from jd.server.waiting import AT_ONCE, WAITS, Ticket, WaitingRoom
from tests.server.scenes import play
from tests.server.test_held_claims import held
from tests.server.test_watching import Bench

Scenario = Callable[[Bench], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """On a server without jobs or workers, which pauses a worker after two failures."""
    def run_scenario(scenario: Scenario) -> None:
        async def scene(bench: Bench) -> None:
            bench.experiment.policy = Policy(pause_failing=True, failing_after=2)
            await scenario(bench)
            assert not bench.room.tickets and not bench.room._of_worker and not bench.room._of_job
        play(lambda: Bench(tmp_path), scene)
    return run_scenario


async def create(bench: Bench, count: int) -> None:
    await bench.server.creation.create(from_grid({"x": list(range(count))}))


async def beat(bench: Bench, worker: str, job: Optional[Dict[str, Any]] = None, status: str = "DONE",
               **fields: Any) -> Dict[str, Any]:
    """The answer to an idle heartbeat, which brings the result of a job where one is given."""
    if job is not None:
        fields["finished"] = {"job_id": job["job_id"], "attempt": job["attempt"], "status": status}
    return (await bench.beat(worker_id=worker, session=worker, **fields))[1]


# ---- faults that there were

def test_a_worker_that_is_paused_because_it_fails_hears_it_at_once(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 3)
        first = (await beat(bench, "bad"))["job"]
        second = (await beat(bench, "bad", first, "ABORTED"))["job"]
        good = (await beat(bench, "good"))["job"]
        await beat(bench, "bad", second, "ABORTED")
        waiting = await held(bench, "bad")
        await beat(bench, "good", good)  # others succeed: it is the worker that is to blame
        _, answer = await waiting
        assert (answer["desired_state"], answer["pending"], answer["job"]) == ("pause", True, None)
    run(scenario)


def test_a_busy_worker_whose_lease_ran_out_hears_it_at_once(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        await beat(bench, "w", wait=None)
        bench.now += 1
        waiting = asyncio.ensure_future(bench.busy(session="w"))
        while not any(ticket._future is not None for ticket in bench.room.of_worker("w")):
            await asyncio.sleep(0)
        bench.now += bench.experiment.policy.lease
        bench.experiment.ready_at = bench.now  # it was there all the while
        await bench.server.start("127.0.0.1", 0, 0)  # and its sweeper
        status, answer = await waiting
        assert status == 409 and "attempt 1 of job 1 has ended" in answer["error"]
        await bench.server.stop()
    run(scenario)


def test_waiting_workers_are_called_to_what_a_batch_that_failed_had_set_aside(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    async def scenario(bench: Bench) -> None:
        await create(bench, 2)
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def write(operation: Callable[[Transaction], Any], *, repeats: bool = False) -> Any:
            """Let a worker wait when the jobs that there were have been set aside."""
            result = await real(operation, repeats=repeats)
            if not reached.is_set() and (await bench.experiment.read(_deleted)) == 2:
                reached.set()
                await go_on.wait()
            return result

        real = bench.experiment.write
        monkeypatch.setattr(batches, "SLICE", 2)
        monkeypatch.setattr(batches, "publish", full)
        monkeypatch.setattr(bench.experiment, "write", write)
        creation = Creator(bench.experiment)
        making = asyncio.ensure_future(creation.create(from_grid({"y": [1]}), batches.REPLACE_PENDING))
        await reached.wait()
        waiting = await held(bench, "w")
        go_on.set()
        with pytest.raises(StorageError, match="full"):
            await making
        assert (await waiting)[1]["job"]["parameters"] == {"x": 0}
    run(scenario)


def _deleted(db: Any) -> int:
    found: int = db.execute("SELECT count(*) FROM jobs WHERE status = 'DELETED'").fetchone()[0]
    return found


# ---- in one transaction

def test_the_claim_that_comes_with_a_result_sees_the_pause_that_it_caused(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 5)
        first = (await beat(bench, "bad"))["job"]
        good = (await beat(bench, "good"))["job"]
        second = (await beat(bench, "bad", first, "ABORTED"))["job"]
        await beat(bench, "good", good)
        answer = await beat(bench, "bad", second, "ABORTED", wait=180)
        assert (answer["desired_state"], answer["job"]) == ("pause", None)
        assert (await bench.experiment.read(
            lambda db: db.execute("SELECT n FROM job_counts WHERE status = 'PENDING'").fetchone()))[0] == 1
    run(scenario)


# ---- after the commit

def listening(bench: Bench) -> List[Happened]:
    heard: List[Happened] = []
    bench.experiment.on_commit(heard.append)
    return heard


def test_nobody_hears_of_what_was_undone(run: Run) -> None:
    def failing(t: Transaction) -> None:
        t.happened.pending += 1
        raise p.ProtocolError("no")

    async def scenario(bench: Bench) -> None:
        heard = listening(bench)
        with pytest.raises(p.ProtocolError):
            await bench.experiment.write(failing)
        await bench.experiment.write(lambda t: None)
        assert heard == [Happened()]
    run(scenario)


def test_what_was_written_together_is_told_once(run: Run) -> None:
    def told(number: int) -> Callable[[Transaction], int]:
        def operation(t: Transaction) -> int:
            t.happened.pending += 1
            t.happened.commanded.append("w%d" % number)
            return number
        return operation

    async def scenario(bench: Bench) -> None:
        heard = listening(bench)
        several = [bench.experiment.write(told(number)) for number in range(3)]
        assert await asyncio.gather(*several) == [0, 1, 2]
        assert [(one.pending, one.commanded) for one in heard] == [(3, ["w0", "w1", "w2"])]
    run(scenario)


# Fields of what has happened that are counted before the commit, or are about one operation.
NOT_TOLD = {"moved", "jobs_changed", "ended", "printed", "workers_changed", "over", "given"}


@pytest.mark.parametrize("field", [field for field in dataclasses.fields(Happened)
                                   if field.name not in NOT_TOLD], ids=lambda field: field.name)
def test_nothing_is_lost_that_one_of_several_has_caused(field: "dataclasses.Field[Any]") -> None:
    kind = field.type if field.default_factory is dataclasses.MISSING else field.default_factory
    caused: Any = {int: 3, bool: True, list: ["a"], dict: {"lease": 1.0}, Optional[float]: 2.5}[kind]
    for place in range(3):
        several = [Happened() for _ in range(3)]
        several[place] = Happened(**{field.name: caused})
        assert together(several) == several[place]
        assert several[(place + 1) % 3] == Happened()


def test_what_was_written_is_told_although_who_asked_for_it_has_gone(run: Run) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(t: Transaction) -> None:
        begun.set()
        assert go_on.wait(20)
        t.happened.commanded.append("w")

    async def scenario(bench: Bench) -> None:
        told = asyncio.Event()
        bench.experiment.on_commit(lambda happened: told.set() if happened.commanded else None)
        writing = asyncio.ensure_future(bench.experiment.write(slow))
        assert await asyncio.get_running_loop().run_in_executor(None, begun.wait, 20)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        go_on.set()
        await told.wait()
    run(scenario)


def test_what_nobody_waits_for_any_more_is_not_written(run: Run) -> None:
    """Who gave up before its turn came has not asked for it."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(_t: Transaction) -> None:
        begun.set()
        assert go_on.wait(20)

    async def scenario(bench: Bench) -> None:
        ahead = asyncio.ensure_future(bench.experiment.write(slow))
        assert await asyncio.get_running_loop().run_in_executor(None, begun.wait, 20)
        done: List[int] = []
        behind = asyncio.ensure_future(bench.experiment.write(lambda t: done.append(1)))
        await asyncio.sleep(0)
        behind.cancel()
        with pytest.raises(asyncio.CancelledError):
            await behind
        go_on.set()
        await ahead
        await bench.experiment.write(lambda t: None)
        assert not done
    run(scenario)


def test_everybody_is_told_before_the_writer_goes_on(run: Run) -> None:
    """So the answer to a change is about what everybody has heard."""
    async def scenario(bench: Bench) -> None:
        heard = listening(bench)
        await bench.experiment.write(lambda t: t.happened.taken_away.append(7))
        assert heard == [Happened(taken_away=[7])]
    run(scenario)


def test_who_leaves_when_nothing_is_left_hears_of_the_last_result_at_once(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        job = (await beat(bench, "busy"))["job"]
        leaving = await held(bench, "leaving", exit_when_empty=True)
        staying = await held(bench, "staying")
        await beat(bench, "busy", job)
        _, answer = await leaving
        assert answer["empty"] is True and answer["job"] is None
        assert not staying.done()
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)
    run(scenario)


# ---- at what cost

def test_the_loop_is_woken_once_for_each_commit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        loop, woken = asyncio.get_running_loop(), []
        started, gate = threading.Event(), threading.Event()
        wake = loop.call_soon_threadsafe

        def counted(*args: Any) -> Any:
            woken.append(args)
            return wake(*args)

        def block(_t: Transaction) -> None:
            started.set()
            gate.wait(60)

        blocking = asyncio.ensure_future(bench.experiment.write(block))
        assert await loop.run_in_executor(None, started.wait, 60)
        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        several = [asyncio.ensure_future(bench.experiment.write(lambda t: None)) for _ in range(50)]
        loop.call_soon(gate.set)
        await asyncio.gather(blocking, *several)
        # The one that was being written, and those that waited for it, unless that was in the same moment.
        assert 1 <= len(woken) <= 2
    run(scenario)


def room_of(count: int) -> Tuple[WaitingRoom, List[Ticket]]:
    room = WaitingRoom()
    return room, [room.ticket("w%d" % number).__enter__() for number in range(count)]


def test_garbage_is_looked_for_before_there_is_much_where_many_are_answered_and_come_again() -> None:
    """The collector by itself counts what was made less what is gone, which is nothing then."""
    looked: List[int] = []

    def watch(phase: str, about: Dict[str, int]) -> None:
        if phase == "start":
            looked.append(about["generation"])

    async def scene() -> None:
        room = WaitingRoom()
        for _ in range(WAITS):
            with room.ticket("w") as ticket:
                waiting = asyncio.ensure_future(ticket.wait(60))
                while ticket._future is None:
                    await asyncio.sleep(0)
                ticket.call()
                assert await waiting

    gc.disable()  # but where it is told to
    gc.callbacks.append(watch)
    try:
        asyncio.run(scene())
    finally:
        gc.callbacks.remove(watch)
        gc.enable()
    assert looked == [0, 0]  # as many have begun to wait, and as many have waited


def test_a_call_costs_the_same_however_many_were_called_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight thousand that left together took seconds, in which nobody was served."""
    asked = [0]
    is_to_look = Ticket.is_to_look

    def counted(ticket: Ticket) -> bool:
        asked[0] += 1
        return bool(is_to_look.fget(ticket))  # type: ignore[attr-defined]

    monkeypatch.setattr(Ticket, "is_to_look", property(counted))
    count = 500
    room, tickets = room_of(count)
    for _ in tickets:
        room.call(1)
    assert all(ticket.called for ticket in tickets)
    for ticket in tickets:
        ticket.__exit__()
    assert asked[0] <= 3 * count and not room.tickets
    asked[0] = 0
    room, tickets = room_of(count)
    room.tell(Happened(pending=1))
    for _ in tickets:
        room.call_unlooked(room.changes)  # each of them has found that it cannot run what there is
    assert asked[0] <= 3 * count


def test_who_has_looked_in_vain_is_called_in_the_place_that_it_came_in() -> None:
    async def main() -> None:
        room, (first, second, third) = room_of(3)
        room.call(2)
        assert [ticket.called for ticket in (first, second, third)] == [True, True, False]
        await first.look(asyncio.sleep(0))
        room.call(1)
        assert [ticket.called for ticket in (first, second, third)] == [True, True, False]
        room.call(1)
        assert third.called
    asyncio.run(main())


def test_those_who_come_and_go_leave_nothing_behind() -> None:
    room, _ = room_of(3)
    for number in range(1000):
        with room.ticket("v%d" % number):
            pass
    assert len(room._line) < 100
    for count in (1, 2):
        room.call(count)
    assert all(ticket.called for ticket in room.tickets)


# ---- to thousands of workers

def test_who_is_told_something_else_calls_nobody_to_a_job_that_there_is_not(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        waiting = [await held(bench, worker) for worker in ("v", "w", "x")]
        written = count_writes(bench)
        await bench.experiment.write(lambda t: commands.tell(t, p.PAUSE, ["v", "w"], "dashboard"))
        for _, answer in await asyncio.gather(*waiting[:2]):
            assert (answer["desired_state"], answer["pending"], answer["job"]) == ("pause", True, None)
        assert written == [1], "the command; what it is was read"
        assert not any(ticket.called for ticket in bench.room.of_worker("x"))
        await create(bench, 1)
        assert (await waiting[2])[1]["job"]["parameters"] == {"x": 0}
    run(scenario)


def test_a_job_that_a_worker_was_called_for_goes_to_another_when_it_is_paused(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        await bench.experiment.write(lambda t: bulk.act(t, bulk.DELETE, [1], "for now"))
        first, second = await held(bench, "v"), await held(bench, "w")

        def both(t: Transaction) -> None:
            """A job comes and a pause, in one operation: the first in the line is called for both."""
            commands.tell(t, p.PAUSE, ["v"], "dashboard")
            bulk.act(t, bulk.RESTORE, [1], "again")

        await bench.experiment.write(both)
        assert (await first)[1]["desired_state"] == "pause"
        assert (await second)[1]["job"]["parameters"] == {"x": 0}
    run(scenario)


def test_a_command_that_was_taken_back_costs_no_job(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        waiting = await held(bench, "w")
        bench.room.call_worker("w")  # as a command does; nothing is to be told any more
        await create(bench, 1)
        assert (await waiting)[1]["job"]["parameters"] == {"x": 0}
    run(scenario)


def test_so_many_wake_in_one_turn_of_the_loop(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        tickets = [bench.room.ticket("w%d" % number) for number in range(3 * AT_ONCE)]
        waits = []
        for ticket in tickets:
            ticket.__enter__()
            waits.append(asyncio.ensure_future(ticket.wait(60.0)))
        await asyncio.sleep(0)
        for ticket in tickets:
            ticket.call_for_command()
        woken, before = [], 0
        while before < len(tickets):
            await asyncio.sleep(0)
            done = sum(ticket._future is None for ticket in tickets)
            woken.append(done - before)
            before = done
        assert max(woken) == AT_ONCE
        assert all(await asyncio.gather(*waits))
        for ticket in tickets:
            ticket.__exit__()
    run(scenario)


def count_writes(bench: Bench) -> List[int]:
    """How many operations are written from now on, in its only place."""
    written, write = [0], bench.experiment.write

    async def counted(operation: Callable[[Transaction], Any], *, repeats: bool = False) -> Any:
        written[0] += 1
        return await write(operation, repeats=repeats)

    bench.experiment.write = counted  # type: ignore[method-assign]
    return written
