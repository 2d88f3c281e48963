"""How long commands take to start, beside a bare `python -c pass`.

All run in turn, one process after the other, and it is the processor's time that is compared: what other
programs take by the clock is no difference. Bytecode is there, as after an installation, and the script is
the one that `jd.dist` installs.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd.dist.install import script_text
from tests.bench.rows import Row, arguments, finish, paired
from tests.e2e.processes import EXPERIMENT, Server
from tests.support import ROOT, free_env

BARE = "python -c pass"
CLI = "jd_worker_cli "
_EXP = "expId=" + EXPERIMENT
# How many times a bare start each may take, and its words.
COMMANDS: Mapping[str, Tuple[float, List[str]]] = {
    "version": (2.5, ["version"]),
    "help": (2.5, ["help"]),
    "Tab": (2.5, ["completion", "words", "wor"]),
    "worker-list": (4, [_EXP, "worker-list"]),
    "server-info": (4.7, [_EXP, "server-info"]),
}
# How many milliseconds more than a bare start each may take, and the program.
PROGRAMS: Mapping[str, Tuple[Optional[float], str]] = {
    "import jd": (2, "import jd"),
    "jd.jd_job_dir()": (12, "import jd; jd.jd_job_dir()"),
    "import re": (None, "import re"),
    "import pathlib": (None, "import pathlib"),
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


def rows_of(found: Mapping[str, List[Run]]) -> List[Row]:
    """By the processor's time, round by round."""
    bare = [ran.cpu for ran in found[BARE]]
    seen = {name: "%.1f ms, by the clock %.1f" % (min(ran.cpu for ran in runs),
                                                  statistics.median(ran.wall for ran in runs))
            for name, runs in found.items()}
    made = [Row(CLI + name, "× " + BARE, paired([ran.cpu for ran in found[name]], bare), most,
                seen=seen[name])
            for name, (most, _) in COMMANDS.items()]
    for name, (most, _) in PROGRAMS.items():
        more = [ran.cpu - other for ran, other in zip(found[name], bare)]
        made.append(Row(name, "ms more than " + BARE, more, most, seen=seen[name]))
    return made


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="(%(default)s)")
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
    finish(rows_of(found), given.json)


if __name__ == "__main__":
    main()
