"""clear_all removes nothing under the hands of other commands."""

from pathlib import Path
from typing import Dict

import pytest

from jd.cli.commands import clear_all
from jd.errors import StorageError
from jd.worker.local import registrylock


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    (tmp_path / ".cache" / "exp").mkdir(parents=True)
    return {"JD_CACHE_PATH": str(tmp_path)}


def test_it_waits_for_others_at_work_and_then_says_so(environ: Dict[str, str], tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clear_all, "REMOVE_TIME", 0.05)
    with registrylock.using(tmp_path / ".cache", 1.0):
        with pytest.raises(StorageError, match="at work in it"):
            clear_all._remove("exp", environ, 0)
    assert (tmp_path / ".cache" / "exp").is_dir()


def test_it_removes_when_nobody_is_at_work(environ: Dict[str, str], tmp_path: Path) -> None:
    clear_all._remove("exp", environ, 0)
    assert not (tmp_path / ".cache" / "exp").exists()


def test_where_there_are_no_locks_the_typed_word_has_to_do(environ: Dict[str, str], tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registrylock, "_flock", lambda fd, kind: None)
    clear_all._remove("exp", environ, 0)
    assert not (tmp_path / ".cache" / "exp").exists()
