"""Rows of a registry in which another client, or damage, has put anything."""

import pytest

from jd.worker.local import rows


@pytest.mark.parametrize("value", [float("inf"), None, "[" * 50_000, b"\xff", -1, 2 ** 63 - 1, ""], ids=repr)
def test_any_value_in_any_column_is_a_row(value: object) -> None:
    row = rows.row_of([value] * len(rows._COLUMNS))
    assert row.config == {} and row.tags == () and row.server == "" and row.slot == 0
