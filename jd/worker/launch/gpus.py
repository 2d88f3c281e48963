"""Which GPUs each worker of a launch gets, through the variables that the runtimes read.

What the launch was given (by Slurm, a container, a person) is what is divided: ids in an inherited
variable are passed on as they stand, be they numbers, UUIDs or MIG ids. Only where nothing was
given is the machine asked. One variable is set and the others are removed, since a runtime applies
a second one within what the first has left visible.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from jd.errors import UsageError
from jd.worker.config import WorkerConfig

CUDA = "CUDA_VISIBLE_DEVICES"
ROCR = "ROCR_VISIBLE_DEVICES"
HIP = "HIP_VISIBLE_DEVICES"
LEVEL_ZERO = "ZE_AFFINITY_MASK"
_ORDINAL = "GPU_DEVICE_ORDINAL"  # of OpenCL on AMD; Slurm sets it with the others
VARIABLES = (CUDA, ROCR, HIP, LEVEL_ZERO)

AUTO = "auto"
NONE = "none"
TIMEOUT = 10.0  # seconds; without its persistence daemon nvidia-smi takes some

_NO_DEVICES = ("NoDevFiles", "-1", "none", "void")  # as Slurm and people say it
_GPU_LINE = re.compile(r"GPU \d+: .*\(UUID: ([^)\s]+)\)\s*$")
_MIG_LINE = re.compile(r"\s+MIG .*\(UUID: ([^)\s]+)\)\s*$")

Run = Callable[[Sequence[str], Mapping[str, str]], str]


@dataclass(frozen=True)
class Devices:
    """The devices of a launch: their ids, and the variable that makes them visible."""

    variable: str
    ids: Tuple[str, ...]


@dataclass(frozen=True)
class Division:
    """Who gets what. `devices` is None where variables stay as they are; `each` is a number."""

    devices: Optional[Devices]
    each: int

    def given(self, config: WorkerConfig, slot: int) -> WorkerConfig:
        """The configuration of one worker: its environment names its devices only."""
        if self.devices is None:
            return config
        environ = {name: value for name, value in config.environ.items()
                   if name not in VARIABLES and name != _ORDINAL}
        if self.each == 0:
            environ.update((name, "") for name in (CUDA, ROCR, HIP))
        else:
            own = self.devices.ids[slot * self.each:(slot + 1) * self.each]
            environ[self.devices.variable] = ",".join(own)
        return replace(config, environ=environ)


def divide(config: WorkerConfig, slots: Sequence[int], root: Path = Path("/"),
           run: Optional[Run] = None) -> Division:
    """Divide the devices among the slots of a launch, as its `gpus=` says.

    Raises UsageError where there are fewer than the slots need. `auto` on a machine without any is
    no error: what runs there runs without.
    """
    if not config.gpus:
        return Division(None, 0)
    if config.gpus == NONE:
        return Division(Devices(CUDA, ()), 0)
    devices = visible(config.environ, root, _output if run is None else run)
    each = 1 if config.gpus == AUTO else int(config.gpus)
    if not devices.ids and config.gpus == AUTO:
        return Division(None, 0)
    needed = (max(slots) + 1) * each
    if needed > len(devices.ids):
        raise UsageError(_too_few(config, devices, max(slots) + 1, each))
    return Division(devices, each)


def _too_few(config: WorkerConfig, devices: Devices, workers: int, each: int) -> str:
    given = config.environ.get(devices.variable)
    there = "%d%s" % (len(devices.ids), "" if given is None else " (%s=%s)" % (
        devices.variable, given[:200]))
    if workers == 1:
        return ("gpus=%s: a worker needs %d devices, and there are %s; give a smaller number, or "
                "leave gpus= out" % (config.gpus, each, there))
    return ("gpus=%s: %d workers with %d each need %d devices, and there are %s; start fewer "
            "workers, or leave gpus= out to let them share" % (
                config.gpus, workers, each, workers * each, there))


def visible(environ: Mapping[str, str], root: Path, run: Run) -> Devices:
    """The devices that this process may use."""
    amd = (root / "dev/kfd").exists() and not (root / "dev/nvidiactl").exists()
    # On AMD a CUDA_ or HIP_ value counts within ROCR_: that one comes first there.
    order = (ROCR, HIP, CUDA, LEVEL_ZERO) if amd else (CUDA, ROCR, HIP, LEVEL_ZERO)
    inherited = {name: ids_of(environ[name]) for name in order if name in environ}
    for name, ids in inherited.items():
        if ids:
            return Devices(name, tuple(ids))
    if inherited:
        return Devices(next(iter(inherited)), ())
    return Devices(ROCR if amd else CUDA, tuple(_amd(root) if amd else _nvidia(environ, root, run)))


def ids_of(value: str) -> List[str]:
    """The devices that a variable names, as it names them. As CUDA does, -1 ends the list."""
    ids: List[str] = []
    for word in value.split(","):
        if word.strip() in _NO_DEVICES:
            break
        if word.strip():
            ids.append(word.strip())
    return ids


def shown(environ: Mapping[str, str]) -> Optional[str]:
    """The devices that jobs of a worker see, for people; None where nothing says which."""
    for name in VARIABLES:
        if environ.get(name):
            return ",".join(ids_of(environ[name]))
    return None


def _nvidia(environ: Mapping[str, str], root: Path, run: Run) -> List[str]:
    """UUIDs, since the runtime may count in another order; MIG slices in place of their GPU."""
    ids: List[str] = []
    whole: Dict[str, bool] = {}
    current = ""
    for line in run(["nvidia-smi", "-L"], environ).splitlines():
        gpu, mig = _GPU_LINE.match(line), _MIG_LINE.match(line)
        if gpu is not None:
            current = gpu.group(1)
            whole[current] = True
            ids.append(current)
        elif mig is not None and current:
            whole[current] = False
            ids.append(mig.group(1))
    if ids:
        return [name for name in ids if whole.get(name, True)]
    numbers = [path.name[6:] for path in root.glob("dev/nvidia[0-9]*") if path.name[6:].isdigit()]
    return sorted(numbers, key=int)


def _amd(root: Path) -> List[str]:
    """Numbers: a node of the driver's topology is a GPU if it has a gpu_id other than 0."""
    number = 0
    for path in root.glob("sys/class/kfd/kfd/topology/nodes/*/gpu_id"):
        try:
            number += path.read_text().strip() not in ("", "0")
        except OSError:
            continue  # of a GPU that our cgroup does not let us use
    return [str(index) for index in range(number)]


def _output(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """What a program prints; empty when it is not there, fails or takes too long."""
    path = shutil.which(command[0], path=environ.get("PATH", os.defpath))
    if path is None:
        return ""
    try:
        done = subprocess.run([path] + list(command[1:]), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=TIMEOUT,
                              env=dict(environ), check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
