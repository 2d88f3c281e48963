"""The head of an answer."""

import pytest

from jd.net.serving import responsehead
from jd.net.serving.responsehead import head_bytes
from jd.net.serving.routing import Response


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("status, content_type", [(200, "application/json"), (404, "text/plain"), (799, "a")])
def test_a_usual_head_is_like_any_other(status: int, content_type: str, keep: bool,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responsehead, "_http_date", lambda: "Sun, 06 Nov 1994 08:49:37 GMT")
    usual = Response(status, b"12345", content_type)
    special = Response(status, b"12345", content_type, {"X-Special": "yes"})
    for length in (5, 123456):
        assert head_bytes(usual, length, False, keep) == head_bytes(special, length, False, keep).replace(
            b"\r\nX-Special: yes", b"")


def test_the_date_of_a_usual_head_is_that_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    for date in ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"):
        monkeypatch.setattr(responsehead, "_http_date", lambda date=date: date)
        assert b"\r\nDate: %b\r\n" % date.encode("ascii") in head_bytes(Response(), 0, False, True)
