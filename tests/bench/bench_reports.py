"""What it costs to tell how a job is doing: a call of jd_report with one metric and with thirty, in a loop
that works 0.2 ms in between, and what its worker spends on a job.

The target is 5 µs a call. Each round is 2,000 calls, of which the median counts; what the thread that writes
takes away shows in the slowest hundredth.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jd.script.context import JobContext
from jd.worker.attempt.reports.reportsending import ReportSending
from tests.bench.rows import Row, arguments, finish

ROUNDS = 5
CALLS = 2000
LINES = 100_000
JOBS = 500
LOOP = """
import sys, time
import jd
metrics = {"metric_%d" % number: number / 7 for number in range(int(sys.argv[1]))}
jd.jd_report(0, **metrics)
took = []
for step in range(int(sys.argv[2])):
    until = time.perf_counter() + 0.0002
    while time.perf_counter() < until:
        pass
    began = time.perf_counter()
    jd.jd_report(step, **metrics)
    took.append(time.perf_counter() - began)
took.sort()
print(took[len(took) // 2] * 1e6, took[len(took) * 99 // 100] * 1e6)
"""


def calls(metrics: int, directory: str) -> Tuple[float, float]:
    """Microseconds of a call: the median, and that of which 99 in 100 are no slower."""
    environ = dict(os.environ, JD_METRICS=os.path.join(directory, "metrics"), JD_WORKER_JOB_DIR=directory,
                   PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    told = subprocess.run([sys.executable, "-c", LOOP, str(metrics), str(CALLS)], env=environ, check=True,
                          stdout=subprocess.PIPE).stdout.split()
    return float(told[0]), float(told[1])


def sending(directory: str) -> ReportSending:
    """The reports of an attempt, as a worker has them."""
    place = Path(directory, "exp", "1")
    place.parent.joinpath(".jd").mkdir(parents=True, exist_ok=True)
    context = JobContext("exp", 1, "http://127.0.0.1:9", lambda: None, 1)
    return ReportSending(place, Path(directory), lambda: context, lambda: True, lambda: False, print)


def of_a_worker(lines: int, directory: str) -> float:
    """Seconds of the processor for a job that has reported so much, without sending it."""
    reports = sending(directory)
    reports.begin()
    if lines:
        path = Path(directory, "exp", ".jd", "1.1.reports")
        path.write_text('{"time": 1, "step": 2, "loss": 0.123456789, "accuracy": 0.5}\n' * lines)
    began = time.process_time()
    reports.read_rest()
    reports.remark()
    reports.close()
    return time.process_time() - began


def main() -> None:
    given = arguments(__doc__).parse_args()
    found: Dict[int, List[Tuple[float, float]]] = {1: [], 30: []}
    silent: List[float] = []
    reading: List[float] = []
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(ROUNDS):
            for metrics, times in found.items():
                times.append(calls(metrics, directory))
            silent.append(sum(of_a_worker(0, directory) for _ in range(JOBS)) / JOBS * 1e6)
            reading.append(of_a_worker(LINES, directory) / LINES * 1e6)
    rows = [Row("jd_report, metrics in a call: %d" % metrics, "µs", [one for one, _ in times], 5.0,
                seen="99 of 100 in %.1f µs" % statistics.median(slow for _, slow in times))
            for metrics, times in found.items()]
    finish([*rows, Row("worker, a job that reports nothing", "µs", silent),
            Row("worker, a line that a job reports", "µs", reading)], given.json)


if __name__ == "__main__":
    main()
