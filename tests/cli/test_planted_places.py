"""A cache that somebody else put where this user's would be: no command reads or follows it."""

import os
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

import pytest

from jd import errors
from jd.cli import main
from jd.node.identity import Here
from jd.worker.local.registry import Registry
from tests.cli.info_support import gone
from tests.support import MALLORY, free_env, needs_root, public_directory

pytestmark = needs_root
EXPERIMENT = "exp"
COMMANDS = [
    ["expId=exp", "entry_script=%(script)s", "once=true", "foreground=true"],
    ["expId=exp", "entry_script=%(script)s", "once=true"],
    ["restart", "all", "expId=exp"], ["scale", "num_workers=2", "expId=exp"],
    ["stop", "all", "expId=exp"], ["stop", "all-experiments"],
    ["drain", "expId=exp"], ["worker-list", "expId=exp"], ["exp-status", "expId=exp"], ["exp-list"],
    ["prune"], ["clear_all"],
]


@pytest.fixture
def tmp() -> Iterator[Path]:
    """A directory like /tmp."""
    with public_directory(0o1777) as made:
        yield made


def plant(root: Path) -> Path:
    """A whole cache below `root`, with a worker of this host whose process has ended."""
    root.mkdir()
    own = Registry(EXPERIMENT, {"JD_CACHE_PATH": str(root), "HOME": "/nonexistent"})
    own.reserve([0], {"entry_script": "/tmp/evil.py"}, gone(), 0.0)
    return own.path


def give(path: Path, mode: int) -> None:
    for part in (path, *path.rglob("*")):
        os.chown(str(part), MALLORY, MALLORY)
        part.chmod(mode | 0o700)


def a_directory(tmp: Path) -> str:
    plant(tmp / ".jd_cache")
    give(tmp / ".jd_cache", 0o777)
    return "%s belongs to somebody else" % (tmp / ".jd_cache")


def a_link(tmp: Path) -> str:
    plant(tmp / "real")
    (tmp / ".jd_cache").symlink_to(tmp / "real")
    os.lchown(str(tmp / ".jd_cache"), MALLORY, MALLORY)
    return "the link %s belongs to somebody else" % (tmp / ".jd_cache")


def a_file(tmp: Path) -> str:
    file = plant(tmp / ".jd_cache")
    os.chown(str(file), MALLORY, MALLORY)
    return "%s belongs to somebody else" % file


def an_open_directory(tmp: Path) -> str:
    directory = plant(tmp / ".jd_cache").parent
    directory.chmod(0o777)
    return "%s can be written by everybody" % directory


def an_open_file(tmp: Path) -> str:
    file = plant(tmp / ".jd_cache")
    file.chmod(0o666)
    return "%s can be written by everybody" % file


def a_group_directory(tmp: Path) -> str:
    directory = plant(tmp / ".jd_cache").parent
    os.chown(str(directory), -1, 777)
    directory.chmod(0o770)
    return "%s can be written by its group" % directory


def everything(root: Path) -> List[Tuple[str, int, bytes]]:
    """What lies there, that a command must not have changed."""
    return sorted((str(path), os.lstat(str(path)).st_mtime_ns, path.read_bytes() if path.is_file() else b"")
                  for path in root.rglob("*") if path.name != "registry.lock")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0].partition("=")[0])
@pytest.mark.parametrize("planted", [a_directory, a_link, a_file, an_open_directory, an_open_file,
                                     a_group_directory])
def test_it_is_refused_and_left_alone(
        planted: Callable[[Path], str], command: List[str], tmp: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    reason = planted(tmp)
    before = everything(tmp)
    script = tmp_path / "script.py"
    script.write_text("")
    environ = environment(tmp, tmp_path)
    monkeypatch.setattr(main, "_swept", False)
    words = [word % {"script": script} for word in command]
    assert errors.run_command(lambda argv: main.main(argv, environ), words) == 1
    told = capfd.readouterr().err
    assert reason in told and "set JD_CACHE_PATH to " in told
    assert everything(tmp) == before


def environment(tmp: Path, tmp_path: Path) -> Dict[str, str]:
    return free_env(tmp_path, JD_CACHE_PATH=tmp / ".jd_cache", JD_SERVER="http://127.0.0.1:9")


@pytest.mark.parametrize("variable, below", [
    ("JD_WORKSPACE_PATH", "jd_data"), ("JD_LOG_DIR", ""),
])
@pytest.mark.parametrize("foreground", ["true", "false"])
def test_a_workspace_or_log_directory_is_refused_at_launch(
        variable: str, below: str, foreground: str, tmp: Path, tmp_path: Path) -> None:
    planted = tmp / "x" / below
    planted.mkdir(parents=True)
    give(tmp / "x", 0o777)
    script = tmp_path / "script.py"
    script.write_text("")
    environ = free_env(tmp_path, JD_SERVER="http://127.0.0.1:9", **{variable: tmp / "x"})
    with pytest.raises(errors.StorageError, match="%s belongs to somebody else.*set .*%s to %s-0" % (
            tmp / "x", variable, tmp / "x")):
        main.main(["expId=exp", "entry_script=%s" % script, "once=true", "foreground=" + foreground], environ)
    assert Registry(EXPERIMENT, environ).rows() == [] and list(planted.iterdir()) == []


def test_a_cache_of_a_published_client_goes_on(tmp: Path, tmp_path: Path) -> None:
    """Made with umask 022: others may read it, and that is no reason."""
    file = plant(tmp / ".jd_cache")
    file.chmod(0o644)
    for directory in list(file.parents)[:3]:
        directory.chmod(0o755)
    registry = Registry(EXPERIMENT, environment(tmp, tmp_path))
    assert len(registry.rows()) == 1
    registry.reserve([0], {}, Here(), 0.0)
    assert file.stat().st_mode & 0o777 == 0o600
