"""Spaces of parameters in programs: they become jobs before the server is asked."""

import json
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

import jd
from jd import space
from jd.sweep import source
from jd.sweep.session import Session
from jd.sweep.spaces import Domain, jobs_of
from jd.sweep.sweeps import Sweep
from tests.script.stub_server import Answer, StubServer
from tests.sweep.test_source import Array

Begun = Callable[..., Session]
start: Callable[..., Sweep] = getattr(jd, "sweep")

PLAIN: Dict[str, Any] = {
    "lr": {"low": 1e-4, "high": 0.1, "log": True}, "layers": {"low": 1, "high": 20},
    "opt": {"values": ["adam", "sgd"]}, "momentum": {"low": 0.0, "high": 1.0, "when": {"opt": ["sgd"]}},
    "epochs": 81}


def domains() -> Dict[str, Any]:
    return {"lr": jd.uniform(1e-4, 0.1, log=True), "layers": jd.randint(1, 20),
            "opt": jd.choice(["adam", "sgd"]), "momentum": jd.uniform(0, 1, when={"opt": ["sgd"]}),
            "epochs": 81}


def test_functions_say_what_files_say() -> None:
    assert domains() == PLAIN
    assert json.dumps(domains()["momentum"]) == '{"low": 0.0, "high": 1.0, "when": {"opt": ["sgd"]}}'
    assert jd.choice(range(2)) == {"values": [0, 1]} == jd.choice(Array([0, 1]).tolist())
    assert jd.choice([Array(1.5)], when={"a": Array([1])}) == {"values": [1.5], "when": {"a": [1]}}


@pytest.mark.parametrize("method", space.METHODS[:2])
def test_a_space_becomes_jobs(method: str) -> None:
    jobs = list(space.jobs({"space": PLAIN, "n": 5, "seed": 3, "method": method}))
    assert jobs_of(domains(), n=5, seed=3, method=method) == {"jobs": jobs}
    assert jobs_of(PLAIN, n=5, seed=3, method=method) == {"jobs": jobs}
    said = {"space": PLAIN, "n": 9, "seed": 3, "method": method, "timeout": 60}
    assert jobs_of(said, n=5) == {"timeout": 60, "jobs": jobs}


def test_a_file_may_have_one(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"space": PLAIN, "n": 3, "order": "random", "seed": 2}))
    jobs = list(space.jobs({"space": PLAIN, "n": 3, "seed": 2}))
    assert source.read(tmp_path / "s.json") == {"order": "random", "seed": 2, "jobs": jobs}


@pytest.mark.parametrize("given", [
    {"lr": [1, 2]}, {"space": [1, 2]}, {"n": 3, "seed": 1}, [{"a": 1}], "x.json"])
def test_what_is_none_stays_as_it_is(given: Any) -> None:
    assert jobs_of(given) is given


def test_ranges_and_lists_are_choices() -> None:
    assert jobs_of({"a": range(3), "b": Array([1.5]), "c": (1, 2)}, method="grid") == {
        "jobs": [{"a": a, "b": 1.5, "c": c} for a in range(3) for c in (1, 2)]}


def test_create_jobs_sends_jobs_to_every_server(stub: StubServer, begun: Begun) -> None:
    begun()
    stub.will_answer(Answer(200, {"success": True, "total_jobs": 4, "start_id": 1}))
    jd.create_jobs(domains(), n=2, seed=1, repeat=2)
    assert stub.asked[0].json() == {"replace": False, "jobs": list(
        space.jobs({"space": PLAIN, "n": 2, "seed": 1, "repeat": 2}))}


def test_so_does_a_sweep(stub: StubServer, begun: Begun) -> None:
    begun("unique", "timeout")
    stub.will_answer(Answer(200, {"success": True, "total_jobs": 3, "start_id": 1, "ids": [1, 2, 3]}))
    assert start(domains(), n=3, seed=1, method="halton", timeout=60).ids == [1, 2, 3]
    assert stub.asked[0].json() == {"replace": False, "unique": True, "timeout": 60, "jobs": list(
        space.jobs({"space": PLAIN, "n": 3, "seed": 1, "method": "halton"}))}


@pytest.mark.parametrize("ask, kind, told", [
    (lambda: jd.uniform(1, 1), ValueError, "^low must be below high"),
    (lambda: jd.uniform(0, 1, log=True), ValueError, "^with log, low must be above 0"),
    (lambda: jd.uniform("0", 1), TypeError, "low and high must be numbers, not '0'"),
    (lambda: jd.uniform(True, 2), TypeError, "low and high must be numbers, not True"),
    (lambda: jd.randint(1, 2.5), TypeError, "low and high must be whole numbers, not 2.5"),
    (lambda: jd.choice("adam"), TypeError, "choice takes a list of values, not 'adam'"),
    (lambda: jd.choice([]), ValueError, "^the list of values is empty"),
    (lambda: jd.choice([1], when="opt"), TypeError, "when takes a dict of other names"),
    (lambda: jobs_of(domains()), ValueError, "n is missing"),
    (lambda: jobs_of([{"a": 1}], n=3), TypeError, "n= goes with a space, a dict of names, not with list"),
    (lambda: jobs_of("a.json", seed=3), TypeError, "seed= goes with a space"),
    (lambda: jobs_of({"space": {"a": [1]}, "jobs": []}), ValueError, "exactly one"),
    (lambda: jobs_of({"space": {"a": [1]}, "methd": "grid"}), ValueError, "'methd' beside space.*mean"),
])
def test_what_is_refused(ask: Callable[[], Any], kind: type, told: str) -> None:
    with pytest.raises(kind, match=told):
        ask()


def test_a_domain_is_a_dict() -> None:
    assert isinstance(jd.choice([1]), Domain) and repr(jd.choice([1])) == "{'values': [1]}"
