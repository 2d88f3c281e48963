"""Whose data a job directory belongs to, and what happens to one of other data."""

import errno
import os
from pathlib import Path
from typing import Dict, Optional

import pytest

from jd.files import wholefile
from jd.script import uploaded
from jd.worker.attempt.files import collect, jobdir
from jd.worker.attempt.process.spawning import StartFailure


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "jd_data" / "digits" / "7"


def prepare(directory: Path, data: Optional[str], attempt: Optional[int],
            from_scratch: Optional[int] = None) -> Optional[Path]:
    """Where an older directory was set aside, if one was."""
    return jobdir.prepare(directory, data, attempt, from_scratch).aside


def leave(directory: Path, name: str = "model.pt") -> None:
    """What a script leaves."""
    (directory / name).write_text(name)


def tree(job: Path) -> Dict[str, str]:
    """All files of the experiment but the marks, with their content."""
    return {str(path.relative_to(job.parent)): path.read_text()
            for path in sorted(job.parent.rglob("*")) if path.is_file() and jobdir.MARKS not in path.parts}


def test_a_directory_of_other_data_is_set_aside(job: Path) -> None:
    assert prepare(job, "aaaa", 1) is None
    leave(job)
    assert prepare(job, "bbbb", 1) == job.parent / "7.of-aaaa"
    assert os.listdir(str(job)) == []
    leave(job, "b.pt")
    assert prepare(job, "aaaa", 2) == job.parent / "7.of-bbbb"  # whichever attempt it is
    leave(job, "a2.pt")
    assert prepare(job, "bbbb", 2) == job.parent / "7.of-aaaa-2"  # the first one is not touched
    assert tree(job) == {"7.of-aaaa/model.pt": "model.pt", "7.of-bbbb/b.pt": "b.pt",
                         "7.of-aaaa-2/a2.pt": "a2.pt"}


@pytest.mark.parametrize("attempt", [1, 2, 5])
def test_one_of_the_same_data_is_kept(job: Path, attempt: int) -> None:
    prepare(job, "aaaa", 1)
    leave(job)
    mark = job.parent / jobdir.MARKS / "7"
    before = os.stat(str(mark)).st_mtime_ns, os.stat(str(mark)).st_ino
    assert prepare(job, "aaaa", attempt) is None
    assert tree(job) == {"7/model.pt": "model.pt"}
    assert (os.stat(str(mark)).st_mtime_ns, os.stat(str(mark)).st_ino) == before  # nothing is written for it


@pytest.mark.parametrize("attempt, aside", [(1, "7.of-earlier"), (2, None)])
def test_one_from_before_there_were_marks(job: Path, attempt: int, aside: Optional[str]) -> None:
    job.mkdir(parents=True)
    leave(job)
    assert prepare(job, "aaaa", attempt) == (aside and job.parent / aside)
    assert tree(job) == {(aside or "7") + "/model.pt": "model.pt"}
    assert prepare(job, "aaaa", attempt) is None
    leave(job, "more")
    assert prepare(job, "bbbb", 1) is not None


def test_an_empty_one_belongs_to_whoever_comes(job: Path) -> None:
    job.mkdir(parents=True)
    assert prepare(job, "aaaa", 1) is None
    assert prepare(job, "bbbb", 1) is None
    leave(job)
    assert prepare(job, "bbbb", 2) is None and os.listdir(str(job)) == ["model.pt"]


def test_a_mark_does_not_outlive_its_directory(job: Path) -> None:
    prepare(job, "aaaa", 1)
    job.rmdir()
    assert prepare(job, "bbbb", 1) is None
    leave(job)
    assert prepare(job, "bbbb", 2) is None


def test_servers_of_the_base_protocol_share_their_directories(job: Path) -> None:
    job.mkdir(parents=True)
    leave(job)
    assert prepare(job, None, None) is None and prepare(job, None, None) is None
    assert prepare(job, "aaaa", 2) == job.parent / "7.of-base"
    leave(job)
    assert prepare(job, None, None) == job.parent / "7.of-aaaa"


def test_an_id_from_a_server_cannot_lead_elsewhere(job: Path) -> None:
    prepare(job, "../../x\n" + "y" * 300, 1)
    leave(job)
    assert prepare(job, "../../x\n" + "y" * 300, 2) is None
    aside = prepare(job, "aaaa", 1)
    assert aside is not None and aside.parent == job.parent and len(aside.name) < 80


def test_no_mark_is_among_the_files_of_a_job(job: Path) -> None:
    prepare(job, "aaaa", 1)
    assert os.listdir(str(job)) == [] and not list(collect.regular_files(job))
    assert os.listdir(str(job.parent / jobdir.MARKS)) == ["7"]  # and no temporary file


def test_a_full_disk_is_not_taken_for_another_sweep(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(wholefile, "create", refuse)
    with pytest.raises(StartFailure) as caught:
        prepare(job, "aaaa", 1)
    assert str(caught.value) == ("cannot make the job directory %s: No space left on device; make room, or "
                                 "see JD_WORKSPACE_PATH" % job)


@pytest.mark.parametrize("obstacle", ["rename", "replace"])
def test_what_cannot_be_set_aside_is_not_used(job: Path, obstacle: str,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(job, "aaaa", 1)
    leave(job)

    def refuse(*_: str) -> None:
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(os, obstacle, refuse)
    with pytest.raises(StartFailure, match="7 may hold files of another sweep.*Permission denied"):
        prepare(job, "bbbb", 1)
    assert os.listdir(str(job.parent / jobdir.MARKS)) == ["7"]


def test_a_directory_without_use_goes_with_its_mark(job: Path) -> None:
    prepare(job, "aaaa", 1)
    checkpoints = job / "jd_checkpoint-1"
    checkpoints.mkdir(parents=True)
    jobdir.tidy(job, checkpoints)
    assert os.listdir(str(job.parent)) == [jobdir.MARKS] and os.listdir(str(job.parent / jobdir.MARKS)) == []
    jobdir.tidy(job, checkpoints)  # once more is no error


def test_an_attempt_has_its_directory_whatever_one_that_ends_just_now_removes(job: Path) -> None:
    """The server took attempt 1 for dead, and attempt 2 of the job begins while it ends."""
    prepare(job, "aaaa", 1)
    prepare(job, "aaaa", 2)
    jobdir.tidy(job, job / "jd_checkpoint-1")
    jobdir.confirm(job, "aaaa")
    (job / "jd_checkpoint-2").mkdir(parents=True)
    jobdir.tidy(job, job / "jd_checkpoint-1")
    leave(job / "jd_checkpoint-2")
    assert prepare(job, "bbbb", 1) == job.parent / "7.of-aaaa"


def test_a_mark_is_there_also_where_the_list_was_begun_without_one(job: Path) -> None:
    """An attempt that ended removed the mark before the list of the next one was begun."""
    prepare(job, "aaaa", 2)
    jobdir.tidy(job, job / "jd_checkpoint-1")
    (job / "jd_checkpoint-2").mkdir(parents=True)
    uploaded.begin(job, "aaaa", [])
    jobdir.confirm(job, "aaaa")
    leave(job)
    assert uploaded.read(job) == ("aaaa", {})
    assert prepare(job, None, None) == job.parent / "7.of-aaaa"


def test_earlier_versions_know_whose_a_directory_is(job: Path) -> None:
    """They take the first 128 characters of the file for the mark, and set aside what is not theirs."""
    prepare(job, "aaaa", 1)
    uploaded.add(job, str(job / "model.pt"), (1, 2))
    assert (job.parent / jobdir.MARKS / "7").read_text()[:128].strip() == "aaaa"


def test_the_list_of_uploads_is_begun_where_nothing_is_there(job: Path) -> None:
    """What lies in a directory without a list is not known to be this sweep's."""
    prepare(job, "aaaa", 1)
    assert uploaded.read(job) == ("aaaa", {})
    leave(job)
    prepare(job, "bbbb", 1)
    assert uploaded.read(job) == ("bbbb", {})
    jobdir.prepare(job.with_name("8"), None, None, server="http://h:5000")
    assert uploaded.read(job.with_name("8")) == ("http://h:5000", {})
    job.with_name("9").mkdir()
    leave(job.with_name("9"))
    assert prepare(job.with_name("9"), "aaaa", 2) is None and uploaded.read(job.with_name("9")) == (None, {})


def test_a_file_in_the_place_of_the_directory(job: Path) -> None:
    job.parent.mkdir(parents=True)
    job.write_text("")
    with pytest.raises(StartFailure, match="cannot make the job directory"):
        prepare(job, "aaaa", 1)


def test_a_job_that_begins_from_scratch_finds_nothing_and_later_attempts_find_what_it_left(job: Path) -> None:
    prepare(job, "aaaa", 1)
    leave(job, "old.pt")
    assert prepare(job, "aaaa", 2, 2) == job.parent / "7.of-aaaa"
    assert os.listdir(str(job)) == []
    leave(job, "new.pt")
    assert prepare(job, "aaaa", 3, 2) is None
    assert tree(job) == {"7.of-aaaa/old.pt": "old.pt", "7/new.pt": "new.pt"}
    assert prepare(job, "aaaa", 4, 4) == job.parent / "7.of-aaaa-2"
    assert tree(job) == {"7.of-aaaa/old.pt": "old.pt", "7.of-aaaa-2/new.pt": "new.pt"}


def test_another_machine_sets_aside_what_it_has_from_before_even_for_a_later_attempt(job: Path) -> None:
    prepare(job, "aaaa", 1)
    leave(job, "old.pt")
    assert prepare(job, "aaaa", 3, 2) == job.parent / "7.of-aaaa"
    assert os.listdir(str(job)) == []


def test_from_scratch_a_directory_without_a_mark_is_from_before(job: Path) -> None:
    job.mkdir(parents=True)
    leave(job)
    assert prepare(job, "aaaa", 2, 2) == job.parent / "7.of-earlier"
