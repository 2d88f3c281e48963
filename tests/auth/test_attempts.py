"""How often something may be tried, and who counts as one."""

import pytest

from jd.auth import attempts
from jd.auth.attempts import Attempts
from jd.net.routing import Request


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def tries(clock):
    return Attempts(clock=lambda: clock[0])


def test_what_is_refused_counts_for_nobody(tries, clock):
    few, many = ("few", 1), ("many", 2)
    assert tries.take((few, many)) == 0
    assert tries.take((few, many)) == 600
    clock[0] = 60.5
    assert tries.take((few, many)) == 540  # rounded up
    assert tries.take((many,)) == 0 and tries.take((many,)) > 0
    clock[0] = 600.0
    assert tries.take((few, many)) == 0


def test_success_forgets_all_and_taking_back_one(tries):
    subject = ("name", 2)
    assert [tries.take((subject,)) for _ in range(2)] == [0, 0]
    tries.take_back("name")
    tries.take_back("unknown")
    assert tries.take((subject,)) == 0 and tries.take((subject,)) > 0
    tries.succeeded("name")
    assert [tries.take((subject,)) for _ in range(2)] == [0, 0]


def subject(peer, forwarded=None):
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    return attempts.address(Request("GET", "/", headers, peer=peer), 10)


def test_one_address_has_many_spellings():
    assert subject("192.0.2.7") == ("address 192.0.2.7", 10)
    assert subject("::ffff:192.0.2.7") == subject("192.0.2.7")
    assert subject("2001:db8:1:2::1") == subject("2001:db8:1:2:ffff::9") != subject("2001:db8:1:3::1")


def test_only_a_proxy_on_this_machine_says_who_comes():
    for loopback in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert subject(loopback, "198.51.100.1, 192.0.2.7") == subject("192.0.2.7")
        assert subject(loopback, "nonsense") == subject(loopback)
    assert subject("198.51.100.9", "192.0.2.7") == subject("198.51.100.9")


@pytest.mark.parametrize("seconds, text", [(1, "1 s"), (90, "90 s"), (91, "2 min"), (600, "10 min")])
def test_waits_are_spelled_for_people(seconds, text):
    assert attempts.spelled(seconds) == text
