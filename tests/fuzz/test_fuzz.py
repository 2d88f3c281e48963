"""Some thousands of bad and odd inputs, the same each time; `make fuzz INPUTS=1000000` makes others."""

import re
import subprocess
import sys

import pytest

from tests.fuzz import catalogue
from tests.fuzz.material import Source
from tests.fuzz.properties import Failure, Property, bounded, named, try_one
from tests.fuzz.running import shares
from tests.support import ROOT

INPUTS = 4000
SEED = 1
COUNTS = shares(catalogue.PROPERTIES, INPUTS)


@pytest.mark.parametrize("tried", catalogue.PROPERTIES, ids=lambda one: one.name)
def test_inputs_are_read_or_refused_as_documented(tried: Property) -> None:
    with bounded():
        for number in range(COUNTS[tried.name] + 2):
            try_one(tried, SEED, number, measured=number < 2)


def test_each_property_has_a_name_of_its_own() -> None:
    names = [one.name for one in catalogue.PROPERTIES]
    assert len(set(names)) == len(names)
    assert named(catalogue.PROPERTIES, ["http"]) == [
        one for one in catalogue.PROPERTIES if one.name.startswith("http")
    ]
    with pytest.raises(ValueError, match="no property nothing"):
        named(catalogue.PROPERTIES, ["nothing"])


def test_an_input_is_made_again_by_its_number() -> None:
    for one in catalogue.PROPERTIES:
        number = len(one.known) + 3
        assert repr(one.input(7, number)) == repr(one.input(7, number))
    texts = {repr(catalogue.PROPERTIES[0].input(7, number)) for number in range(100, 200)}
    assert len(texts) > 90


def _numbers(source: Source) -> int:
    return source.below(1000)


def test_a_failure_tells_how_it_is_played_again() -> None:
    def check(number: int) -> None:
        assert number != tried.input(SEED, 30), "it is thirty"

    tried = Property("thirty", _numbers, check)
    with bounded():
        for number in range(30):
            if tried.input(SEED, number) != tried.input(SEED, 30):
                try_one(tried, SEED, number)
        with pytest.raises(
            Failure,
            match=r"thirty is broken: AssertionError: it is thirty[^$]*"
            r"--only thirty --seed 1 --input 30",
        ):
            try_one(tried, SEED, 30)


def test_a_check_that_does_not_end_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_: int) -> None:
        while True:
            pass

    monkeypatch.setattr("tests.fuzz.properties.CPU_SECONDS", 0.02)
    with bounded(), pytest.raises(Failure, match="TooSlow"):
        try_one(Property("endless", _numbers, check), SEED, 0)


def test_a_check_that_holds_too_much_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.properties.MEMORY_FREE", 100_000)
    with bounded(), pytest.raises(Failure, match="TooLarge"):
        try_one(Property("greedy", _numbers, lambda _: bytearray(200_000).clear()), SEED, 0, measured=True)


def test_the_program_shares_inputs_among_two_processes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--inputs", "300", "--only", "http-header", "--only", "moment"],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(
        r"^30\d inputs in \d+ s: every one was read, or refused as documented$", done.stdout, re.MULTILINE
    )
