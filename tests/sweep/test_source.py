"""What create_jobs makes of what it is given: the bodies that published clients send."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd.sweep import source


class Array:
    """As NumPy's: not JSON, and it can become a list."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values


@pytest.mark.parametrize("given, body", [
    ({"x": [1, 2], "y": ["a"]}, {"parameters": {"x": [1, 2], "y": ["a"]}}),
    ({"x": [1, 2], "y": 3}, {"jobs": [{"x": [1, 2], "y": 3}]}),
    ({"x": [1, 2], "y": []}, {"jobs": [{"x": [1, 2], "y": []}]}),
    ({"x": (1, 2)}, {"jobs": [{"x": (1, 2)}]}),
    ({"x": 1}, {"jobs": [{"x": 1}]}),
    ({}, {"jobs": [{}]}),
    ([{"x": 1}, {"x": 2}], {"jobs": [{"x": 1}, {"x": 2}]}),
    ({"jobs": [{"x": 1}], "seed": 4}, {"jobs": [{"x": 1}], "seed": 4}),
    ({"parameters": {"x": [1], "y": 2}}, {"parameters": {"x": [1], "y": 2}}),
    ({"x": range(3), "y": Array([0.5])}, {"parameters": {"x": [0, 1, 2], "y": [0.5]}}),
])
def test_dicts_and_lists(given: Any, body: Dict[str, Any]) -> None:
    assert source.read(given) == body


@pytest.mark.parametrize("given, kind, told", [
    ([], ValueError, "empty"),
    ({"jobs": [], "parameters": {}}, ValueError, "exactly one"),
    (({"x": 1},), TypeError, "tuple"),
    (None, TypeError, "NoneType"),
    (iter([{"x": 1}]), TypeError, "iterator"),
])
def test_what_is_neither(given: Any, kind: Any, told: str) -> None:
    with pytest.raises(kind, match=told):
        source.read(given)


@pytest.mark.parametrize("name, text, jobs", [
    ("a.csv", "lr,name\n0.1, a \n\n , \n5\n", [{"lr": "0.1", "name": "a"}, {"lr": "5", "name": ""}]),
    ("a.CSV", "\ufefflr, ,n\n1,2,3,4\n", [{"lr": "1", "n": "3"}]),
    ("a.tsv", "lr\tn\ntrue\t\"a\nb\"\n", [{"lr": "true", "n": "a\nb"}]),
    ("a.tab", "lr\tn\r\n1,5\t[2]\r\n", [{"lr": "1,5", "n": "[2]"}]),
])
def test_cells_of_a_table_are_text(tmp_path: Path, name: str, text: str, jobs: List[Dict[str, str]]) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert source.read(tmp_path / name) == {"jobs": jobs}
    assert source.read(str(tmp_path / name)) == {"jobs": jobs}


def test_files_of_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jobs.json"
    for value, body in (([{"x": 1}], {"jobs": [{"x": 1}]}), ({"x": [1, 2]}, {"parameters": {"x": [1, 2]}}),
                        ({"parameters": {"x": [1]}}, {"parameters": {"x": [1]}})):
        path.write_text(json.dumps(value))
        assert source.read(path) == body
    monkeypatch.setenv("HOME", str(tmp_path))
    assert source.read("~/jobs.json") == body


@pytest.mark.parametrize("name, text, kind, told", [
    ("a.json", "[]", ValueError, "non-empty list"),
    ("a.json", "3", ValueError, "non-empty list"),
    ("a.json", "{", ValueError, "no JSON"),
    ("a.yaml", "x: 1", ValueError, ".json, .jsonl, .csv, .tsv or .tab"),
    ("a.jsonl", '{"x": 1}\n\n[2]\n', ValueError, "line 3: a non-empty object"),
    ("a.jsonl", '{"x": 1}\n{"x"\n', ValueError, "line 2 is no JSON"),
    ("a.jsonl", "\n", ValueError, "no job"),
    ("a.json", '{"space": {"x": [1]}, "n": 10000000}', ValueError, "n must be"),
    ("a.csv", "", ValueError, "first line"),
    ("a.csv", " , \n1,2\n", ValueError, "first line"),
    ("a.csv", "x,y\n,\n", ValueError, "no job"),
    ("a.csv", None, FileNotFoundError, "no jobs file"),
    ("a.yaml", None, FileNotFoundError, "no jobs file"),
])
def test_files_of_which_no_jobs_can_be_made(tmp_path: Path, name: str, text: Any, kind: Any,
                                            told: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(kind, match=told) as error:
        source.read(tmp_path / name)
    assert name in str(error.value)


def test_what_is_no_json_becomes_it_or_is_named() -> None:
    body = source.encoded({"jobs": [{"x": Array(0.5), "p": Path("/data"), "r": [range(2)]}]})
    assert json.loads(body) == {"jobs": [{"x": 0.5, "p": "/data", "r": [[0, 1]]}]}
    with pytest.raises(ValueError, match=r"jobs\[1\]: parameter 'lr': nan cannot .* NaN"):
        source.encoded({"jobs": [{"x": 1}, {"x": 1, "lr": float("nan")}]})
    with pytest.raises(ValueError, match="parameter 'f': .<function"):
        source.encoded({"parameters": {"x": [1], "f": [test_dicts_and_lists]}})
