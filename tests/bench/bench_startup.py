"""How long commands take to start, beside a bare `python -c pass`.

All rows run in turn, one process after the other, so that a machine that is busy at times is busy for each of
them. Of each row it shows the shortest run, the median, the middle half of all, and the least processor time,
also as multiples of those of `python -c pass`. Where other programs run, look at the processor time. Bytecode
is there, as after an installation, and the script is the one that `jd.dist` installs.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd import terminal
from jd.dist.install import script_text
from tests.e2e.processes import EXPERIMENT, Server
from tests.support import ROOT, free_env

BARE = "python -c pass"
CLI = "jd_worker_cli "
_EXP = "expId=" + EXPERIMENT
# What is measured, what at most it may take, and the words of the command or the program.
COMMANDS: Mapping[str, Tuple[str, List[str]]] = {
    "version": ("2.5 x", ["version"]),
    "help": ("2.5 x", ["help"]),
    "Tab": ("2.5 x", ["completion", "words", "wor"]),
    "worker-list": ("5 x", [_EXP, "worker-list"]),
    "server-info": ("5 x", [_EXP, "server-info"]),
}
PROGRAMS: Mapping[str, Tuple[str, str]] = {
    "import jd": ("+ 2 ms", "import jd"),
    "jd.jd_job_dir()": ("+ 12 ms", "import jd; jd.jd_job_dir()"),
    "import re": ("", "import re"),
    "import pathlib": ("", "import pathlib"),
}


class Run(NamedTuple):
    """One process: milliseconds by the clock, and of the processor."""

    wall: float
    cpu: float


def run(words: List[str], environ: Mapping[str, str]) -> Run:
    began = time.perf_counter()
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(words[0], words, environ, file_actions=silent)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    assert status == 0, words
    return Run(wall * 1000, (used.ru_utime + used.ru_stime) * 1000)


def measure(lines: Mapping[str, List[str]], environ: Mapping[str, str], rounds: int) -> Dict[str, List[Run]]:
    """The runs of each line, one of each in turn, after one of each that counts for nothing."""
    found: Dict[str, List[Run]] = {name: [] for name in lines}
    for turn in range(rounds + 1):
        for name, words in lines.items():
            ran = run(words, environ)
            if turn:
                found[name].append(ran)
    return found


def told(runs: List[Run], bare: List[Run]) -> Dict[str, float]:
    """The figures of a row."""
    walls, cpus = sorted(ran.wall for ran in runs), sorted(ran.cpu for ran in runs)
    quarter = len(walls) // 4
    bare_wall, bare_cpu = min(ran.wall for ran in bare), min(ran.cpu for ran in bare)
    return {"ms": walls[0], "median_ms": statistics.median(walls), "quarter_ms": walls[quarter],
            "three_quarters_ms": walls[-1 - quarter], "cpu_ms": cpus[0],
            "ratio": walls[0] / bare_wall,
            "median_ratio": statistics.median(walls) / statistics.median(ran.wall for ran in bare),
            "cpu_ratio": cpus[0] / bare_cpu, "cpu_more_ms": cpus[0] - bare_cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", metavar="FILE", help="write the figures here as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        script = directory / "jd_worker_cli"
        script.write_text(script_text(sys.executable, "jd.cli.__main__:entry"))
        lines = {BARE: [sys.executable, "-c", "pass"]}
        lines.update({name: [sys.executable, str(script)] + words for name, (_, words) in COMMANDS.items()})
        lines.update({name: [sys.executable, "-c", code] for name, (_, code) in PROGRAMS.items()})
        with Server(directory) as server:
            environ = free_env(directory, PYTHONPATH=ROOT, JD_SERVER=server.url, JD_WORKER_JOB_DIR=directory)
            environ.pop("PYTHONDONTWRITEBYTECODE", None)
            found = measure(lines, environ, given.rounds)
            server.stop()
    facts = {name: told(runs, found[BARE]) for name, runs in found.items()}
    limits = {name: row[0] for row_of in (COMMANDS, PROGRAMS) for name, row in row_of.items()}
    rows = [[(CLI if name in COMMANDS else "") + name, "%.1f ms" % fact["ms"], "%.2f x" % fact["ratio"],
             "%.2f x" % fact["median_ratio"],
             "%.1f-%.1f ms" % (fact["quarter_ms"], fact["three_quarters_ms"]), "%.1f ms" % fact["cpu_ms"],
             "%.2f x" % fact["cpu_ratio"], "%+.1f ms" % fact["cpu_more_ms"], limits.get(name, "")]
            for name, fact in facts.items()]
    for line in terminal.table(["", "shortest", "ratio", "of medians", "half of all", "CPU", "ratio", "more",
                                "to reach"], rows, range(1, 9)):
        print(line)
    if given.json:
        about = {"python": sys.version.split()[0], "cpus": os.cpu_count(), "rounds": given.rounds}
        Path(given.json).write_text(json.dumps({"about": about, "rows": facts}, indent=2) + "\n")


if __name__ == "__main__":
    main()
