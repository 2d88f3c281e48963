"""JSON read piece by piece is the JSON that is read at once; no more of it is looked at than asked for."""

import io
import json
import random
from typing import Any, Callable, List, Optional

import pytest

from jd.net.jsonbody import parse_json
from jd.net.serving import jsonpieces
from jd.net.serving.jsonpieces import Pieces
from jd.protocol import MAX_JSON_DEPTH, ProtocolError
from tests.net.test_jsonbody import BAD, GOOD, HALVES


@pytest.fixture(params=["large", "small"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces as they are, and so small that everything is cut somewhere."""
    if request.param == "small":
        monkeypatch.setattr(jsonpieces, "PIECE", 700)
        monkeypatch.setattr(jsonpieces, "READ", 3)


def whole(text: bytes) -> Any:
    pieces = Pieces(io.BytesIO(text))
    value = pieces.whole(10_000)
    pieces.end()
    return value


def listed(text: bytes, as_texts: bool = False) -> List[Any]:
    """The items of a list, objects together where that can be; also as texts."""
    pieces = Pieces(io.BytesIO(text))
    found: List[Any] = []
    for _ in pieces.items():
        texts = pieces.texts() if as_texts else None
        found += pieces.objects() if texts is None else map(json.loads, texts.texts)
        found.append(pieces.value())
    pieces.end()
    return found


def assert_same_place(told: str, expected: str) -> None:
    """Where it is wrong is the same; what is expected there may be said in other words.

    From Python 3.13 on, its own parser names the place of a comma too many, where older ones and pieces name
    that of the bracket behind it.
    """
    if "trailing comma" not in expected:
        assert told.rpartition(" at ")[2] == expected.rpartition(" at ")[2], (told, expected)


@pytest.mark.parametrize("text", [case[0] for case in GOOD] + [
    b'{"a": {"b": [1, {"c": [2]}], "d": {}}, "e": [[], [[[]]]]}', b'[{"a": 1}, {"b": "\\u00e4\xc3\xa4\\n"}]',
    b' {\n}\n',
    b'{"\\u0061b": {"\xf0\x9f\x98\x80": "\\ud83d\\ude00"}}',
    b'{"ids": [1,2 ,\n3, "x", 4, -5], "n": 7}', b"[[1, 2], [3], 4, 1.5, 6, 1e3, 8, -0, 9]",
    b"[12345678901234567890, 1, 99999999999999999, 2]", json.dumps(list(range(2000))).encode(),
    json.dumps([{"n": n} for n in range(300)]).encode()])
def test_what_is_good_is_the_same(text: bytes, sizes: None) -> None:
    assert whole(text) == parse_json(text)


@pytest.mark.parametrize("text", [case[0] for case in BAD + HALVES] + [
    b"[1,]", b"[1 2]", b"[1,2,]", b"[1,,2]", b"[1,02,3]", b"[1,2", b"[1,--1,2]", b"[1,2,3}", b"[1, +2, 3]",
    b'{"a" 1}', b'{"a":1,}', b'{"a":1 "b":2}', b"[1", b'{"a":', b'{"a"', b'{"a":1',
    b'["abc', b"tru",
    b"[1]]", b'{"a":[1}', b'{1:2}', b'[{"a":1},\n {"b":1 "c"}]', b"\xc3", b"[1]\n\xff",
    b'{"a":{"b":1,"b":2}}',
    b'{"a":1,"a":2}', b'{"\\udead": 1}', b'[[[["\\ud800"]]]]', b"[" * 33 + b"]" * 33,
    b'[[' + b'[' * 31 + b']' * 31 + b']]'])
def test_what_is_bad_is_bad(text: bytes, sizes: None) -> None:
    with pytest.raises(ProtocolError) as at_once:
        parse_json(text)
    with pytest.raises(ProtocolError) as by_pieces:
        whole(text)
    told, expected = str(by_pieces.value), str(at_once.value)
    place = " at line " if " at line " in expected else " at offset "
    if place in expected and place in told:
        assert_same_place(told, expected)


def test_texts_cut_anywhere_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"jobs": [{"text": "äöü\n\"\\ \U0001f600", "n": [1.5, -2e9, None, True]}] * 5,
             "x": {"y": "☃" * 20}}
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        for read in range(1, 40):
            monkeypatch.setattr(jsonpieces, "READ", read)
            monkeypatch.setattr(jsonpieces, "PIECE", 150)
            assert whole(text.encode()) == value


def test_random_damage_is_judged_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonpieces, "READ", 7)
    chance = random.Random(1)
    good = json.dumps({"a": [{"b": 1, "c": "\ud83d\ude00ä"}, {}], "d": {"e": [1.5, "x\n"]}}).encode()
    judged = set()
    for _ in range(3000):
        text = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(text))
            text[at:at + chance.randrange(2)] = chance.choice([b"", b",", b"]", b"}", b'"', b"\\", b"\xff",
                                                               b"1", b" ", b"u"])
        answers: List[Any] = []
        parse: Callable[[bytes], Any]
        for parse in (parse_json, whole):
            try:
                answers.append(parse(bytes(text)))
            except ProtocolError:
                answers.append(ProtocolError)
        assert answers[0] == answers[1], bytes(text)
        judged.add(answers[0] is ProtocolError)
    assert judged == {True, False}


# ---- limits

class Counted(io.BytesIO):
    """How much was read of it."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.taken = 0

    def read(self, size: Optional[int] = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_only_what_is_asked_for_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonpieces, "PIECE", 100)
    monkeypatch.setattr(jsonpieces, "READ", 100)
    file = Counted(b"[" + b"{},\n" * 100_000)
    pieces = Pieces(file)
    items = pieces.items()
    for _ in range(10):
        next(items)
        assert pieces.value() == {}
    assert file.taken <= 500


def test_a_value_has_a_length_and_walks_have_a_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonpieces, "PIECE", 100)
    monkeypatch.setattr(jsonpieces, "READ", 40)
    for long in (b'"' + b"x" * 200 + b'"', b"[" + b"1," * 100 + b"1]", b'{"a": "' + b"\\u00e4" * 200 + b'"}',
                 b"9" * 200):
        pieces = Pieces(io.BytesIO(b'[1,\n ' + long + b"]"), "the text")
        items = pieces.items()
        next(items), pieces.value(), next(items)
        with pytest.raises(ProtocolError,
                           match="the text has a value of more than 100 characters at line 2 column 2"):
            pieces.value()
    with pytest.raises(ProtocolError, match="is not JSON: Expecting ',' delimiter at line 1 column 4"):
        pieces = Pieces(io.BytesIO(b'[1 x' + b" " * 300 + b"]"))
        pieces.value()
    pieces = Pieces(io.BytesIO(b"[" * 100))
    with pytest.raises(ProtocolError, match="deeper than the allowed %d" % MAX_JSON_DEPTH):
        for _ in range(100):
            next(pieces.items())


def test_an_object_that_is_walked_through_has_so_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonpieces, "MAX_NAMES", 3)
    assert whole(b'{"a":1,"b":2,"c":3}') == {"a": 1, "b": 2, "c": 3}
    with pytest.raises(ProtocolError, match="more than 3 names"):
        whole(b'{"a":1,"b":2,"c":3,"d":4}')


# ---- long strings

TEXTS = ["", "plain", "ä☃\U0001f600" * 50, 'quotes " and \\ and / \b\f\n\r\t', "\\ud800 is no escape here",
         "\x7f\u2028", "\x00\x01"]


@pytest.mark.parametrize("read", [1, 2, 5, 11, 12, 13, 64, 1 << 20])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_string_is_copied_whole(read: int, ascii_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonpieces, "READ", read)
    monkeypatch.setattr(jsonpieces, "PIECE", 40)
    monkeypatch.setattr(jsonpieces, "_RUN_LENGTH", 17)
    for text in TEXTS + ["".join(TEXTS) * 3]:
        target = io.BytesIO()
        pieces = Pieces(io.BytesIO(json.dumps({"text": text, "b": 1}, ensure_ascii=ascii_only).encode()))
        members = pieces.members()
        assert next(members) == "text"
        pieces.copy_text(target)
        assert target.getvalue().decode("utf-8") == text
        assert next(members) == "b" and pieces.value() == 1 and next(members, None) is None
        pieces.end()


@pytest.mark.parametrize("text, message", [
    (b'"abc', "Unterminated string starting at line 1 column 1"), (b'"abc\\', "escape"),
    (b'"a\\u12', "escape"),
    (b'"a\\x41"', "escape or control character in a string at line 1 column 3"),
    (b'"a\nb"', "at line 1 column 3"),
    (b'"ab\\ud800"', "half a surrogate pair, \\\\ud800, at line 1 column 4"),
    (b'"\\ud800\\n"', "half a surrogate"),
    (b'"\\udc00"', "half a surrogate"), (b'"a\xff"', "UTF-8: byte 0xff at offset 2")])
def test_a_string_that_is_none(text: bytes, message: str, sizes: None) -> None:
    with pytest.raises(ProtocolError, match=message):
        Pieces(io.BytesIO(text)).copy_text(io.BytesIO())


def test_whole_numbers_count_as_values() -> None:
    assert Pieces(io.BytesIO(b"[1, 2, 3]")).whole(3) == [1, 2, 3]
    with pytest.raises(ProtocolError, match="more than the allowed 2 values"):
        Pieces(io.BytesIO(b"[1, 2, 3]")).whole(2)


OBJECTS = [{"lr": 0.1, "opt": "adam", "n": n, "layers": [64, [32]]} for n in range(300)]


@pytest.mark.parametrize("text, apart", [
    (json.dumps(OBJECTS), 1), (json.dumps(OBJECTS, indent=1), 1),
    (json.dumps(OBJECTS, separators=(",", ":")), 1),
    (json.dumps([{"n": 1}, {}, {"b": None, "c": True}]), 1),
    (json.dumps([{"n": 1}, {"in": {"a": 1}}, {"b": 2}]), 3), (json.dumps([{"a:b": "}, {"}] * 3), 3),
    (json.dumps([{"n": 1}, 5, {"b": 2}]), 2), ('[{"a": "\\ud83d\\ude00"}, {"b": 1}, {"c": 2}]', 3)])
def test_objects_of_a_list_are_parsed_together(text: str, apart: int, sizes: None,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    values: List[Any] = []
    value = Pieces.value

    def one(pieces: Pieces) -> Any:
        values.append(value(pieces))
        return values[-1]

    monkeypatch.setattr(Pieces, "value", one)
    assert repr(listed(text.encode())) == repr(parse_json(text.encode()))
    assert len(values) == apart or jsonpieces.PIECE < 1000 and len(values) >= apart


@pytest.mark.parametrize("text", [
    '[{"a": 1, "a": 2}, {"b": 3}]', '[{"a": NaN}, {"b": 3}]', '[{"a": 1e999}, {"b": 3}]',
    '[{"a" 1}, {"b": 3}]', '[{"a": [-1e999]}, {"b": 3}]', '[{"a": %s}, {"b": 3}]' % ("1" * 311),
    '[{"a": 1},, {"b": 3}]', '[{"a": "\\ud800"}, {"b": 3}]',
    '[{"a": %s1%s}, {"b": 3}]' % ("[" * 31, "]" * 31), '[{"a": 1}, {"b": 3},]',
    '[{"a": "\t"}, {"b": 3}]', '[{"a": 1}, {"b": 3}', '[{"a:": 1, "a:": "\\u003a"}, {"b": 3}]'])
def test_what_is_bad_in_objects_is_bad(text: str, sizes: None) -> None:
    with pytest.raises(ProtocolError) as at_once:
        parse_json(text.encode())
    for as_texts in (False, True):
        with pytest.raises(ProtocolError) as by_pieces:
            listed(text.encode(), as_texts)
        assert_same_place(str(by_pieces.value), str(at_once.value))
    lists = '[{"a": %s1%s}, {"b": 3}]' % ("[" * 30, "]" * 30)
    assert listed(lists.encode()) == parse_json(lists.encode())
