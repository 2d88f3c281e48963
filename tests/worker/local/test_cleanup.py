"""What the clean-up takes away, and what it leaves."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import pytest

from jd import paths
from jd.errors import StorageError
from jd.node.identity import Here
from jd.worker.local import cleanup, lastwords, outboxes
from jd.worker.local.cleanup import clean_up
from jd.worker.local.lastwords import REQUEUED, Fate, Told
from jd.worker.local.registry import Registry
from jd.worker.local.registrylock import LOCK_NAME
from jd.worker.local.rows import Row
from tests.worker.legacy_registry import legacy_file
from tests.worker.registered import ended_process, enter, only

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def test_the_dead_go_and_the_living_stay(registry: Registry, here: Here,
                                         environ: Dict[str, str]) -> None:
    dead = enter(registry, here, ended_process(here))
    (alive,) = registry.reserve([0], {}, here, 0.0)
    seen: List[Tuple[int, int]] = []
    swept = clean_up(environ, here, lambda done, total: seen.append((done, total)))
    assert (swept.rows, swept.directories, swept.problems) == (1, 0, ())
    assert [row.worker_id for row in registry.rows()] == [alive] != [dead]
    assert seen == [(1, 2), (2, 2)]


def test_servers_are_told_of_the_dead(registry: Registry, here: Here, environ: Dict[str, str],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of those that no server has answered, nor of who left a result: the next worker delivers it."""
    names = [enter(registry, here, ended_process(here)) for _ in range(3)]
    for name in names[1:]:
        registry.update(name, "busy", 7, 5.0, "session-of-" + name)
    outbox = outboxes.near("exp", environ)
    outbox.make()
    (outbox.path / "7-1-aa.json").write_text(json.dumps({"worker_id": names[1]}))
    (outbox.path / "8-1-bb.json").write_text("no result")
    told: List[Row] = []

    def died(rows: Sequence[Row], _: Dict[str, str]) -> Told:
        told.extend(rows)
        assert len(registry.rows()) == 3, "a command that is ended now is done again"
        return Told({("exp", row.worker_id): Fate(7, REQUEUED) for row in rows}, {})
    monkeypatch.setattr(lastwords, "died", died)
    swept = clean_up(environ, here)
    assert [(row.worker_id, row.session) for row in told] == [(names[2], "session-of-" + names[2])]
    assert swept.rows == 3 and swept.told() == [
        "worker %s had died; job 7 goes back to the queue" % names[2]]


def test_an_instance_word_is_free_after_the_clean_up(
        registry: Registry, here: Here, environ: Dict[str, str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jd.node.identity.WORDS", ("egg",))
    name = enter(registry, here, ended_process(here))
    registry.reserve([5], {}, here, 0.0)  # the word is taken: this one is a token
    clean_up(environ, here)
    assert name == "gpunode_egg_0"
    assert registry.reserve([0], {}, here, 0.0) == ["gpunode_egg_0"]


def test_hosts_that_share_a_home_leave_each_other_alone(registry: Registry, here: Here,
                                                        environ: Dict[str, str]) -> None:
    other = Here("othernode")
    other.own = other.own._replace(boot_id="that of another machine")
    boxed = Here("gpunode")
    boxed.pid_namespace = "pid:[1]"
    gone = ended_process(here)
    for host in (here, other, boxed):
        enter(registry, host, gone._replace(boot_id=host.own.boot_id))
    assert clean_up(environ, other).rows == 1
    assert clean_up(environ, boxed).rows == 1
    row = only(registry)
    assert (row.host, row.pid_namespace) == ("gpunode", here.pid_namespace)
    assert clean_up(environ, here) == (1, 1, (), {})


def test_legacy_registries_are_cleaned(registry: Registry, here: Here,
                                       environ: Dict[str, str]) -> None:
    legacy_file(registry.path, "gpunode", 2 ** 22 + 1, 0.0)
    assert clean_up(environ, Here("othernode")) == (0, 0, (), {})
    assert clean_up(environ, here) == (2, 1, (), {})
    assert not registry.path.parent.exists()


def test_directories_that_hold_nothing_go(registry: Registry, here: Here,
                                          environ: Dict[str, str]) -> None:
    enter(registry, here, ended_process(here))
    paths.old_outbox_dir("exp", environ).mkdir()
    (registry.path.parent.parent / "empty").mkdir()
    swept = clean_up(environ, here)
    assert (swept.rows, swept.directories) == (1, 2)
    assert [path.name for path in registry.path.parent.parent.iterdir()] == [LOCK_NAME]


def left_by_an_earlier_version(registry: Registry, name: str, worker_id: str) -> None:
    old = registry.path.parent / "outbox"
    (old / (name + ".files")).mkdir(parents=True)
    (old / (name + ".files") / "0000-ab.bin").write_text("a file")
    (old / (name + ".json")).write_text(json.dumps({"worker_id": worker_id, "files": name + ".files"}))


@pytest.mark.parametrize("launched_elsewhere", [False, True])
def test_results_that_wait_beside_the_registry_are_carried_over(
        registry: Registry, here: Here, environ: Dict[str, str], launched_elsewhere: bool) -> None:
    """There published clients remove them with the registry. What a worker that lives will deliver stays, but
    not for ever."""
    dead, alive = enter(registry, here, ended_process(here)), enter(registry, here, here.own)
    for name, worker_id in (("1-1-aa", dead), ("2-1-bb", alive), ("3-1-cc", alive)):
        left_by_an_earlier_version(registry, name, worker_id)
    old = registry.path.parent / "outbox"
    os.utime(str(old / "3-1-cc.json"), (time.time() - outboxes.ABANDONED - 60.0,) * 2)
    near = outboxes.near("exp", environ).path
    if launched_elsewhere:  # in an allocation with a cache of its own
        home = Path(environ["HOME"])
        os.rename(environ["JD_CACHE_PATH"], str(home / ".jd_cache"))
        environ.update(JD_CACHE_PATH=str(home / "scratch"))
        old, near = home / ".jd_cache/.cache/exp/outbox", home / ".jd_cache/outbox/exp"
    assert clean_up(environ, here).problems == ()
    assert sorted(path.name for path in near.iterdir()) == [
        "1-1-aa.files", "1-1-aa.json", "3-1-cc.files", "3-1-cc.json"]
    assert (near / "1-1-aa.files" / "0000-ab.bin").read_text() == "a file"
    assert sorted(path.name for path in old.iterdir()) == ["2-1-bb.files", "2-1-bb.json"]
    assert outboxes.authors("exp", environ) == {dead, alive}


def test_what_is_not_ours_stays(registry: Registry, here: Here, environ: Dict[str, str]) -> None:
    enter(registry, here, ended_process(here))
    note = registry.path.parent / "notes.txt"
    note.write_text("mine")
    assert clean_up(environ, here).directories == 0
    assert note.exists() and registry.rows() == []


def test_an_experiment_that_drains_is_remembered(registry: Registry, here: Here,
                                                 environ: Dict[str, str]) -> None:
    registry.set_draining()
    assert clean_up(environ, here).directories == 0
    assert registry.draining()


def test_a_worker_that_enters_during_the_clean_up_stays(
        registry: Registry, here: Here, environ: Dict[str, str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    enter(registry, here, ended_process(here))
    remove = cleanup._remove_if_empty
    entered: List[str] = []

    def while_somebody_enters(of: Registry, variables: Dict[str, str]) -> bool:
        entered.extend(Registry("exp", environ).reserve([0], {}, here, 0.0))
        return remove(of, variables)

    monkeypatch.setattr(cleanup, "_remove_if_empty", while_somebody_enters)
    clean_up(environ, here)
    assert [row.worker_id for row in registry.rows()] == entered


def test_one_broken_registry_does_not_stop_the_clean_up(registry: Registry, here: Here,
                                                        environ: Dict[str, str]) -> None:
    enter(registry, here, ended_process(here))
    broken = Registry("broken", environ)
    broken.path.parent.mkdir()
    broken.path.write_bytes(b"not a database " * 500)
    swept = clean_up(environ, here)
    assert swept.rows == 1
    assert len(swept.problems) == 1 and str(broken.path) in swept.problems[0]
    assert broken.path.exists()


def test_no_cache_is_nothing_to_clean(environ: Dict[str, str], here: Here, tmp_path: Path) -> None:
    assert clean_up(environ, here) == (0, 0, (), {})
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_is_no_directory(here: Here, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ".cache").write_text("")
    with pytest.raises(StorageError, match="cannot read"):
        clean_up({"JD_CACHE_PATH": str(tmp_path / "cache")}, here)
