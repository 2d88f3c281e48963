from __future__ import annotations

import pickle
import typing

import pytest

from jd.shape import NamedTuple, Shape


class Place(Shape):
    _SECRET = ("token",)
    _BESIDE = ("hint",)

    def __init__(self, url: str, token: str = "", hint: str = "") -> None:
        self.url = url
        self.token = token
        self.hint = hint


class Other(Place):
    pass


def test_equal_are_those_with_equal_values() -> None:
    place = Place("u", "t", "h")
    assert place == Place("u", "t", "another") and hash(place) == hash(Place("u", "t"))
    assert place != Place("u", "x", "h") and place != Other("u", "t", "h") and place != "u"


def test_secrets_are_not_shown() -> None:
    assert repr(Place("u", "secret", "h")) == "Place(url='u', hint='h')"


def test_the_same_but_for_a_value() -> None:
    place = Place("u", "t", "h")
    changed = place.but(url="v")
    assert (changed.url, changed.token, changed.hint, place.url) == ("v", "t", "h", "u")


class Mark(NamedTuple):
    """A place in a text."""

    line: int
    column: int = 1
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return "%d:%d" % (self.line, self.column)

    def after(self, columns: int) -> Mark:
        return self._replace(column=self.column + columns)


class Known(typing.NamedTuple):
    """A place in a text."""

    line: int
    column: int = 1
    labels: tuple[str, ...] = ()


def test_a_tuple_with_names_is_what_typing_makes_of_it() -> None:
    mark, known = Mark(4, labels=("a",)), Known(4, labels=("a",))
    assert tuple(mark) == tuple(known)
    assert (mark._asdict(), Mark._fields, Mark._field_defaults) == (
        known._asdict(), Known._fields, Known._field_defaults)
    assert repr(mark) == repr(known).replace("Known", "Mark")
    for name in ("__doc__", "__module__", "__mro__"):
        assert str(getattr(Mark, name)) == str(getattr(Known, name)).replace("Known", "Mark")
    assert pickle.loads(pickle.dumps(mark)) == mark
    with pytest.raises(TypeError, match="line"):
        Mark()  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        mark.line = 5  # type: ignore[misc]


def test_a_tuple_with_names_has_the_methods_of_its_class() -> None:
    assert Mark(4).after(2) == Mark(4, 3) and Mark(4).shown == "4:1"
