"""Names in braces in the values of parameters."""

from pathlib import Path
from typing import Any

import pytest

from jd.messages import Assignment
from jd.worker.attempt.calling import placeholders


def filled(value: Any, attempt: Any = 2) -> Any:
    given = Assignment(7, {"x": value}, attempt)
    done = placeholders.filled(given, "digits", Path("/jd_data/digits/7"))
    assert given.parameters == {"x": value}  # what is reported of the job is as the server wrote it
    return done.parameters["x"]


@pytest.mark.parametrize("value, expected", [
    ("{job_dir}/model.txt", "/jd_data/digits/7/model.txt"),
    ("{exp_id}-{job_id}-{attempt}{attempt}", "digits-7-22"),
    (["{job_id}", 3, None], ["7", 3, None]),
    ({"{job_id}": {"out": "{job_dir}"}}, {"{job_id}": {"out": "/jd_data/digits/7"}}),
    (0.5, 0.5), (True, True),
])
def test_four_names_are_filled_in(value: Any, expected: Any) -> None:
    assert filled(value) == expected


@pytest.mark.parametrize("value", [
    "{lr}", "{}", "{ job_id }", "{JOB_ID}", '{"a": 1}', "${job_id}", "{job_id", "%d"])
def test_other_braces_stay_as_they_are(value: str) -> None:
    assert filled(value) == value


@pytest.mark.parametrize("value, expected", [
    ("{{job_id}}", "{job_id}"), ("{{{job_id}}}", "{{job_id}}"), ("{{x}}", "{{x}}")])
def test_doubled_braces_are_braces(value: str, expected: str) -> None:
    assert filled(value) == expected


def test_a_directory_that_looks_like_a_name(tmp_path: Path) -> None:
    done = placeholders.filled(Assignment(7, {"x": "{job_dir}"}), "digits", Path("/{job_id}"))
    assert done.parameters == {"x": "/{job_id}"}


def test_without_attempts_it_is_the_first() -> None:
    assert filled("{attempt}", None) == "1"
