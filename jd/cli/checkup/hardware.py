"""Processors, memory and GPUs that workers here may use."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import AbstractSet, Any, Callable, List, Mapping, Optional, Sequence, Tuple

from jd import settings
from jd.cli.checkup.finding import Finding, Notes
from jd.cli.checkup.storage import gib
from jd.errors import UsageError
from jd.node import cpus
from jd.node.cgroups import Groups, read_small
from jd.node.metrics import parse_meminfo
from jd.worker.attempt.calling import threads
from jd.worker.attempt.process import memory as limits

NODE = "This node"
GPUS = "GPUs"
GPU_SECONDS = 5.0
ENOUGH_MEMORY = 512 * 1024 ** 2  # for each worker: the worker itself and a small script

VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
# A command that lists GPUs, and what one line, or mark, of its answer stands for one.
_COMMANDS = (("nvidia-smi", ("-L",), re.compile(r"^GPU \d+", re.MULTILINE)),
             ("rocm-smi", ("--showid",), re.compile(r"GPU\[\d+\]")))

RunCommand = Callable[[Sequence[str]], Tuple[int, str]]


def processors(environ: Mapping[str, str], groups: Groups,
               allowed: Optional[AbstractSet[int]] = None) -> List[Finding]:
    """Processors that this process may use, against JD_NUM_WORKERS."""
    notes = Notes(NODE)
    mask = cpus.affinity() if allowed is None else allowed
    number = len(cpus.allowed(groups, mask)) or 1
    text = "%d processors" % number if number != 1 else "1 processor"
    count = cpus.usable(groups, mask)
    if count < number:
        text += ", of which the container or job may use %g" % round(count, 2)
    workers = _workers(environ)
    if workers is not None and workers > max(1.0, count):
        return notes.warn("%s, for JD_NUM_WORKERS=%d" % (text, workers),
                          "start fewer, unless the script mostly waits")
    return notes.ok(text)


def memory(environ: Mapping[str, str], groups: Groups, root: Path = Path("/")) -> List[Finding]:
    """Memory that is left for this process, within its limits."""
    notes = Notes(NODE)
    limits = groups.memory()
    ram = parse_meminfo(read_small(root / "proc" / "meminfo"))
    available = [n for n in (limits.available, ram.available if ram else None) if n is not None]
    if not available:
        return notes.findings
    free = min(available)
    text = "%s of memory available" % gib(free)
    if limits.limit is not None:
        text += ", limit of the container or job %s" % gib(limits.limit)
    workers = _workers(environ) or 1
    if free < workers * ENOUGH_MEMORY:
        return notes.warn("%s, for %d worker%s" % (text, workers, "" if workers == 1 else "s"),
                          "jobs may be killed for lack of memory: ask for more, or start fewer "
                          "workers")
    return notes.ok(text)


def of_each_job(environ: Mapping[str, str], groups: Groups,
                mask: Optional[AbstractSet[int]] = None) -> List[Finding]:
    """What a launch with these variables gives each of its jobs: threads, and the limit of memory."""
    notes = Notes(NODE)
    notes.ok(threads.share(_value("threads", environ) or "", _workers(environ),
                           cpus.usable(groups, mask), environ).told)
    limit: Optional[int] = _value("memory", environ)
    if limit is not None and not limits.can_be_limited():
        notes.warn(limits.told(limit, False), "limit it where the system can: a container, a scheduler")
    elif limit is not None:
        notes.ok(limits.told(limit, False))
    return notes.findings


def _value(name: str, environ: Mapping[str, str]) -> Any:
    try:
        return settings.value_of(settings.WORKER, name, environ)
    except UsageError:
        return None  # said elsewhere


def _workers(environ: Mapping[str, str]) -> Optional[int]:
    if not environ.get("JD_NUM_WORKERS", "").strip():
        return None
    number: Optional[int] = _value("num_workers", environ)
    return number


# ---- GPUs

def gpus(environ: Mapping[str, str], run: Optional[RunCommand] = None,
         find: Callable[[str], Optional[str]] = shutil.which) -> List[Finding]:
    """What the vendors' tools list, and what the variables leave visible. None is fine."""
    notes = Notes(GPUS)
    runner = run if run is not None else _run
    count = 0
    for name, arguments, mark in _COMMANDS:
        program = find(name)
        if program is None:
            continue
        status, output = runner([program, *arguments])
        found = len(set(mark.findall(output))) if status == 0 else 0
        count += found
        if status != 0:
            last = (output.strip().splitlines() or ["exit status %d" % status])[-1]
            notes.warn("%s does not work: %s" % (name, last[:200]),
                       "scripts will find no GPU: ask whoever runs this node")
        else:
            notes.ok("%s lists %d GPU%s" % (name, found, "" if found == 1 else "s"))
    for variable in VISIBLE:
        if variable in environ:
            _visible(notes, variable, environ[variable], count)
    return notes.findings or notes.ok("none")


def _visible(notes: Notes, variable: str, value: str, count: int) -> None:
    shown = "%s=%s" % (variable, value)
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    beyond = [entry for entry in entries
              if variable == VISIBLE[0] and entry.isdecimal() and int(entry[:20]) >= count > 0]
    if beyond:
        notes.warn("%s names a GPU that is not listed: %s" % (shown, ", ".join(beyond)),
                   "CUDA counts from 0, and within a job its own GPUs only")
    elif count and (not entries or entries[0] in ("-1", "NoDevFiles")):
        notes.warn("%s hides all GPUs from scripts" % shown,
                   "ask the scheduler for a GPU, or unset it")
    else:
        notes.ok(shown)


def _run(command: Sequence[str]) -> Tuple[int, str]:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=GPU_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return 1, "no answer within %g s" % GPU_SECONDS
    except OSError as error:
        return 1, error.strerror or str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace")
