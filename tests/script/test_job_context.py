from pathlib import Path
from typing import Callable, Dict

import pytest

import jd
from jd.errors import OutsideJobError, StorageError, UsageError
from jd.script.context import JobContext

INSIDE = {"JD_JOB_ID": "42", "JD_EXP_ID": "digits-tune", "JD_SERVER": "https://node1:8443/jd/"}


def test_context_is_what_the_worker_says() -> None:
    environ = dict(INSIDE, JD_JOB_ATTEMPT="3", JD_WORKER_TOKEN="the-token")
    context = JobContext.current("f", environ=environ)
    assert (context.experiment, context.job_id, context.server, context.attempt) == (
        "digits-tune", 42, "https://node1:8443/jd", 3)
    assert context.token() == "the-token"
    assert "the-token" not in repr(context)


def test_attempt_belongs_to_the_running_job_and_its_server_only() -> None:
    environ = dict(INSIDE, JD_JOB_ATTEMPT="3")
    assert JobContext.current("f", job_id=42, environ=environ).attempt == 3
    assert JobContext.current("f", job_id=41, environ=environ).attempt is None
    assert JobContext.current("f", server="node2", environ=environ).attempt is None
    assert JobContext.current("f", environ=INSIDE).attempt is None


def test_outside_a_job_the_error_says_how_to_get_inside() -> None:
    with pytest.raises(OutsideJobError) as raised:
        JobContext.current("jd_upload", environ={})
    told = str(raised.value)
    assert told.startswith("jd_upload needs a running job, and JD_JOB_ID is not set; ")
    assert "jd_worker_cli expId=" in told and "entry_script=" in told and "give job_id=" in told
    assert "JD_EXP_ID" not in told  # setting it by hand would overwrite a job's results


def test_a_named_job_needs_no_variables() -> None:
    context = JobContext.current("f", job_id=7, server="10.0.0.1:80", environ={})
    assert (context.job_id, context.server, context.experiment) == (7, "http://10.0.0.1:80", None)
    assert context.token() is None


@pytest.mark.parametrize("given, server", [
    ("", "http://localhost:5000"), ("node1", "http://node1:5000"), ("node1:81", "http://node1:81"),
    ("http://node1", "http://node1"), ("https://jobs.example/a/", "https://jobs.example/a"),
])
def test_bare_host_gets_the_standalone_port(given: str, server: str) -> None:
    assert JobContext.current("f", job_id=1, environ={"JD_SERVER": given}).server == server


def test_bare_host_gets_jd_port() -> None:
    assert JobContext.current("f", 1,
                              environ={"JD_SERVER": "node1", "JD_PORT": "81"}).server == "http://node1:81"


@pytest.mark.parametrize("variable, value", [
    ("JD_JOB_ID", "x"), ("JD_JOB_ID", "0"), ("JD_JOB_ID", "-1"), ("JD_JOB_ID", "9" * 20),
    ("JD_JOB_ATTEMPT", "first"), ("JD_EXP_ID", "../up"), ("JD_SERVER", "ftp://h"),
])
def test_unusable_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(UsageError, match=variable + ": "):
        JobContext.current("f", environ=dict(INSIDE, **{variable: value}))


@pytest.mark.parametrize("job_id", [True, 0, "x", 1.5])
def test_unusable_argument_is_named(job_id: int) -> None:
    with pytest.raises(UsageError, match="jd_upload: job_id: .* is not allowed; give a positive"):
        JobContext.current("jd_upload", job_id=job_id, environ={})


def test_password_of_an_unusable_server_is_not_shown() -> None:
    with pytest.raises(UsageError) as raised:
        JobContext.current("f", job_id=1, server="ftp://me:s3cret@h", environ={})
    assert "s3cret" not in str(raised.value)


def test_shared_token_serves_where_the_worker_gave_none(tmp_path: Path) -> None:
    environ = dict(INSIDE, JD_SERVER_TOKEN="shared-token-of-the-server")
    assert JobContext.current("f", environ=environ).token() == "shared-token-of-the-server"
    environ["JD_WORKER_TOKEN"] = "worker-token"
    assert JobContext.current("f", environ=environ).token() == "worker-token"
    missing = JobContext.current("f", environ=dict(INSIDE, JD_SERVER_TOKEN_FILE=str(tmp_path / "no")))
    with pytest.raises(StorageError):
        missing.token()


def test_token_is_looked_up_at_each_call() -> None:
    environ = dict(INSIDE, JD_WORKER_TOKEN="first")
    context = JobContext.current("f", environ=environ)
    environ["JD_WORKER_TOKEN"] = "second"
    assert context.token() == "second"


def test_public_functions_name_themselves(tmp_path: Path) -> None:
    server = "http://127.0.0.1:9"  # which is not asked: no job is named
    calls: Dict[str, Callable[[], object]] = {
        "jd_upload": lambda: jd.jd_upload(tmp_path, server=server),
        "jd_update_checkpoint": lambda: jd.jd_update_checkpoint(1, server=server),
        "jd_get_last_checkpoint": lambda: jd.jd_get_last_checkpoint(server=server)}
    for name, call in calls.items():
        with pytest.raises(OutsideJobError, match="^%s needs a running job" % name):
            call()


def test_a_server_that_moved_is_found_by_its_file(tmp_path: Path) -> None:
    place = tmp_path / "server"
    environ = {"JD_JOB_ID": "1", "JD_SERVER": "http://first:5000", "JD_SERVER_FILE": str(place)}
    assert JobContext.current("f", environ=environ).server == "http://first:5000"
    place.write_text("http://second:5000\n/a/token\n")
    assert JobContext.current("f", environ=environ).server == "http://second:5000"
    assert JobContext.current("f", server="http://third:5000", environ=environ).server == "http://third:5000"
    place.write_bytes(b"\xff")
    assert JobContext.current("f", environ=environ).server == "http://first:5000"
