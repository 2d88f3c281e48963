"""The training script of the digits-tune example, without a worker."""

import itertools
import json
import pickle
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Dict, List, Optional

import pytest

from tests.support import ROOT, free_env, loaded, python

EXAMPLE = ROOT / "docs" / "examples" / "digits-tune"


@pytest.fixture
def script() -> ModuleType:
    """train.py as a module of its own."""
    return loaded(EXAMPLE / "train.py")


class Job:
    """Stands in for `jd` inside a job: keeps checkpoints as pickles and names of uploads."""

    def __init__(self, directory: Path, checkpoint: Optional[bytes] = None) -> None:
        self.directory = directory
        self.start = checkpoint
        self.saved: List[bytes] = []
        self.uploaded: List[str] = []
        self.reported: List[Dict[str, Any]] = []

    def module(self) -> SimpleNamespace:
        return SimpleNamespace(
            jd_job_dir=lambda: self.directory,
            jd_get_last_checkpoint=lambda: pickle.loads(self.start) if self.start else None,
            jd_update_checkpoint=lambda value: self.saved.append(pickle.dumps(value)),
            jd_upload=lambda path: self.uploaded.append(path.name),
            jd_report=lambda **told: self.reported.append(told),
        )

    def run(self, script: ModuleType, monkeypatch: pytest.MonkeyPatch, *flags: str) -> Dict[str, Any]:
        monkeypatch.setattr(script, "jd", self.module())
        monkeypatch.setattr("sys.argv", ["train.py", *flags])
        script.main()
        return dict(json.loads((self.directory / "result.json").read_text()))


def test_the_data_is_the_whole_test_set(script: ModuleType) -> None:
    training, validation = script.load()
    assert (len(training), len(validation)) == (1437, 360)
    for pixels, label in training + validation:
        assert len(pixels) == 65 and pixels[64] == 1.0
        assert min(pixels) >= 0.0 and max(pixels) <= 1.0
        assert 0 <= label <= 9
    assert script.load() == (training, validation)


def test_validation_samples_are_not_trained_on(script: ModuleType) -> None:
    training, validation = script.load()
    assert not {tuple(s.pixels) for s in training} & {tuple(s.pixels) for s in validation}


def test_it_learns(script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = Job(tmp_path)
    result = job.run(script, monkeypatch, "--epochs", "3", "--hidden", "8", "--lr", "0.05")
    assert result["accuracy"] > 0.75
    losses = [told["loss"] for told in job.reported]
    assert losses[-1] < losses[0] / 2


def test_a_hopeless_setting_does_worse(script: ModuleType, monkeypatch: pytest.MonkeyPatch,
                                       tmp_path: Path) -> None:
    result = Job(tmp_path).run(script, monkeypatch, "--epochs", "1", "--hidden", "4", "--lr", "0.0001",
                               "--momentum", "0")
    assert result["accuracy"] < 0.4


def test_a_resumed_run_ends_exactly_like_an_uninterrupted_one(script: ModuleType,
                                                              monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(script, "CHECKPOINT_EVERY", 2)
    flags = ("--epochs", "4", "--hidden", "3")
    whole = Job(tmp_path)
    expected = whole.run(script, monkeypatch, *flags)
    assert len(whole.saved) == 2
    assert "resuming" not in capsys.readouterr().out

    resumed = Job(tmp_path, whole.saved[0])
    assert resumed.run(script, monkeypatch, *flags) == expected
    assert "resuming after epoch 2" in capsys.readouterr().out
    assert pickle.loads(resumed.saved[0]) == pickle.loads(whole.saved[1])
    assert resumed.reported == whole.reported and len(whole.reported) == 4


def test_a_job_resumed_after_its_last_epoch_still_delivers(script: ModuleType,
                                                           monkeypatch: pytest.MonkeyPatch,
                                                           tmp_path: Path) -> None:
    monkeypatch.setattr(script, "CHECKPOINT_EVERY", 1)
    first = Job(tmp_path)
    expected = first.run(script, monkeypatch, "--epochs", "1", "--hidden", "2")
    again = Job(tmp_path, first.saved[-1])
    assert again.run(script, monkeypatch, "--epochs", "1", "--hidden", "2") == expected
    assert again.uploaded == ["result.json"]


def test_the_result_is_the_accuracy_and_each_epoch_is_reported(script: ModuleType,
                                                               monkeypatch: pytest.MonkeyPatch,
                                                               tmp_path: Path) -> None:
    job = Job(tmp_path)
    result = job.run(script, monkeypatch, "--epochs", "2", "--hidden", "2", "--lr", "0.02")
    assert set(result) == {"accuracy"}
    assert [sorted(told) for told in job.reported] == [["accuracy", "epoch", "loss"]] * 2
    assert result["accuracy"] == job.reported[-1]["accuracy"]
    assert job.uploaded == ["result.json"]


def test_run_alone_it_keeps_its_files_to_itself(tmp_path: Path) -> None:
    done = subprocess.run(python(EXAMPLE / "train.py", "--epochs", "1", "--hidden", "2", "--batch", "64"),
                          env=free_env(tmp_path), cwd=str(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("epoch  1  loss ") and "try-out" in done.stderr
    job = tmp_path / "workspace" / "jd_data" / "tryout" / "tryout" / "1" / "job"
    assert set(json.loads((job / "result.json").read_text())) == {"accuracy"}
    assert (job.parent / "uploads" / "result.json").read_text() == (job / "result.json").read_text()


def test_every_job_of_the_sweep_can_be_started(script: ModuleType,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    grid = json.loads((EXAMPLE / "sweep.json").read_text())
    jobs = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    assert len(jobs) >= 24
    for job in jobs:
        flags = [text for name, value in job.items() for text in ("--" + name, str(value))]
        monkeypatch.setattr("sys.argv", ["train.py"] + flags)
        given = vars(script.arguments())
        assert {name: given[name] for name in job} == job
