"""Data of an experiment that an earlier version has named with upper-case letters."""

from pathlib import Path
from typing import Iterator

import pytest

from jd.errors import JdError
from jd.server.command import cli
from jd.server.experiment import Experiment
from jd.server.store import datadir, direct
from jd.server.store.policy import Policy
from tests.e2e.processes import Server


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[Path]:
    Experiment(tmp_path, "demo", Policy()).close()
    (tmp_path / "demo").rename(tmp_path / "Demo")
    yield tmp_path / "Demo"


def test_data_of_another_case_are_named_and_no_empty_experiment_takes_their_place(earlier: Path) -> None:
    workspace = earlier.parent
    for opened in (lambda: Experiment(workspace, "demo", Policy()), lambda: direct.find(workspace, "demo")):
        with pytest.raises(JdError, match="the data of demo is in .*/Demo.*mv .*/Demo .*/demo"):
            opened()
    assert not (workspace / "demo").exists()
    earlier.rename(workspace / "demo")
    Experiment(workspace, "demo", Policy()).close()


def test_two_experiments_do_not_become_one(earlier: Path) -> None:
    workspace = earlier.parent
    (workspace / "demo" / "meta").mkdir(parents=True)
    assert direct_error(workspace).startswith("the data of demo")
    (workspace / "demo" / "meta" / "jobs.db").touch()
    assert "are two experiments" in direct_error(workspace)


def direct_error(workspace: Path) -> str:
    with pytest.raises(JdError) as caught:
        datadir.of(workspace, "demo")
    return str(caught.value)


def test_a_directory_without_a_database_is_nobodys_data(tmp_path: Path) -> None:
    (tmp_path / "Demo").mkdir()
    assert datadir.of(tmp_path, "demo") == tmp_path / "demo"


def test_jd_server_says_what_the_experiment_is_called(tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JdError, match="no experiment demo"):
        cli.main(["pin", "reset", "--expId", "Demo", "--workspace_path", str(tmp_path)])
    assert "note: --expId: Demo is the experiment demo" in capsys.readouterr().err


def test_a_server_of_an_upper_case_name_serves_the_lower_case_one(tmp_path: Path) -> None:
    with Server(tmp_path, "--expId", "Demo") as server:
        assert server.call("/healthz")["expId"] == "demo"
        assert (tmp_path / "server" / "demo" / "meta" / "jobs.db").exists()
        server.stop()
