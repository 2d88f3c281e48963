"""Blocking calls in a thread."""

import threading
from typing import Any, Iterator, List

import pytest

from jd.errors import ServerRefused, ServerUnreachable
from jd.worker.uplink.callthread import CLAIM, Answer, Call, CallThread

CALL = Call(CLAIM, "/x", {}, 1.0)


class Post:
    """What stands behind the calls: each call waits for `release`."""

    def __init__(self) -> None:
        self.woken = threading.Semaphore(0)
        self.release = threading.Semaphore(0)
        self.outcome: Any = {"ok": 1}
        self.calls = CallThread(self.deliver, self.woken.release)

    def deliver(self, call: Call) -> Any:
        self.release.acquire()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def answers(self) -> List[Answer]:
        assert self.woken.acquire(timeout=60)
        return self.calls.collect()


@pytest.fixture
def post() -> Iterator[Post]:
    post = Post()
    yield post
    for _ in range(10):
        post.release.release()


def test_an_answer_comes_back(post: Post) -> None:
    post.calls.send(CALL)
    assert post.calls.collect() == []
    assert post.calls.in_flight is CALL
    post.release.release()
    answer = post.answers()[0]
    assert (answer.call, answer.body, answer.error) == (CALL, {"ok": 1}, None)
    assert post.calls.in_flight is None


def test_where_there_is_no_thread_for_a_call_it_is_made_later(post: Post,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", none_left)
        post.calls.send(CALL)
        error = post.answers()[0].error
    assert isinstance(error, ServerUnreachable) and "ulimit -u" in str(error)
    post.calls.send(CALL)
    post.release.release()
    assert post.answers()[0].body == {"ok": 1}


def test_a_result_says_in_addition_what_was_lost() -> None:
    assert CALL.noting("") is CALL
    assert Call(CLAIM, "/x", {"message": "a"}, 1.0).noting("b").body == {"message": "a; b"}
    assert CALL.noting("b").body == {"message": "b"}


@pytest.mark.parametrize("outcome, kind", [
    (ServerRefused(500, "oops"), ServerRefused), (ServerUnreachable("away"), ServerUnreachable),
    (ZeroDivisionError("a bug"), ServerUnreachable)])
def test_every_error_is_an_answer(post: Post, outcome: Exception, kind: type) -> None:
    post.outcome = outcome
    for _ in range(2):
        post.calls.send(CALL)
        post.release.release()
        assert isinstance(post.answers()[0].error, kind)


def test_an_abandoned_call_holds_nobody_up(post: Post) -> None:
    post.calls.send(CALL)
    post.calls.abandon()
    assert post.calls.in_flight is None
    second = Call(CLAIM, "/y", {}, 1.0)
    post.calls.send(second)
    post.release.release()
    post.release.release()
    assert post.woken.acquire(timeout=60) and post.woken.acquire(timeout=60)
    assert [answer.call for answer in post.calls.collect()] == [second]
    assert post.calls.collect() == []


def test_the_thread_of_an_abandoned_call_ends_with_it(post: Post) -> None:
    before = set(threading.enumerate())
    post.calls.send(CALL)
    thread, = set(threading.enumerate()) - before
    post.calls.abandon()
    post.release.release()
    thread.join(60)
    assert not thread.is_alive()


def test_it_says_when_no_call_has_come_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: then it waits for a call, and for nothing else."""
    monkeypatch.setattr("jd.worker.uplink.callthread.REST_AFTER", 0.0)
    told, woken = threading.Semaphore(0), threading.Semaphore(0)
    calls = CallThread(lambda call: {}, woken.release, told.release)
    calls.send(CALL)
    for _ in range(2):
        assert woken.acquire(timeout=60)
        assert told.acquire(timeout=60)
        calls.collect()
        calls.send(CALL)
    assert woken.acquire(timeout=60)
    calls.abandon()
