"""Run the tests, several directories at a time: `python -m tests.run [--all] [pytest options]`.

What `make test` does. Each directory is a pytest of its own; two more run at once than there are
processors, because tests also wait, and at most four. Tests marked as slow are left out, and counted at
the end, unless `--all` asks for them. A directory that fails shows what its pytest said, and the files of its
tests are kept; the last line is the sum in pytest's words. Where the options name files or directories, it is
plain pytest on these.

Where memory has room for them, the files of tests lie there: a server waits for its disk before it answers,
and that is where most of the time would go.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Counter as Counts
from typing import Dict, List, Optional

ROOT = Path(__file__).parent.parent
MOST = 4  # parts at once
# These take longest, the longest first: what begins last is waited for alone.
FIRST = (
    "airgap", "slurm", "browser", "faults", "hostile", "server", "worker", "e2e/test_control.py",
    "e2e/test_server_process.py", "e2e/test_entries.py", "e2e/test_sweep.py",
    "e2e/test_signed_checkpoints.py", "e2e/test_access_file.py", "compat", "e2e/test_job_output.py",
    "examples", "dist", "cli", "e2e/test_hub_server.py", "e2e/test_other_users.py", "e2e/test_hub_worker.py",
    "e2e/test_backup_under_load.py", "e2e/test_reports.py", "e2e/test_laptop.py",
    "e2e/test_limited_workers.py", "e2e/test_usage_patterns.py", "ground", "hub", "test_house.py")
BY_FILE = ("e2e",)  # directories so large that their files take turns
TOGETHER = {"airgap": ["containers"]}  # run by one pytest, as they share a Debian that takes long to make
ON_DISK = ("slurm", "airgap")  # images and systems: large, and rarely synced
MEMORY = "/dev/shm"
MEMORY_NEEDED = 4 * 1024 ** 3  # bytes that must be free
NO_TESTS = 5  # pytest's exit status where an option such as -k leaves none
QUIET = 20.0  # seconds without a line, after which a log is told how far it is

_COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed|deselected|warnings?)")
_PROGRESS = re.compile(r"\[ *(\d+)%\]$")
_WORTH_TELLING = ("SKIPPED", "FAILED", "ERROR")
PYTEST = (sys.executable, "-m", "pytest", "-rfEs")
WITHOUT_SLOW = ("-m", "not slow")


class Part:
    """One pytest: a directory of tests/, some that go together, or a file."""

    def __init__(self, *paths: Path) -> None:
        self.paths = [str(path.relative_to(ROOT)) for path in paths]
        names = [str(path.relative_to(ROOT / "tests")) for path in paths]
        self.key, self.name = names[0], "+".join(names)
        self.percent = 0
        self.on_disk = paths[0].name in ON_DISK
        self.process: "subprocess.Popen[str]"

    def start(self, options: List[str], temporary: Path) -> None:
        """Begin, with the files of the tests in this directory, which pytest makes.

        Without it all of them would share one, and each would remove what another is just removing.
        """
        self.process = subprocess.Popen(
            [*PYTEST, "-v", "--basetemp=%s" % temporary, *options, *self.paths], cwd=str(ROOT),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace")

    def finish(self) -> List[str]:
        """Follow it to its end; the lines that it printed, without those that tell how far it is."""
        lines = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            progress = _PROGRESS.search(line)
            if progress:
                self.percent = int(progress.group(1))
            else:
                lines.append(line)
        self.process.communicate()
        return "".join(lines).rstrip().splitlines() or [""]


class Screen:
    """Lines that stay; below them, on a terminal, one that changes. A log gets that one now and then."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._clear = "\r\x1b[K" if sys.stdout.isatty() else ""

    @property
    def seconds(self) -> float:
        """How long it has been there."""
        return time.monotonic() - self._began

    def line(self, text: str) -> None:
        """Print a line, or several."""
        print(self._clear + text, flush=True)
        self._last = time.monotonic()

    def status(self, text: str) -> None:
        """Tell how far it is."""
        text = "[%2d:%02d] %s" % (self.seconds // 60, self.seconds % 60, text)
        if self._clear:
            print(self._clear + text[:shutil.get_terminal_size().columns - 1], end="", flush=True)
        elif time.monotonic() - self._last >= QUIET:
            self.line(text)


class Run:
    """One run: what is left to do, what runs, what was counted."""

    def __init__(self, options: List[str], screen: Screen, on_disk: Path, elsewhere: Path) -> None:
        self._options = options
        self._on_disk = on_disk
        self._elsewhere = elsewhere
        # pytest itself does not pass over what is named.
        ignored = tuple(option[len("--ignore="):].rstrip("/") + "/" for option in options
                        if option.startswith("--ignore="))
        self._left: List[Part] = []
        for part in parts():
            part.paths = [path for path in part.paths if not (path + "/").startswith(ignored)]
            self._left += [part] if part.paths else []
        self._total = len(self._left)
        self._running: List[Part] = []
        self._lock = threading.Lock()
        self._screen = screen
        self.counts: Counts[str] = Counter()
        self.deselected: Dict[str, int] = {}  # by part
        self.failed = False

    def all(self) -> None:
        """Run every part."""
        count = min(MOST, (os.cpu_count() or 1) + 2)
        workers = [threading.Thread(target=self._work) for _ in range(count)]
        self._screen.line("running %d parts of tests/, %d at a time; a line for each that ends"
                          % (self._total, len(workers)))
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():
                    self._show()
                    worker.join(0.5)
        except KeyboardInterrupt:
            self._stop()
            for worker in workers:
                worker.join()

    def _work(self) -> None:
        """Take one part after the other, until none is left."""
        while True:
            with self._lock:
                if not self._left:
                    return
                part = self._left.pop(0)
                place = self._on_disk if part.on_disk else self._elsewhere
                part.start(self._options, place / str(len(self._left)))
                self._running.append(part)
            lines = part.finish()
            with self._lock:
                self._running.remove(part)
                self._take(part, lines)

    def _stop(self) -> None:
        """End what runs, so that fixtures clean up, and begin nothing more."""
        with self._lock:
            self.failed = True
            self._left.clear()
            for part in self._running:
                part.process.send_signal(signal.SIGINT)

    def _show(self) -> None:
        with self._lock:
            self._screen.status("%d of %d done; now %s" % (
                self._total - len(self._left) - len(self._running), self._total,
                ", ".join("%s %d%%" % (part.name, part.percent) for part in self._running)))

    def _take(self, part: Part, lines: List[str]) -> None:
        found = {word.rstrip("s") if word.startswith(("error", "warning")) else word: int(number)
                 for number, word in _COUNT.findall(lines[-1])}
        self.counts.update(found)
        self.deselected[part.name] = found.get("deselected", 0)
        if part.process.returncode in (0, NO_TESTS):
            told = [line for line in lines if line.startswith(_WORTH_TELLING)]
        else:
            self.failed = True
            told = lines
            if not found:
                self.counts["error"] += 1  # it did not get as far as counting
        self._screen.line("\n".join([*told, "%s: %s" % (" ".join(part.paths), lines[-1].strip("= "))]))


def quick_place() -> Optional[str]:
    """Where files lie in memory; None where there is no such place, no room, or programs may not run."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return None
    fits = found.f_bavail * found.f_frsize >= MEMORY_NEEDED and not found.f_flag & os.ST_NOEXEC
    return MEMORY if fits and os.access(MEMORY, os.W_OK | os.X_OK) else None


def parts() -> List[Part]:
    """What one pytest runs: the directories of tests/, and files that are in none or in one of BY_FILE."""
    tests = ROOT / "tests"
    directories = sorted(path for path in tests.iterdir() if path.is_dir() and any(path.rglob("test_*.py")))
    guests = {name for names in TOGETHER.values() for name in names}
    found: List[Part] = []
    for directory in directories:
        if directory.name in BY_FILE:
            found += map(Part, sorted(directory.glob("test_*.py")))
        elif directory.name not in guests:
            found.append(Part(directory, *(tests / name for name in TOGETHER.get(directory.name, []))))
    found += map(Part, sorted(tests.glob("test_*.py")))
    return sorted(found, key=lambda part: FIRST.index(part.key) if part.key in FIRST else len(FIRST))


def closing(counts: Counts[str], seconds: float) -> str:
    """The sum, as pytest says it."""
    words = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning", "error")
    told = ", ".join("%d %s" % (counts[word], word) for word in words if counts[word]) or "no tests ran"
    return "%s in %.2fs (%d:%02d)" % (told, seconds, seconds // 60, seconds % 60)


def main() -> int:
    """0 where every test passed or was skipped."""
    options = [option for option in sys.argv[1:] if option != "--all"]
    if any((ROOT / option.partition("::")[0]).exists() for option in options):
        return subprocess.call([*PYTEST, "-q", *options], cwd=str(ROOT))
    everything = "--all" in sys.argv[1:]
    screen = Screen()
    places = [Path(tempfile.mkdtemp(prefix="jd-tests-", dir=top)) for top in (None, quick_place())]
    run = Run(options if everything else [*WITHOUT_SLOW, *options], screen, *places)
    run.all()
    if run.failed:
        screen.line("the files of the tests are in %s and %s" % (places[0], places[1]))
    else:
        for place in places:
            shutil.rmtree(str(place), ignore_errors=True)
    left_out = ", ".join("%s %d" % (name, count) for name, count in run.deselected.items() if count)
    if left_out and not everything and not any(option.startswith(("-k", "-m")) for option in options):
        screen.line("left out, by directory: %s. These are slow tests: they build images, bundles and bare"
                    " systems, ask pip, need Slurm or a browser, or run many sweeps. `make check` runs them"
                    " too, and so does make test PYTEST_ARGS=--all." % left_out)
    screen.line(closing(run.counts, screen.seconds))
    return 1 if run.failed or not run.counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
