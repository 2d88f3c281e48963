"""Load and memory of the GPUs of a worker, from nvidia-smi or rocm-smi where one is installed.

The programs can take seconds, and hang with a driver that does: they run in a thread, for a
bounded time, at most every 20 seconds, and a sample is what was last known.
"""

import json
import logging
import os
import re
import shutil
import threading
import time
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

from jd.node import helpers
from jd.threads import Reported
from jd.worker.launch.gpus import NONE, VARIABLES, ids_of, shown

EVERY = 20.0
STALE = 120.0  # what is older says nothing about now
TIMEOUT = 10.0
GIB = 1024.0 ** 3
MIB = 1024.0 ** 2

_NVIDIA = ("nvidia-smi", "--query-gpu=index,uuid,utilization.gpu,memory.used,memory.total",
           "--format=csv,noheader,nounits")
_ROCM = ("rocm-smi", "--showuse", "--showmeminfo", "vram", "--showuniqueid", "--json")

Values = Dict[str, Union[int, float, str, None]]
Run = Callable[[Sequence[str]], str]


class Gpu(NamedTuple):
    """One device: load in percent, memory in bytes; None where its driver does not say."""

    number: str
    uuid: str
    load: Optional[float]
    used: Optional[float]
    total: Optional[float]


def parse_nvidia(text: str) -> List[Gpu]:
    """The lines that `_NVIDIA` prints; "[N/A]" stands for what is not known."""
    found = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 5 and fields[0].isdigit():
            load, used, total = (_number(field) for field in fields[2:])
            found.append(Gpu(fields[0], fields[1], load, None if used is None else used * MIB,
                             None if total is None else total * MIB))
    return found


def parse_rocm(text: str) -> List[Gpu]:
    """The JSON that `_ROCM` prints, an object of cards; warnings may stand around it."""
    start, end = text.find("{"), text.rfind("}")
    try:
        cards = json.loads(text[start:end + 1])
    except (ValueError, RecursionError):
        return []
    found = []
    for name, card in sorted(cards.items()):
        number = re.fullmatch(r"card(\d+)", name)
        if number is None or not isinstance(card, dict):
            continue
        found.append(Gpu(
            number.group(1), "GPU-" + str(card.get("Unique ID", "")).replace("0x", ""),
            _number(card.get("GPU use (%)")), _number(card.get("VRAM Total Used Memory (B)")),
            _number(card.get("VRAM Total Memory (B)"))))
    return found


def visible_of(gpus: Sequence[Gpu], ids: Optional[Sequence[str]]) -> List[Gpu]:
    """Those that `ids` name, as numbers or the beginnings of UUIDs; all where there are no ids.

    A MIG slice is not told apart: nvidia-smi gives no load for one.
    """
    if ids is None:
        return list(gpus)
    return [gpu for gpu in gpus if any(
        gpu.number == name or len(name) > 4 and gpu.uuid.startswith(name) for name in ids)]


def _number(value: object) -> Optional[float]:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0.0 <= number < 1e18 else None  # no server takes a heartbeat with NaN in it


def summary(gpus: Sequence[Gpu]) -> Values:
    """The metrics of some devices: mean load in percent, memory in GiB together."""
    loads = [gpu.load for gpu in gpus if gpu.load is not None]
    memory = [(gpu.used, gpu.total) for gpu in gpus if gpu.used is not None and gpu.total]
    used = sum(each[0] or 0.0 for each in memory)
    total = sum(each[1] or 0.0 for each in memory)
    return {
        "gpu_count": len(gpus) or None,
        "gpu_util": sum(loads) / len(loads) if loads else None,
        "gpu_memory_used": used / GIB if memory else None,
        "gpu_memory_total": total / GIB if memory else None,
        "gpu_memory_util": 100.0 * used / total if total else None,
    }


class GpuMetrics:
    """Samples for one worker whose jobs have the environment `environ`. `sample` never waits."""

    def __init__(self, environ: Mapping[str, str], run: Optional[Run] = None,
                 clock: Callable[[], float] = time.monotonic,
                 log: Callable[[str], None] = logging.getLogger("jd.worker").warning) -> None:
        self._reported = Reported("the load of GPUs is not known", log)
        path = environ.get("PATH", os.defpath)
        self._tool = next((tool for tool in (_NVIDIA, _ROCM)
                           if run is not None or shutil.which(tool[0], path=path)), None)
        self._run = run if run is not None else self._output
        self._clock = clock
        self._environ = environ
        named = [ids_of(environ[name]) for name in VARIABLES if name in environ]
        self._ids = next((ids for ids in named if ids), [] if named else None)
        self._fixed: Values = {}
        if self._ids is not None:
            self._fixed = {"gpus": shown(environ) or NONE}
        self._values: Values = {}
        self._read_at: Optional[float] = None
        self._asked_at: Optional[float] = None
        self._reader: Optional[threading.Thread] = None

    def sample(self) -> Values:
        """What is known now; a new reading is begun where the last is old."""
        now = self._clock()
        if self._tool is not None and self._ids != [] and (
                self._asked_at is None or now - self._asked_at >= EVERY) and (
                self._reader is None or not self._reader.is_alive()):
            self._asked_at = now
            self._reader = self._reported.start(self._read, "jd-gpus")
        fresh = self._read_at is not None and now - self._read_at < STALE
        return dict(self._fixed, **(self._values if fresh else {}))

    def count(self) -> Optional[int]:
        """How many devices its jobs see; None while that is not known. Where nothing names any and no program
        is installed that could, there are none."""
        if self._ids is not None:
            return len(self._ids)
        if self._tool is None:
            return 0
        return None if self._read_at is None else int(self._values.get("gpu_count") or 0)

    def wait(self, timeout: float) -> None:
        """Wait for the reading that is under way."""
        if self._reader is not None:
            self._reader.join(timeout)

    def _read(self) -> None:
        assert self._tool is not None
        text = self._run(self._tool)
        gpus = parse_nvidia(text) if self._tool is _NVIDIA else parse_rocm(text)
        if gpus:
            self._values = summary(visible_of(gpus, self._ids))
            self._read_at = self._clock()

    def _output(self, command: Sequence[str]) -> str:
        # Not of the job's visibility: rocm-smi and nvidia-smi number all devices of the machine.
        environ = {name: value for name, value in self._environ.items() if name not in VARIABLES}
        return (helpers.output_of(command, environ, TIMEOUT) or b"").decode("utf-8", "replace")
