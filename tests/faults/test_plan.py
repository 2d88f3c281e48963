"""Plans: the same for the same seed, and of all kinds."""

from typing import Set

from tests.faults import plan
from tests.faults.runs import SEEDS
from tests.ground.test_killpoint import points


def test_a_plan_follows_from_its_seed_alone() -> None:
    assert plan.make(7) == plan.make(7) != plan.make(8)
    assert len(plan.make(7, jobs=25).jobs) == 25


def test_a_plan_is_shown_with_all_that_it_holds() -> None:
    made = plan.make(109)
    shown = made.shown()
    assert "seed 109" in shown
    assert all("job %d %s" % (number, job.act) in shown for number, job in enumerate(made.jobs, 1))
    assert all("%s %s" % (fault.whom, fault.what) in shown for fault in made.faults)


def test_the_seeds_of_ci_cover_all_kinds() -> None:
    every: Set[str] = {kind for seed in range(2000) for kind in plan.make(seed).kinds()}
    assert {kind for seed in SEEDS for kind in plan.make(seed).kinds()} == every
    assert {job.act for seed in SEEDS for job in plan.make(seed).jobs} == set(plan.ACTS)


def test_the_points_that_plans_choose_from_are_there() -> None:
    assert set(plan.SERVER_POINTS + plan.WORKER_POINTS) <= set(points())
