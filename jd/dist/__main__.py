"""`python -m jd.dist wheel|sdist|pyz|bundle [--out DIR]`: build without any tool."""

import argparse
import sys
from pathlib import Path
from typing import Callable, Dict, List

from jd.dist import backend, bundle, pyz, sdist, wheel
from jd.dist.metadata import Project, load_project
from jd.errors import run_command

_BUILDERS: Dict[str, Callable[[Project, Path], Path]] = {
    "wheel": wheel.build_wheel, "sdist": sdist.build_sdist, "pyz": pyz.build_pyz,
    "bundle": bundle.build_bundle}


def main(argv: List[str]) -> int:
    """Build what is asked for and print the path of the file."""
    parser = argparse.ArgumentParser(
        prog="python -m jd.dist",
        description="Build a distribution of the source tree that this module lies in.")
    parser.add_argument("what", choices=tuple(_BUILDERS))
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("dist"),
                        help="where the file goes (default: %(default)s)")
    arguments = parser.parse_args(argv)
    print(_BUILDERS[arguments.what](load_project(backend.source_root()), arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
