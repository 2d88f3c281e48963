"""What JSON from a peer may and may not be."""

import time
from typing import List, Tuple

import pytest

from jd.net.jsonbody import MAX_NUMBER_CHARS, parse_json
from jd.protocol import MAX_JSON_DEPTH, ProtocolError

GOOD: List[Tuple[bytes, object]] = [
    (b'{"a":[1,-2.5,true,null,"x"]}', {"a": [1, -2.5, True, None, "x"]}), (b" [] ", []), (b"3", 3),
    (b'"\\ud83d\\uDE00"', "\U0001f600"), ('"ä"'.encode(), "ä"), (b'"\\\\ud800"', "\\ud800"),
    (b'"\\\\\\ud83d\\ude00"', "\\\U0001f600"), (b"1" * 310, int("1" * 310)), (b"1e-999", 0.0),
    (b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH, None),
    (b"[" + b"[]," * 500 + b"{}]", None),
]


@pytest.mark.parametrize("text, value", GOOD)
def test_good(text: bytes, value: object) -> None:
    parsed = parse_json(text)
    assert value is None or parsed == value


BAD = [
    (b"", "empty"), (b" \r\n", "empty"), (b"{", "line 1 column 2"),
    (b'{\n "a": 1\n "b": 2}', "line 3 column 2"),
    (b"{'a': 1}", "column 2"), (b"[1] x", "Extra data"), (b"\xff", "UTF-8: byte 0xff at offset 0"),
    (b'{"a":"\xed\xa0\x80"}', "UTF-8"), (b'"\x01"', "control character"), (b"\xef\xbb\xbf{}", "BOM"),
    ('{"a":1}'.encode("utf-16"), "UTF-8"), (b"NaN", "NaN"), (b"[-Infinity]", "Infinity"),
    (b"1e999", "too large"), (b"-1e999", "too large"), (b"0." + b"1" * 310, "too long"),
    (b"1" * (MAX_NUMBER_CHARS + 1), "311 digits"), (b'{"a":1,"b":2,"a":3}', "name 'a' is there twice"),
    (b'[{"x":{"a":1,"\\u0061":1}}]', "'a' is there twice"),
    (b"[" * (MAX_JSON_DEPTH + 1) + b"]" * (MAX_JSON_DEPTH + 1), "deeper than the allowed 32"),
    (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper"), (b"[" * 100_000, "deeper"),
    (b"[" * 100_000 + b"]" * 100_000, "deeper"),
]


@pytest.mark.parametrize("text, message", BAD)
def test_bad(text: bytes, message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_json(text)
    assert message in str(caught.value)


HALVES = [
    (b'"\\ud800"', "line 1 column 2"), (b'"\\udc00"', "line 1 column 2"),
    (b'{"a":\n  "x\\uD83Dy"}', "line 2 column 5"), (b'{"\\udead": 1}', "line 1 column 3"),
    (b'"\\ude00\\ud83d"', "column 2"), (b'"\\ud83d\\ud83d\\ude00"', "column 2"),
    (b'"\\ud83d\\n\\ude00"', "column 2"), (b'["\\ud83d","\\ude00"]', "column 3"),
    (b'"\\ud83d\\ude00\\ude00"', "column 14"), (b'"\\\\\\ud83d"', "column 4"),
]


@pytest.mark.parametrize("text, place", HALVES)
def test_half_a_surrogate_pair(text: bytes, place: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_json(text)
    assert "surrogate" in str(caught.value) and str(caught.value).endswith(place)


def test_a_huge_number_costs_nothing() -> None:
    began = time.process_time()
    with pytest.raises(ProtocolError):
        parse_json(b"9" * 4_000_000)
    assert time.process_time() - began < 2.0
