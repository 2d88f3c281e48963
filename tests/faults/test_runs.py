"""A dozen runs with all kinds of faults; `make faults` plays as many as you like."""

from typing import Dict, Iterator

import pytest

from tests.faults import plan, runs
from tests.faults.runs import SEEDS, Outcome

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Dict[int, Outcome]]:
    """How each seed went; they are played some at a time."""
    played = runs.run_all([plan.make(seed) for seed in SEEDS])
    yield {outcome.plan.seed: outcome for outcome in played}


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_holds_whatever_happens(outcomes: Dict[int, Outcome], seed: int) -> None:
    outcome = outcomes[seed]
    assert outcome.violations == [], outcome.shown()
