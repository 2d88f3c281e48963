"""Devices divided among workers, and what their programs say of them."""

import stat
import threading
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

import pytest

from jd.errors import UsageError
from jd.settings import WORKER, resolve
from jd.worker.config import WorkerConfig
from jd.worker.launch import gpumetrics, gpus, process
from jd.worker.launch.gpumetrics import GpuMetrics
from tests.support import left_running

TWO = ("GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)\n"
       "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)\n")
MIG = ("GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)\n"
       "  MIG 3g.20gb     Device  0: (UUID: MIG-1111)\n"
       "  MIG 3g.20gb     Device  1: (UUID: MIG-2222)\n"
       "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)\n")
SLURM = {"CUDA_VISIBLE_DEVICES": "2,3", "ROCR_VISIBLE_DEVICES": "2,3", "GPU_DEVICE_ORDINAL": "2,3",
         "ZE_AFFINITY_MASK": "2,3"}


def given(tmp_path: Path, share: str, slots: int, environ: Mapping[str, str],
          listing: str = "") -> List[Dict[str, str]]:
    """What each slot has besides PATH."""
    config = WorkerConfig("e", Path("/x.py"), "http://s", gpus=share,
                          environ=dict(environ, PATH="/bin"))

    def run(command: Sequence[str], environ: Mapping[str, str]) -> str:
        assert list(command) == ["nvidia-smi", "-L"]
        return listing
    division = gpus.divide(config, range(slots), tmp_path, run)
    found = [dict(division.given(config, slot).environ) for slot in range(slots)]
    return [{name: value for name, value in each.items() if name != "PATH"} for each in found]


def amd(tmp_path: Path, devices: int) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "kfd").touch()
    for node in range(devices + 1):
        path = tmp_path / "sys/class/kfd/kfd/topology/nodes" / str(node)
        path.mkdir(parents=True)
        (path / "gpu_id").write_text("%d\n" % (node * 1000))


@pytest.mark.parametrize("share, slots, environ, listing, expected", [
    ("", 2, SLURM, TWO, [SLURM, SLURM]),
    ("auto", 2, {}, TWO, [{"CUDA_VISIBLE_DEVICES": "GPU-aaaa"}, {"CUDA_VISIBLE_DEVICES": "GPU-bbbb"}]),
    ("2", 1, {}, TWO, [{"CUDA_VISIBLE_DEVICES": "GPU-aaaa,GPU-bbbb"}]),
    ("auto", 3, {}, MIG, [{"CUDA_VISIBLE_DEVICES": name} for name in ("MIG-1111", "MIG-2222", "GPU-bbbb")]),
    ("auto", 2, SLURM, TWO, [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "3"}]),
    ("1", 1, {"CUDA_VISIBLE_DEVICES": "MIG-GPU-x/7/0, GPU-y"}, "",
     [{"CUDA_VISIBLE_DEVICES": "MIG-GPU-x/7/0"}]),
    ("auto", 1, {"ZE_AFFINITY_MASK": "0.1,1.0"}, "", [{"ZE_AFFINITY_MASK": "0.1"}]),
    ("auto", 2, {}, "", [{}, {}]),
    ("none", 1, SLURM, TWO, [{"CUDA_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": "",
                              "HIP_VISIBLE_DEVICES": ""}]),
])
def test_who_gets_what(tmp_path: Path, share: str, slots: int, environ: Dict[str, str], listing: str,
                       expected: List[Dict[str, str]]) -> None:
    assert given(tmp_path, share, slots, environ, listing) == expected


def test_on_amd_rocr_is_divided_and_cuda_is_not_applied_on_top(tmp_path: Path) -> None:
    amd(tmp_path, 4)
    assert given(tmp_path, "auto", 2, SLURM) == [{"ROCR_VISIBLE_DEVICES": "2"},
                                                {"ROCR_VISIBLE_DEVICES": "3"}]
    assert given(tmp_path, "2", 2, {}) == [{"ROCR_VISIBLE_DEVICES": "0,1"},
                                           {"ROCR_VISIBLE_DEVICES": "2,3"}]


def test_device_files_tell_where_there_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidiactl", "nvidia10", "nvidia2", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    assert given(tmp_path, "auto", 2, {}) == [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "10"}]


@pytest.mark.parametrize("share, slots, environ, said", [
    ("auto", 3, {}, "3 workers with 1 each need 3 devices, and there are 2; start fewer"),
    ("2", 2, {}, "need 4 devices, and there are 2"),
    ("1", 2, {"CUDA_VISIBLE_DEVICES": "5"}, r"there are 1 \(CUDA_VISIBLE_DEVICES=5\)"),
    ("1", 1, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, "there are 0"),
    ("1", 1, {"CUDA_VISIBLE_DEVICES": "-1,0"}, "there are 0"),
])
def test_too_few_devices_are_a_clear_error(tmp_path: Path, share: str, slots: int, environ: Dict[str, str],
                                           said: str) -> None:
    with pytest.raises(UsageError, match=said):
        given(tmp_path, share, slots, environ, TWO)


def test_slots_that_are_added_later_get_the_next_devices(tmp_path: Path) -> None:
    config = WorkerConfig("e", Path("/x.py"), "http://s", gpus="auto",
                          environ={"CUDA_VISIBLE_DEVICES": "a,b"})
    assert gpus.divide(config, [1]).given(config, 1).environ["CUDA_VISIBLE_DEVICES"] == "b"
    with pytest.raises(UsageError):
        gpus.divide(config, [2])


@pytest.mark.parametrize("value", ["0", "all", "-1", "1.5", "9999999999", "²"])
def test_values_that_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="auto, none"):
        resolve([setting for setting in WORKER if setting.name == "gpus"], {"gpus": value}, {})


# ---- metrics

NVIDIA = ("0, GPU-aaaa-1, 40, 1024, 40960\n1, GPU-bbbb-2, 80, 3072, 40960\n"
          "2, GPU-cccc-3, [N/A], [N/A], [N/A]\nNo devices were found\n")
ROCM = ('WARNING: something\n{"card0": {"GPU use (%)": "30", "Unique ID": "0xabc123", '
        '"VRAM Total Memory (B)": "17163091968", "VRAM Total Used Memory (B)": "8581545984"}, '
        '"system": {}}')


def sampled(environ: Dict[str, str], text: str) -> Dict[str, Any]:
    metrics = GpuMetrics(environ, lambda command: text)
    metrics.sample()
    metrics.wait(60)
    return dict(metrics.sample())


def test_load_and_memory_of_the_devices_of_the_worker() -> None:
    assert sampled({"CUDA_VISIBLE_DEVICES": "GPU-aaaa"}, NVIDIA) == {
        "gpus": "GPU-aaaa", "gpu_count": 1, "gpu_util": 40.0, "gpu_memory_used": 1.0,
        "gpu_memory_total": 40.0, "gpu_memory_util": 2.5}
    everything = sampled({}, NVIDIA)
    assert everything["gpu_count"] == 3 and everything["gpu_util"] == 60.0 and "gpus" not in everything
    assert everything["gpu_memory_used"] == 4.0
    assert sampled({"CUDA_VISIBLE_DEVICES": ""}, NVIDIA) == {"gpus": "none"}
    assert sampled({"CUDA_VISIBLE_DEVICES": "0"}, "garbage") == {"gpus": "0"}


def test_rocm() -> None:
    found = gpumetrics.parse_rocm(ROCM)
    assert [gpu[:3] for gpu in found] == [("0", "GPU-abc123", 30.0)]
    assert gpumetrics.summary(found)["gpu_memory_util"] == 50.0
    assert gpumetrics.parse_rocm("no GPU") == []


def test_what_is_no_number_is_not_known() -> None:
    # JSON has neither of them, so a server would refuse the heartbeat.
    assert gpumetrics.parse_nvidia("0, GPU-a, nan, inf, 1e999") == [("0", "GPU-a", None, None, None)]
    found = gpumetrics.parse_rocm('{"card0": {"GPU use (%)": NaN, "VRAM Total Memory (B)": "Infinity"}}')
    assert found[0][2:] == (None, None, None)


def test_a_program_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    started, go = threading.Event(), threading.Event()
    calls: List[int] = []

    def run(command: Sequence[str]) -> str:
        calls.append(1)
        started.set()
        go.wait(60)
        return NVIDIA
    metrics = GpuMetrics({}, run, lambda: now[0])
    assert metrics.sample() == {}
    started.wait(60)
    now[0] = 1000.0
    assert metrics.sample() == {} and len(calls) == 1  # no second one beside it
    go.set()
    metrics.wait(60)
    assert metrics.sample()["gpu_count"] == 3
    metrics.wait(60)
    now[0] += gpumetrics.EVERY / 2
    metrics.sample()
    metrics.wait(60)
    assert len(calls) == 2  # cached


def test_a_real_program_is_ended_when_it_takes_too_long(tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(gpumetrics, "TIMEOUT", 0.2)
    monkeypatch.setattr(gpus, "TIMEOUT", 0.2)
    environ = {"PATH": "%s:/bin:/usr/bin" % program.parent}
    metrics = GpuMetrics(environ)
    metrics.sample()
    metrics.wait(60)
    assert metrics.sample() == {}
    assert gpus._output(["nvidia-smi", "-L"], environ) == ""
    assert left_running(str(tmp_path)) == []


def test_a_heartbeat_says_which_devices_a_worker_has() -> None:
    config = WorkerConfig("e", Path("/x.py"), "http://s",
                          environ={"ROCR_VISIBLE_DEVICES": "3", "PATH": "/nowhere"})
    sample = process._metrics(config, print)()
    assert sample["gpus"] == "3" and sample["worker_type"] == "worker"


@pytest.mark.parametrize("share, workers, environ, count", [
    ("", 1, {"CUDA_VISIBLE_DEVICES": "2,3"}, 2.0),
    ("", 4, {"CUDA_VISIBLE_DEVICES": "2,3"}, 0.5),  # all see both
    ("2", 4, {"CUDA_VISIBLE_DEVICES": "2,3"}, 2.0),  # each has its own
    ("none", 4, {"CUDA_VISIBLE_DEVICES": ""}, 0.0),
    ("", 4, {}, 0.0),  # no variable, and no program that could tell
])
def test_a_heartbeat_says_what_a_job_has(share: str, workers: int, environ: Dict[str, str], count: float,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jd.node.cpus.usable", lambda groups: 6.0)
    config = WorkerConfig("e", Path("/x.py"), "http://s", gpus=share, num_workers=workers,
                          environ=dict(environ, PATH="/nowhere"))
    sample = process._metrics(config, print)()
    assert (sample["job_cpus"], sample["job_gpus"]) == (6.0 / workers, count)


def test_how_many_devices_there_are_is_known_when_their_program_has_told() -> None:
    metrics = GpuMetrics({}, lambda command: NVIDIA)
    assert metrics.count() is None
    metrics.sample()
    metrics.wait(60)
    assert metrics.count() == 3
