"""Fields of messages: typed, within limits, and an error that says what is allowed and what was given."""

from typing import Any, Callable, Dict

import pytest

from jd import fields
from jd.protocol import MAX_IDS, ProtocolError

Read = Callable[[Dict[str, Any]], Any]


@pytest.mark.parametrize("read, value, found", [
    (lambda body: fields.take(body, "x", str), "a", "a"),
    (lambda body: fields.take(body, "x", int), 5, 5),
    (lambda body: fields.take(body, "x", bool), True, True),
    (lambda body: fields.take(body, "x", str, None), None, None),
    (lambda body: fields.take(body, "x", dict, {}), None, {}),
    (lambda body: fields.take_number(body, "x"), None, None),
    (lambda body: fields.take_number(body, "x", 2.5), None, 2.5),
    (lambda body: fields.take_number(body, "x", high=9), 9, 9.0),
    (lambda body: fields.take_id(body, "x"), fields.MAX_ID, fields.MAX_ID),
    (lambda body: fields.take_id(body, "x", None), None, None),
    (lambda body: fields.take_name(body, "x"), "ä b", "ä b"),
    (lambda body: fields.take_name(body, "x", "unknown"), None, "unknown"),
    (lambda body: fields.take_word(body, "x", ("stop", "run")), "run", "run"),
    (lambda body: fields.take_word(body, "x", ("stop", "run"), "stop"), None, "stop"),
    (lambda body: fields.take_list(body, "x", 2), [1, 2], [1, 2]),
    (lambda body: fields.read_whole(body, "x", 1, 50), "50", 50),
    (lambda body: fields.read_whole(body, "x", 0, 50, 7), "", 7),
    (lambda body: fields.read_whole(body, "x", 0, 50, None), None, None),
    (lambda body: fields.read_id(body, "x"), "0012", 12),
    (lambda body: fields.read_ids(body, "x"), "1, 2,3", [1, 2, 3]),
    (lambda body: fields.read_ids(body, "x"), "", []),
    (lambda body: fields.read_name(body, "x"), "n_egg_0", "n_egg_0"),
    (lambda body: fields.read_text(body, "x", 3), "abc", "abc"),
    (lambda body: fields.read_text(body, "x", 3, "id"), "", "id"),
    (lambda body: fields.read_word(body, "x", ("a", "b"), None), "", None),
])
def test_a_field_is_read(read: Read, value: Any, found: Any) -> None:
    result = read({} if value is None else {"x": value})
    assert result == found and type(result) is type(found)
    if value is None:
        assert read({"x": None}) == found  # null is absent


@pytest.mark.parametrize("read, value, error", [
    (lambda body: fields.take(body, "x", str), None, "x is missing"),
    (lambda body: fields.take(body, "x", str), 5, "x must be a string, not 5"),
    (lambda body: fields.take(body, "x", int), True, "x must be a whole number, not True"),
    (lambda body: fields.take(body, "x", int), 1.0, "x must be a whole number, not 1.0"),
    (lambda body: fields.take(body, "x", bool), 1, "x must be true or false, not 1"),
    (lambda body: fields.take(body, "x", dict), [], "x must be an object, not []"),
    (lambda body: fields.check_object(body["x"]), [1], "a JSON object is needed, not [1]"),
    (lambda body: fields.check_whole(body["x"], "x", 1, 9), "5",
     "x must be a whole number from 1 to 9, not '5'"),
    (lambda body: fields.take_number(body, "x", high=9), 9.5, "x must be from 0 to 9, not 9.5"),
    (lambda body: fields.take_number(body, "x"), True, "x must be a number, not True"),
    (lambda body: fields.take_number(body, "x"), float("nan"), "x must be from 0 to 1e+10, not nan"),
    (lambda body: fields.take_id(body, "x"), 0, "x must be a positive whole number, not 0"),
    (lambda body: fields.take_id(body, "x"), fields.MAX_ID + 1,
     "a positive whole number, not 9007199254740992"),
    (lambda body: fields.take_id(body, "x"), True, "a positive whole number, not True"),
    (lambda body: fields.take_name(body, "x", limit=3), "abcd",
     "x must be 1 to 3 printable characters, not 'abcd'"),
    (lambda body: fields.take_name(body, "x"), "a\nb", "printable characters"),
    (lambda body: fields.take_word(body, "x", ("idle", "busy")), "odd", "x must be idle or busy, not 'odd'"),
    (lambda body: fields.take_word(body, "x", ("a", "b", "c")), 5, "x must be one of a, b, c, not 5"),
    (lambda body: fields.take_word(body, "x", ("a", "b", "c")), None, "x is missing"),
    (lambda body: fields.take_list(body, "x", 1, ": use y"), [1, 2], "x has 2 entries; at most 1: use y"),
    (lambda body: fields.read_whole(body, "x", 1, 50), "51", "x must be a whole number from 1 to 50, not 51"),
    (lambda body: fields.read_whole(body, "x", 1, 50), "1e1", "from 1 to 50, not '1e1'"),
    (lambda body: fields.read_whole(body, "x", 1, 50), "٣", "from 1 to 50, not '٣'"),
    (lambda body: fields.read_whole(body, "x", 1, 50), "", "x is missing"),
    (lambda body: fields.read_id(body, "x"), "-1", "x must be a positive whole number, not '-1'"),
    (lambda body: fields.read_id(body, "x"), "1" * 17, "x must be a positive whole number"),
    (lambda body: fields.read_ids(body, "x"), None, "x is missing"),
    (lambda body: fields.read_ids(body, "x"), "1,,2", "x must be a positive whole number, not ''"),
    (lambda body: fields.read_ids(body, "x"), ",".join(["1"] * (MAX_IDS + 1)),
     "x has 10001 entries; at most 10000"),
    (lambda body: fields.read_name(body, "x"), None, "x is missing"),
    (lambda body: fields.read_text(body, "x", 3), "abcd", "x has 4 characters; at most 3"),
    (lambda body: fields.read_word(body, "x", ("a", "b")), "c", "x must be a or b, not 'c'"),
    (lambda body: fields.read_word(body, "x", ("a", "b")), "", "x is missing"),
])
def test_a_field_that_is_wrong_is_told(read: Read, value: Any, error: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        read({} if value is None else {"x": value})
    assert error in str(raised.value)
