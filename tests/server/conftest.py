import asyncio
from pathlib import Path
from typing import Iterator

import pytest

from jd.server.store.policy import Policy
from tests.server import readyschema
from tests.server.dashboard_bench import Dashboard
from tests.server.scenes import play
from tests.server.store_support import Desk
from tests.server.test_watching import Bench, Run, Scenario
from tests.support import cheap_passwords


@pytest.fixture(scope="module", autouse=True)
def quick_hashes() -> Iterator[None]:
    with cheap_passwords():
        yield


@pytest.fixture(scope="package", autouse=True)
def quick_schemas() -> Iterator[None]:
    with readyschema.copied():
        yield


@pytest.fixture
def policy() -> Policy:
    """That of `desk`, for files with another one to say so."""
    return Policy()


@pytest.fixture
def desk(tmp_path: Path, policy: Policy) -> Iterator[Desk]:
    """A store on an empty database."""
    opened = Desk(tmp_path, policy)
    yield opened
    opened.database.close()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One loop for a test: before Python 3.10 what asyncio offers belongs to the loop it is made in."""
    opened = asyncio.new_event_loop()
    asyncio.set_event_loop(opened)
    yield opened
    asyncio.set_event_loop(None)
    opened.close()


@pytest.fixture
def dashboard(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Dashboard]:
    """A dashboard that is not listening, with its loop."""
    opened = Dashboard(tmp_path)
    yield opened
    loop.run_until_complete(opened.server.stop())
    opened.close()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Plays scenarios on a server without jobs or workers; they leave no heartbeat held."""
    def run_scenario(scenario: Scenario) -> None:
        async def scene(bench: Bench) -> None:
            await scenario(bench)
            assert not bench.room.tickets
        play(lambda: Bench(tmp_path), scene)
    return run_scenario
