"""Run all tests, several directories at a time: `python -m tests.run [pytest options]`.

What `make test` does. Each directory is a pytest of its own, as many at once as there are processors, at
most four. A directory that fails shows what its pytest said; the last line is the sum in pytest's words.
Where the options name files or directories, it is plain pytest on these.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Counter as Counts
from typing import List, Set

ROOT = Path(__file__).parent.parent
MOST = 4
# These take longest: begun last they would be waited for alone.
FIRST = ("containers", "slurm", "airgap", "hostile", "browser", "e2e", "examples", "worker", "cli")
NO_TESTS = 5  # pytest's exit status where an option such as -k leaves none

_COUNT = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed|deselected|warnings?)")
_WORTH_TELLING = ("SKIPPED", "FAILED", "ERROR")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-rfEs")


class Run:
    """One run: what is left to do, what was counted."""

    def __init__(self, options: List[str]) -> None:
        self._options = options
        self._left: "SimpleQueue[Path]" = SimpleQueue()
        self._running: Set["subprocess.Popen[str]"] = set()
        self._lock = threading.Lock()
        self.counts: Counts[str] = Counter()
        self.failed = False
        for part in parts():
            # pytest itself does not pass over what is named.
            if "--ignore=%s" % part.relative_to(ROOT) not in options:
                self._left.put(part)

    def work(self) -> None:
        """Take one part after the other, until none is left."""
        while True:
            try:
                part = self._left.get_nowait()
            except Empty:
                return
            child = subprocess.Popen(
                [*PYTEST, *self._options, str(part.relative_to(ROOT))], cwd=str(ROOT),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                universal_newlines=True, errors="replace")
            with self._lock:
                self._running.add(child)
            output = child.communicate()[0]
            with self._lock:
                self._running.discard(child)
                self._take(part, output, child.returncode)

    def stop(self) -> None:
        """End what runs, so that fixtures clean up, and begin nothing more."""
        with self._lock:
            while not self._left.empty():
                self._left.get_nowait()
            for child in self._running:
                child.send_signal(signal.SIGINT)

    def _take(self, part: Path, output: str, status: int) -> None:
        lines = output.rstrip().splitlines() or [""]
        found = {word.rstrip("s") if word.startswith(("error", "warning")) else word: int(number)
                 for number, word in _COUNT.findall(lines[-1])}
        self.counts.update(found)
        if status in (0, NO_TESTS):
            for line in lines:
                if line.startswith(_WORTH_TELLING):
                    print(line)
        else:
            self.failed = True
            print(output.rstrip())
            if not found:
                self.counts["error"] += 1  # it did not get as far as counting
        print("%s: %s" % (part.relative_to(ROOT), lines[-1].strip("= ")), flush=True)


def parts() -> List[Path]:
    """What one pytest runs: the directories of tests/, and the files that are in none."""
    tests = ROOT / "tests"
    directories = sorted(path for path in tests.iterdir() if path.is_dir() and any(path.rglob("test_*.py")))
    directories.sort(key=lambda path: FIRST.index(path.name) if path.name in FIRST else len(FIRST))
    return directories + sorted(tests.glob("test_*.py"))


def closing(counts: Counts[str], seconds: float) -> str:
    """The sum, as pytest says it."""
    words = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning", "error")
    told = ", ".join("%d %s" % (counts[word], word) for word in words if counts[word]) or "no tests ran"
    return "%s in %.2fs (%d:%02d)" % (told, seconds, seconds // 60, seconds % 60)


def main() -> int:
    """0 where every test passed or was skipped."""
    options = sys.argv[1:]
    if any((ROOT / option.partition("::")[0]).exists() for option in options):
        return subprocess.call([*PYTEST, *options], cwd=str(ROOT))
    began = time.monotonic()
    run = Run(options)
    workers = [threading.Thread(target=run.work) for _ in range(min(MOST, os.cpu_count() or 1))]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        run.stop()
        run.failed = True
        for worker in workers:
            worker.join()
    print(closing(run.counts, time.monotonic() - began))
    return 1 if run.failed or not run.counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
