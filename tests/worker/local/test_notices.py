"""How servers are told of workers here, and how long they are waited for."""

import errno
import os
import socket
import subprocess
import threading
from typing import List

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
        problems = notices.problems(told, notices.tell(told, 0.5))
        with pytest.raises(BlockingIOError):
            for _ in range(notices._TELLERS + 1):  # those that ask before the first has had no answer
                silent.accept()[0].close()
    assert list(problems) == urls


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
        told = [Notice(url, protocol.CLI_STOP, {}, {})] * 200
        replies = notices.tell(told, 5.0)
    finally:
        rude.kill()
    assert list(notices.problems(told, replies)) == [url]
    assert all(reply.answer is None and reply.problem for reply in replies) and len(replies) == 200
    assert 1 <= rude.communicate()[0].count(b"met") < 100


def test_without_threads_or_processes_the_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    def no_process() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        told = [Notice("http://127.0.0.1:%d" % free.getsockname()[1], protocol.CLI_STOP, {}, {})] * 2
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        assert [("refused" in reply.problem) for reply in notices.tell(told, 5.0)] == [True, True]
        monkeypatch.setattr(os, "fork", no_process)
        assert [("ulimit -u" in reply.problem) for reply in notices.tell(told, 5.0)] == [True, True]


def test_where_nobody_reads_what_came_of_it_any_more_it_just_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: List[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        told = Notice("http://127.0.0.1:%d" % free.getsockname()[1], protocol.CLI_STOP, {}, {})
        reading, writing = os.pipe()
        os.close(reading)
        notices._tell_all([told], 0.5, writing)
        os.close(writing)
    assert failed == []


def test_whose_server_is_told_with_what() -> None:
    config = {"server": "http://h:1", "environ": {"JD_SERVER_TOKEN": "t"}}
    notice = notices.to_server_of(row(config=config, worker_token="w"), protocol.CLI_STOP, {"a": 1},
                                  {"PATH": "/bin", "JD_SERVER_TOKEN": "mine"})
    assert notice is not None
    assert (notice.server, notice.token, notice.experiment) == ("http://h:1", "w", "e")
    assert notice.environ == {"PATH": "/bin", "JD_SERVER_TOKEN": "t"}
    assert notices.to_server_of(row(), protocol.CLI_STOP, {}, {}) is None
