"""Standard streams that are closed, or on a full disk."""

import pytest

from tests.hostile.place import Place, refused, wrong

CLOSINGS = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closing", CLOSINGS)
def test_a_sweep_is_done_with_streams_that_are_closed(place: Place, closing: str) -> None:
    place.launcher = ["sh", "-c", 'exec "$@" ' + closing, "sh"]
    place.sweep()
    for log in place.data.glob("meta/*"):
        assert b"experiment hostile" not in log.read_bytes()


@pytest.mark.parametrize("closing", CLOSINGS)
def test_exit_statuses_are_right_with_streams_that_are_closed(place: Place, closing: str) -> None:
    place.launcher = ["sh", "-c", 'exec "$@" ' + closing, "sh"]
    assert place.run("jd_worker_cli", "worker-list", "nonsense=1").returncode == 2
    assert place.run("jd_server", "--nonsense").returncode == 2
    assert place.run("jd_hub", "--nonsense").returncode == 2
    assert place.cli("worker-list").returncode == 0
    assert place.cli("server-info", "server=127.0.0.1:9").returncode == 1


def test_what_a_full_disk_does_to_the_output(place: Place) -> None:
    """A command fails with one line; a worker goes on, and so does the server."""
    place.launcher = ["sh", "-c", 'exec "$@" >/dev/full', "sh"]
    done = place.run("jd_worker_cli", "version")
    refused(done, "No space left on device")
    url = place.url(place.serve())
    for left in ({"DONE": 1, "PENDING": 1}, {"DONE": 2}):
        assert wrong(place.work(url).stderr) == []
        assert place.counts(url) == left
