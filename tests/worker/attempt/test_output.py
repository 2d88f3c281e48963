"""From chunks to lines."""

from typing import List

import pytest

from jd.worker.attempt.output import pump
from jd.worker.attempt.output.pump import OutputPump


def lines_of(*chunks: bytes) -> List[bytes]:
    written: List[bytes] = []
    pump = OutputPump(written.append)
    for chunk in chunks:
        pump.feed(chunk, 0.0)
    pump.flush(0.0, final=True)
    assert all(piece.endswith(b"\n") for piece in written)
    return b"".join(written).split(b"\n")[:-1]


TEXT = "one\ntwo\r\nthree\rfour\r\r\nfünf 🚀\n\nlast".encode()
EXPECTED = [b"one", b"two", b"three", b"four", b"", "fünf 🚀".encode(), b"", b"last"]


def test_whole() -> None:
    assert lines_of(TEXT) == EXPECTED


def test_byte_by_byte() -> None:
    assert lines_of(*[TEXT[i:i + 1] for i in range(len(TEXT))]) == EXPECTED


def test_a_progress_bar_leaves_each_state() -> None:
    assert lines_of(b"\r 10%\r 50%", b"\r100%\n", b"done\n") == [b" 10%", b" 50%", b"100%", b"done"]


@pytest.mark.parametrize("given, shown", [
    (b"\x1b[31mred\x1b[0m\n", b"red"),
    (b"\x1b]0;title\x07x\n", b"x"),
    (b"bell\x07 nul\x00 del\x7f tab\t\n", b"bell? nul? del? tab\t"),
    (b"\xff\xfe raw\n", b"\xff\xfe raw"),
    ("c1 \u009b31m\n".encode(), b"c1 ?31m"),
    (b"half \x1b[\n", b"half ?["),
])
def test_nothing_that_a_terminal_obeys(given: bytes, shown: bytes) -> None:
    assert lines_of(given) == [shown]


def test_a_line_without_end_is_cut_between_characters() -> None:
    data = "ä".encode() * 200_000
    chunks = [data[i:i + 4095] for i in range(0, len(data), 4095)]
    pieces = lines_of(*chunks)
    assert b"".join(pieces) == data
    assert len(pieces) >= 4
    assert max(map(len, pieces)) <= 2 * pump.MAX_LINE
    for piece in pieces:
        piece.decode("utf-8")


def test_an_unfinished_line_is_shown_after_a_while() -> None:
    written: List[bytes] = []
    pump = OutputPump(written.append)
    pump.feed(b"Password: ", 10.0)
    assert (written, pump.deadline()) == ([], 12.0)
    pump.flush(11.9)
    assert written == []
    pump.feed(b"(hidden)", 11.9)
    pump.flush(12.0)
    assert written == [b"Password: (hidden)\n"]
    assert pump.deadline() is None


@pytest.mark.parametrize("end", [[b"\n"], [b"\r\n"], [b"\r", b"\n"], [b"\x1b[0m", b"\n"]])
def test_the_end_of_a_line_that_was_shown_before_it_makes_no_empty_line(end: List[bytes]) -> None:
    written: List[bytes] = []
    pump = OutputPump(written.append)
    pump.feed(b"waiting ...", 10.0)
    pump.flush(12.0)
    for now, chunk in enumerate(end):
        pump.feed(chunk, 20.0 + 2 * now)
        pump.flush(22.0 + 2 * now)
    pump.feed(b"\nnext\n", 30.0)
    assert b"".join(written) == b"waiting ...\n\nnext\n"


def test_the_tail_is_the_last_16_kib() -> None:
    """docs/dashboard.md promises them; the protocol allows as much."""
    kept: List[bytes] = []
    pump = OutputPump(lambda lines: None, kept.append)
    for number in range(50_000):
        pump.feed(b"line %d\n" % number, 0.0)
    pump.feed(b"unfinished", 0.0)
    assert pump.tail().endswith("line 49999\n")
    pump.flush(2.0)
    tail = pump.tail()
    assert tail.endswith("line 49999\nunfinished\n")
    assert len(tail) == 16 * 1024
    assert b"".join(kept).endswith(tail.encode()) and pump.size == len(b"".join(kept))


def test_what_is_kept_for_the_server_is_valid_utf8_of_that_size() -> None:
    written: List[bytes] = []
    kept: List[bytes] = []
    pump = OutputPump(written.append, kept.append)
    pump.feed(b"caf\xe9 and caf\xc3\xa9\n", 0.0)
    assert written == [b"caf\xe9 and caf\xc3\xa9\n"]
    assert kept == ["caf\ufffd and café\n".encode()]
    assert pump.tail() == "caf\ufffd and café\n" and pump.size == len(kept[0])


def test_the_tail_does_not_begin_inside_a_character() -> None:
    pump = OutputPump(lambda lines: None)
    pump.feed(("€" * 3000 + "\n\n").encode(), 0.0)
    assert set(pump.tail()) == {"€", "\n"}
