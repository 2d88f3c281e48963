"""`python -m jd.dist wheel|sdist [--out DIR]`: build without any tool."""

import argparse
import sys
from pathlib import Path
from typing import List

from jd.dist import backend, sdist, wheel
from jd.dist.metadata import load_project
from jd.errors import run_command


def main(argv: List[str]) -> int:
    """Build what is asked for and print the path of the file."""
    parser = argparse.ArgumentParser(
        prog="python -m jd.dist",
        description="Build a distribution of the source tree that this module lies in.")
    parser.add_argument("what", choices=("wheel", "sdist"))
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("dist"),
                        help="where the file goes (default: %(default)s)")
    arguments = parser.parse_args(argv)
    project = load_project(backend.source_root())
    build = wheel.build_wheel if arguments.what == "wheel" else sdist.build_sdist
    print(build(project, arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
