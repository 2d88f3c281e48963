from pathlib import Path

import pytest

import jd
from jd.errors import OutsideJobError, UsageError


def test_the_workers_directories_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JD_WORKSPACE_PATH", str(tmp_path / "not-here"))
    monkeypatch.setenv("JD_WORKER_WORKSPACE_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("JD_WORKER_JOB_DIR", str(tmp_path / "the-job"))
    monkeypatch.setenv("JD_EXP_ID", "digits-tune")
    assert jd.jd_job_dir() == tmp_path / "the-job"
    assert jd.jd_exp_dir() == tmp_path / "root" / "digits-tune"
    assert jd.jd_worker_workspace() == tmp_path / "root"
    assert list(tmp_path.iterdir()) == []


def test_without_them_the_workspace_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JD_EXP_ID", "digits-tune")
    monkeypatch.setenv("JD_WORKSPACE_PATH", str(tmp_path))
    assert jd.jd_exp_dir() == tmp_path / "jd_data" / "digits-tune"
    assert jd.jd_worker_workspace() == tmp_path / "jd_data"
    monkeypatch.setenv("JD_WORKER_WORKSPACE_ROOT", str(tmp_path / "root"))
    assert jd.jd_exp_dir() == tmp_path / "root" / "digits-tune"


def test_the_workspace_is_known_outside_a_job() -> None:
    assert jd.jd_worker_workspace() == Path.home() / "jd_data"


def test_a_worker_that_names_no_experiment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JD_WORKER_JOB_DIR", str(tmp_path))
    with pytest.raises(OutsideJobError, match="jd_exp_dir needs .* JD_EXP_ID is not set"):
        jd.jd_exp_dir()


def test_variables_cannot_lead_out_of_the_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_EXP_ID", "..")
    with pytest.raises(UsageError, match="JD_EXP_ID"):
        jd.jd_exp_dir()
    with pytest.raises(UsageError, match="JD_EXP_ID"):
        jd.jd_job_dir()
