"""Objects that are taken over as they are written: only where writing them anew gives the same."""

import json
import random
from typing import Any, List

import pytest

from jd.net.jsonbody import parse_json
from jd.net.serving.jsontexts import as_written
from jd.protocol import MAX_JSON_DEPTH, ProtocolError

JOBS = [{"lr": 0.1, "opt": "adam", "n": -7, "on": True}, {"n": 12345678901234567890, "x": None, "e": 1e-07}]


def written(objects: List[Any]) -> List[str]:
    return [json.dumps(one, ensure_ascii=False) for one in objects]


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_what_python_has_written_is_taken_over(separators: Any) -> None:
    found = as_written(json.dumps(JOBS, ensure_ascii=False, separators=separators)[1:-1])
    assert found is not None
    assert (found.texts, found.names) == (written(JOBS), ("lr", "opt", "n", "on", "x", "e"))


@pytest.mark.parametrize("text", [
    '{"a": "ü☃"}', '{"a": [1, [2, "x"]]}', '{"a": -0.0}, {"b": -5}',
    '{"a": "C, D"}', '{"a": ""}', '{"a": %s}' % ("1" * 300), '{"a":1}', '{"a":"ü"},{"b":null}',
    '{"a": %s1%s}' % ("[" * (MAX_JSON_DEPTH - 2), "]" * (MAX_JSON_DEPTH - 2))])
def test_what_is_the_same_is_taken_over(text: str) -> None:
    found = as_written(text)
    assert found is not None and found.texts == written(json.loads("[%s]" % text))


@pytest.mark.parametrize("text", [
    '{"a": "x,y"}', '{"a": "x,y",  "b": 1}', "",
    '{"a": 1.0e0}', '{"a": 1E5}', '{"a": 0.10}', '{"a": -0}', '{"a":-0}', '{"a": [-0]}', '{"a": 1e999}',
    '{"a": NaN}', '{"a": 1, "a": 2}', '{"a": "x:y"}', '{"a":"x,y"}', '{"a": "two words"}', '{"a": "\\u00e4"}',
    '{"a": "\\n"}', '{"a" :1}', '{"a": 1,"b": 2 }', '{ "a": 1,"b": 2}', '{"a": 1}, {"b":2}',
    '{"a": 1},\n{"b": 2}', '{}', '{"a": 1}, {}', '{"a": {"b": 1}}', '{"a": "}, {"}', '{"a": 1}, 5',
    '{"a": 1},', '{"a": 01}', '{"a": [1,2]}', '{"a":[1,2]}', '{"a": "\t"}', '{"a": "\0"}',
    '{"a": %s}' % ("1" * 311), '{"a": 1',
    '{"a": %s1%s}' % ("[" * (MAX_JSON_DEPTH - 1), "]" * (MAX_JSON_DEPTH - 1))])
def test_what_may_be_otherwise_is_not(text: str) -> None:
    assert as_written(text) is None


def test_random_texts_are_taken_over_only_where_they_are_the_same() -> None:
    chance = random.Random(3)
    values = [0, -1, 1.5, 1e22, 1e-7, "a", "b c", "x,y", "p: q", "ü", "{", '"', "\n", None, True, [],
              [1, 2.5], ["a", []], {}, 10 ** 40]
    taken = 0
    for _ in range(20_000):
        objects = [{chance.choice("abc"): chance.choice(values) for _ in range(chance.randrange(4))}
                   for _ in range(chance.randrange(1, 4))]
        text = json.dumps(objects, ensure_ascii=chance.random() < 0.3, separators=(
            chance.choice([", ", ",", ", ", " ,"]), chance.choice([": ", ":", ": "])))[1:-1]
        if chance.random() < 0.5:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice(["", ",", " ", ":", "0", "-", "e", '"', "}", "{", "."]) + text[
                at + chance.randrange(2):]
        found = as_written(text)
        if found is None:
            continue
        taken += 1
        try:
            parsed = parse_json(b"[%s]" % text.encode())
        except ProtocolError:
            pytest.fail("taken over, though it is no JSON: %r" % text)
        assert found.texts == written(parsed), text
        assert list(found.names) == list(dict.fromkeys(name for one in parsed for name in one)), text
    assert taken > 1000
