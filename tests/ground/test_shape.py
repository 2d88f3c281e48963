from jd.shape import Shape


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
