"""What a worker tells its warden, and what the warden makes of it."""

import os
import signal
from typing import Iterator, Tuple
from unittest.mock import Mock

import pytest

from jd.worker.attempt.process.ward import Running, Ward, last_word

ENVIRON = {"JD_WORKER_ID": "node_egg_0", "JD_JOB_ID": "5", "JD_JOB_ATTEMPT": "2", "PATH": "/bin"}
RUNNING = Running(77, ("JD_WORKER_ID=node_egg_0", "JD_JOB_ID=5", "JD_JOB_ATTEMPT=2"))


@pytest.fixture
def pipe() -> Iterator[Tuple[int, Ward]]:
    listener, teller = os.pipe()
    os.set_blocking(teller, False)
    ward = Ward(teller)
    yield listener, ward
    ward.close()
    os.close(listener)


def test_the_last_word_counts(pipe: Tuple[int, Ward]) -> None:
    listener, ward = pipe
    told = b""
    assert last_word(told) is None
    for _ in range(2):
        ward.began(77, ENVIRON)
        told += os.read(listener, 4096)
        assert last_word(told) == RUNNING
        ward.ended()
        told += os.read(listener, 4096)
        assert last_word(told) is None
    assert last_word(told + b"[78") is None  # half a line is none


def test_without_a_warden_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    write = Mock()
    monkeypatch.setattr(os, "write", write)
    ward = Ward()
    ward.began(77, ENVIRON)
    ward.ended()
    ward.close()
    assert write.call_count == 0


def test_a_warden_that_does_not_listen_or_was_killed_holds_up_nobody(pipe: Tuple[int, Ward]) -> None:
    listener, ward = pipe
    for _ in range(2000):  # more than a pipe holds
        ward.began(77, ENVIRON)
    assert last_word(os.read(listener, 2 ** 20)) == RUNNING  # what did fit is whole
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as in a worker
    try:
        reader, writer = os.pipe()
        os.close(reader)
        Ward(writer).ended()
        os.close(writer)
    finally:
        signal.signal(signal.SIGPIPE, before)
