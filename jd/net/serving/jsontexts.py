"""Objects that stand in a JSON text as we would write them, so that they need not be written anew.

To write objects takes longer than to read them, and most lists of them were written by a program: by Python's
`json.dumps`, with a blank behind each comma and colon, or without any blank.
"""

import itertools
import json
import operator
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from jd.net import jsonbody
from jd.protocol import MAX_JSON_DEPTH, ProtocolError

_MINUS_NOTHING = re.compile(r"-0[,}\]]")  # a whole number that Python writes as 0


class Texts(NamedTuple):
    """Objects with at least one name each: the text of each as `json.dumps` writes it with
    ensure_ascii=False, and all of their names, in the order of their first use."""

    texts: List[str]
    names: Tuple[str, ...]


def as_written(text: str, levels: int = 1) -> Optional[Texts]:
    """Objects that commas separate, inside of so many lists and objects; None where one of them may be
    written otherwise, or needs a closer look: it is no JSON, has an object inside, or a colon in a text, say.
    """
    if any(mark in text for mark in "\\\n\r\t") or "-0" in text and _MINUS_NOTHING.search(text):
        return None
    blanks, commas, colons = map(text.count, " ,:")
    spaced = blanks == commas + colons and text.count(", ") == commas and text.count(": ") == colons
    if blanks and not spaced:
        return None
    floats: List[str] = []
    objects = _objects(text, levels, floats)
    named = sum(map(len, objects))
    # A name that is there twice has one colon more, and so has a text with a colon.
    if not objects or not all(objects) or named != colons:
        return None
    if not all(map(operator.eq, map(repr, map(float, floats)), floats)):
        return None
    if not spaced:
        if "[" in text or commas != named - 1:
            return None  # a comma that separates no two names may be one of a text
        text = text.replace(",", ", ").replace(":", ": ")
    texts = text.replace("}, {", "}\n{").split("\n")
    if max(map(len, texts)) > jsonbody.MAX_NUMBER_CHARS < max(map(len, text.split(","))):
        return None  # a number of many digits
    return Texts(texts, _names(objects))


def _objects(text: str, levels: int, floats: List[str]) -> List[Dict[str, Any]]:
    """The objects, without numbers that are not whole: these are added to `floats` as they are written. There
    are none where another value is among them, or an object inside of one."""
    try:
        objects: List[Dict[str, Any]] = json.JSONDecoder(
            parse_float=floats.append, parse_constant=jsonbody.refuse_constant).decode("[%s]" % text)
        if "[" in text:
            jsonbody.check_depth(objects, "", MAX_JSON_DEPTH - levels + 1)
    except (ValueError, ProtocolError, RecursionError):
        return []
    return objects if set(map(type, objects)) == {dict} and len(objects) == text.count("{") else []


def _names(objects: List[Dict[str, Any]]) -> Tuple[str, ...]:
    if len(set().union(*objects)) == len(objects[0]):
        return tuple(objects[0])
    return tuple(dict.fromkeys(itertools.chain.from_iterable(objects)))
