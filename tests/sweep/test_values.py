"""Values of parameters that somebody has typed."""

import pytest

from jd.sweep import values
from jd.sweep.errors import BadValue


def test_values_with_commas_between_them() -> None:
    assert values.listed('1, 0.5,adam, "a,b",true') == [1, 0.5, "adam", "a,b", True]


@pytest.mark.parametrize("text", ["a\nb", "x" * 200_000], ids=["lines", "long"])
def test_what_is_no_list_of_values_says_so(text: str) -> None:
    with pytest.raises(BadValue, match="is no list of values"):
        values.listed(text)
