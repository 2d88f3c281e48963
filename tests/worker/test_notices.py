"""What servers are told of workers that are stopped, and how long they are waited for."""

import socket
import subprocess

import pytest

from jd import protocol
from jd.worker.local import notices
from jd.worker.local.notices import Notice
from tests.support import python
from tests.worker.registered import row


def test_servers_that_do_not_answer_are_waited_for_once() -> None:
    with socket.socket() as silent, socket.socket() as free:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        silent.setblocking(False)
        free.bind(("127.0.0.1", 0))
        urls = ["http://127.0.0.1:%d" % s.getsockname()[1] for s in (silent, free)]
        told = [Notice(url, protocol.CLI_STOP, {}, {}) for url in urls for _ in range(40)]
        problems = notices.tell(told, 0.5)
        with pytest.raises(BlockingIOError):
            for _ in range(notices._TELLERS + 1):  # those that ask before the first has had no answer
                silent.accept()[0].close()
    assert len(problems) == 2
    assert [problem.split(" was not told: ")[0] for problem in problems] == urls


HANGS_UP = """
import socket
rude = socket.socket()
rude.bind(("127.0.0.1", 0))
rude.listen(128)
print(rude.getsockname()[1], flush=True)
while True:
    rude.accept()[0].close()
    print("met", flush=True)
"""


def test_a_server_that_fails_is_not_asked_for_every_worker() -> None:
    rude = subprocess.Popen(python("-c", HANGS_UP), stdout=subprocess.PIPE)
    try:
        assert rude.stdout is not None
        url = "http://127.0.0.1:%d" % int(rude.stdout.readline())
        (problem,) = notices.tell([Notice(url, protocol.CLI_STOP, {}, {})] * 200, 5.0)
    finally:
        rude.kill()
    assert problem.startswith(url)
    assert 1 <= rude.communicate()[0].count(b"met") < 100


def test_what_servers_are_told() -> None:
    config = {"server": "http://h:1", "environ": {"JD_SERVER_TOKEN": "t"}}
    rows = [row("n_egg_0", config=config, current_job_id=5), row("n_egg_1", config=config), row("n_egg_2")]
    busy, idle = notices.stop_notices(rows, "stop", {"PATH": "/bin", "JD_SERVER_TOKEN": "mine"})
    assert busy.route == protocol.CLI_STOP and busy.environ == {"PATH": "/bin", "JD_SERVER_TOKEN": "t"}
    assert busy.body == {"worker_id": "n_egg_0", "source": socket.gethostname(), "action": "stop",
                         "job_id": 5}
    assert "job_id" not in idle.body
    (clear,) = notices.clear_notices(rows, {})
    assert clear.route == protocol.CLI_CLEAR_ALL and clear.body["workers"] == [
        {"worker_id": "n_egg_0", "job_id": 5}, {"worker_id": "n_egg_1", "job_id": None}]
