"""The paths of fetched files: a list to look at, and small."""

import tracemalloc
from pathlib import Path

from jd.sweep.fetched import Fetched


def test_it_is_a_sequence_of_paths_in_order() -> None:
    found = Fetched(Path("/d"))
    assert not found and repr(found) == "[]" and found == []
    found.add(10, ["result.json"])
    found.add(9, ["sub/b.json", "result.json"])
    found.add(11, [])
    found.sort()
    expected = [Path("/d/9/result.json"), Path("/d/9/sub/b.json"), Path("/d/10/result.json")]
    assert list(found) == expected == found and found[1:] == expected[1:] and found[-1] == expected[-1]
    assert len(found) == 3 and expected[2] in found and repr(found) == repr(expected)
    found.add(12, ["x"])
    assert repr(found).endswith(", … 4 files]")


def test_a_hundred_thousand_take_a_few_bytes_each() -> None:
    tracemalloc.start()
    try:
        found = Fetched(Path("/some/long/directory/somewhere"))
        for job_id in range(100_000):
            found.add(job_id, ["result.json"])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000
