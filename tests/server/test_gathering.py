"""What a loop wants written goes to the thread that writes together, in its order, and is never forgotten."""

import asyncio
from pathlib import Path
from typing import Any, Awaitable, Callable, Iterator, List, Sequence

import pytest

from jd.errors import StorageError
from jd.server import gathering
from jd.server.experiment import Experiment
from jd.server.store.policy import Policy
from jd.server.store.transaction import Transaction
from jd.storage.database import MAX_GROUP, Task


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    opened = Experiment(tmp_path, "exp", Policy())
    yield opened
    opened.close()


def put(name: str) -> Callable[[Transaction], Any]:
    return lambda t: t.db.execute(
        "INSERT INTO settings VALUES (?, 'put ' || (SELECT count(*) FROM settings))", (name,))


def there(experiment: Experiment) -> List[str]:
    return experiment.read_now(lambda db: [name for (name,) in db.execute(
        "SELECT name FROM settings WHERE value LIKE 'put %' ORDER BY CAST(substr(value, 5) AS INTEGER)")])


@pytest.fixture
def sizes(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> List[int]:
    """How many operations have gone at once, each time."""
    found: List[int] = []
    enter = experiment.database.enter

    def count(tasks: Sequence[Task]) -> None:
        found.append(len(tasks))
        enter(tasks)

    monkeypatch.setattr(experiment.database, "enter", count)
    return found


async def writing(experiment: Experiment, name: str, after: int) -> None:
    """Write something after so many turns of the loop."""
    for _ in range(after):
        await asyncio.sleep(0)
    await experiment.write(put(name), repeats=True)


def each_turn(experiment: Experiment, turns: int) -> Awaitable[Any]:
    return asyncio.gather(*(writing(experiment, str(turn), turn) for turn in range(turns)))


def test_what_comes_turn_after_turn_goes_together(experiment: Experiment, sizes: List[int],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "LONGEST", 60.0)

    async def main() -> None:
        await asyncio.gather(each_turn(experiment, 5), writing(experiment, "with the first", 0))
        await experiment.write(put("alone"))

    asyncio.run(main())
    assert sizes == [6, 1]


def test_nothing_waits_for_more_than_fit_into_a_commit(experiment: Experiment, sizes: List[int],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "LONGEST", 60.0)

    async def main() -> None:
        await each_turn(experiment, MAX_GROUP + 5)

    asyncio.run(main())
    assert sizes[0] == MAX_GROUP and sum(sizes) == MAX_GROUP + 5


def test_nothing_waits_longer_than_a_moment(experiment: Experiment, sizes: List[int],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "LONGEST", 0.0)

    async def main() -> None:
        await each_turn(experiment, 5)

    asyncio.run(main())
    assert sizes == [1] * 5


def test_what_is_written_keeps_its_order(experiment: Experiment) -> None:
    async def main() -> None:
        first = experiment.queue(put("first"), repeats=True)
        second = experiment.queue(put("second"))
        await experiment.write(put("third"), repeats=True)
        assert first.done() and second.done()

    asyncio.run(main())
    assert there(experiment) == ["first", "second", "third"]


def test_who_gives_up_before_it_goes_has_nothing_written(experiment: Experiment) -> None:
    async def main() -> None:
        doomed = asyncio.ensure_future(experiment.write(put("doomed")))
        await asyncio.sleep(0)
        doomed.cancel()
        await experiment.write(put("other"))

    asyncio.run(main())
    assert there(experiment) == ["other"]


def test_what_waits_for_others_is_written_when_the_data_is_closed(tmp_path: Path) -> None:
    closing = Experiment(tmp_path, "exp", Policy())

    async def main() -> None:
        closing.queue(put("last"))
        closing.close()
        with pytest.raises(StorageError, match="closed"):
            await closing.write(put("late"))

    asyncio.run(main())
    again = Experiment(tmp_path, "exp", Policy())
    assert there(again) == ["last"]
    again.close()


def test_what_a_loop_has_left_goes_before_what_the_next_one_writes(experiment: Experiment) -> None:
    async def leave() -> None:
        experiment.queue(put("left"))

    async def main() -> None:
        await experiment.write(put("next"))

    ended = asyncio.new_event_loop()
    ended.run_until_complete(leave())
    ended.close()
    asyncio.run(main())
    assert there(experiment) == ["left", "next"]


def test_data_is_closed_although_a_loop_has_ended_in_which_somebody_is_to_hear_of_it(tmp_path: Path) -> None:
    closing = Experiment(tmp_path, "exp", Policy())

    async def leave() -> None:
        closing.queue(put("late")).add_done_callback(lambda done: done.exception())
        closing.database.close()

    ended = asyncio.new_event_loop()
    ended.run_until_complete(leave())
    ended.close()
    closing.close()
    again = Experiment(tmp_path, "exp", Policy())  # nobody has it any more
    assert there(again) == []
    again.close()
