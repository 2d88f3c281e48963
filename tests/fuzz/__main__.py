"""`python -m tests.fuzz [--inputs N] [--seed S] [--only NAME] [--input I]`: odd input for all parsers.

N inputs are shared out among the properties, by their weights, and among two processes. The first failure of
a property ends that property, and tells how its input is played again; the exit status is 1 then.
"""

import argparse
import sys
from typing import Sequence

from tests.fuzz import catalogue
from tests.fuzz.properties import Property, named
from tests.fuzz.running import shares, together


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what decides them (%(default)s)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a property, or how some begin"
    )
    parser.add_argument("--input", type=int, metavar="I", help="one input by its number, of --only")
    given = parser.parse_args(argv)
    try:
        properties = named(catalogue.PROPERTIES, given.only)
    except ValueError as error:
        parser.error(str(error))
    if given.input is not None:
        return play(properties, given.seed, given.input)
    counts = shares(properties, given.inputs)
    total = sum(counts.values())
    print("%d inputs for %d properties, seed %d" % (total, len(properties), given.seed), flush=True)
    failures, seconds = together([one.name for one in properties], counts, given.seed, total)
    print(
        "%d inputs in %d s: %s"
        % (
            total,
            seconds,
            "%d failures" % len(failures) if failures else "every one was read, or refused as documented",
        )
    )
    return 1 if failures else 0


def play(properties: Sequence[Property], seed: int, number: int) -> int:
    """One input, shown whole; what it raises comes out."""
    for one in properties:
        made = one.input(seed, number)
        print("%s: %r" % (one.name, made), flush=True)
        one.check(made)
    print("it holds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
