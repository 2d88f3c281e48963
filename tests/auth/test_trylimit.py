"""How often something may be tried, and who counts as one."""

from typing import List, Tuple

import pytest

from jd import settingvalues
from jd.auth import trylimit
from jd.auth.trylimit import TryLimit
from jd.net.serving.proxies import Proxies
from jd.net.serving.routing import Request


@pytest.fixture
def clock() -> List[float]:
    return [0.0]


@pytest.fixture
def tries(clock: List[float]) -> TryLimit:
    return TryLimit(clock=lambda: clock[0])


def test_what_is_refused_counts_for_nobody(tries: TryLimit, clock: List[float]) -> None:
    few, many = ("few", 1), ("many", 2)
    assert tries.take((few, many)) == 0
    assert tries.take((few, many)) == 600
    clock[0] = 60.5
    assert tries.take((few, many)) == 540  # rounded up
    assert tries.take((many,)) == 0 and tries.take((many,)) > 0
    clock[0] = 600.0
    assert tries.take((few, many)) == 0


def test_success_forgets_all_and_taking_back_one(tries: TryLimit) -> None:
    subject = ("name", 2)
    assert [tries.take((subject,)) for _ in range(2)] == [0, 0]
    tries.take_back("name")
    tries.take_back("unknown")
    assert tries.take((subject,)) == 0 and tries.take((subject,)) > 0
    tries.succeeded("name")
    assert [tries.take((subject,)) for _ in range(2)] == [0, 0]


def subject(peer: str) -> Tuple[str, int]:
    return trylimit.address(peer, 10)


def client(peer: str, forwarded: str, *trusted: str) -> str:
    request = Request("GET", "/", {"x-forwarded-for": forwarded}, peer=peer)
    return Proxies(settingvalues.proxy_list(",".join(trusted)) if trusted else None).client(request)


def test_one_address_has_many_spellings() -> None:
    assert subject("192.0.2.7") == ("address 192.0.2.7", 10)
    assert subject("::ffff:192.0.2.7") == subject("192.0.2.7")
    assert subject("2001:db8:1:2::1") == subject("2001:db8:1:2:ffff::9") != subject("2001:db8:1:3::1")


def test_nobody_is_believed_who_was_not_named() -> None:
    for peer in ("127.0.0.1", "::1", "10.0.0.1"):
        assert client(peer, "198.51.100.1, 192.0.2.7") == peer
        assert client(peer, "192.0.2.7", "10.0.0.2") == peer


def test_a_proxy_that_was_named_says_who_comes() -> None:
    assert client("::ffff:127.0.0.1", "198.51.100.1, 192.0.2.7", "127.0.0.1") == "192.0.2.7"
    assert client("10.1.2.3", "192.0.2.7", "10.0.0.0/8") == "192.0.2.7"
    assert client("fd00::1", "2001:db8::7", "fd00::/8") == "2001:db8::7"
    # What its client wrote before it counts only as far as that is trusted as well.
    assert client("10.1.2.3", "6.6.6.6, 192.0.2.7, 10.9.9.9", "10.0.0.0/8") == "192.0.2.7"
    for nonsense in ("", "nonsense", "192.0.2.7:80", ", "):
        assert client("10.1.2.3", nonsense, "10.0.0.0/8") == "10.1.2.3"
    assert client("10.1.2.3", "nonsense, 10.9.9.9", "10.0.0.0/8") == "10.9.9.9"


@pytest.mark.parametrize("given", ["", "proxy", "10.0.0.0/33", "10.0.0.1;10.0.0.2"])
def test_what_is_no_proxy(given: str) -> None:
    with pytest.raises(ValueError, match="an address or a network"):
        settingvalues.proxy_list(given)


@pytest.mark.parametrize("seconds, text", [(1, "1 s"), (90, "90 s"), (91, "2 min"), (600, "10 min")])
def test_waits_are_spelled_for_people(seconds: int, text: str) -> None:
    assert trylimit.spelled(seconds) == text
