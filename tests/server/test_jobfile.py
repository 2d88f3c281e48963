import json
from pathlib import Path
from typing import Any, Dict, List, Union

import pytest

from jd.errors import UsageError
from jd.server.creation import jobfile


def jobs_of(path: Path) -> List[Dict[str, Any]]:
    return [json.loads(text) for text in jobfile.read(path).texts()]


def write(tmp_path: Path, name: str, content: Union[bytes, str]) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", [
    '{"a": [1, 2], "b": ["x"]}',
    '{"parameters": {"a": [1, 2], "b": ["x"]}}',
    '[{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]',
    '{"jobs": [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]}',
    b'\xef\xbb\xbf{"a": [1, 2], "b": ["x"]}',
])
def test_all_shapes_of_json(tmp_path: Path, content: Union[bytes, str]) -> None:
    assert jobs_of(write(tmp_path, "sweep.json", content)) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_a_grid_may_have_a_parameter_called_jobs(tmp_path: Path) -> None:
    assert jobs_of(write(tmp_path, "s.json", '{"jobs": [1, 2]}')) == [{"jobs": 1}, {"jobs": 2}]


def test_timeouts_beside_the_jobs_are_kept(tmp_path: Path) -> None:
    batch = jobfile.read(write(tmp_path, "s.json", '{"jobs": [{"a": 1}], "idle_timeout": 5}'))
    assert batch.terms.lease == 5


@pytest.mark.parametrize("name, separator", [("s.csv", ","), ("s.TSV", "\t")])
def test_tables_with_typed_cells(tmp_path: Path, name: str, separator: str) -> None:
    lines = [["lr", "name", "flag", "note", "none"],
             ["0.1", "adam", "true", "1e-3x", "null"], [], ["3", "007", "False", "", "-0.5"]]
    content = "\r\n".join(separator.join(cells) for cells in lines)
    assert jobs_of(write(tmp_path, name, content)) == [
        {"lr": 0.1, "name": "adam", "flag": True, "note": "1e-3x", "none": None},
        {"lr": 3, "name": "007", "flag": "False", "note": "", "none": -0.5}]


def test_quoted_cells(tmp_path: Path) -> None:
    content = 'layers,text\n"[64, 32]","say ""hi"",\nthen go"\n'
    assert jobs_of(write(tmp_path, "s.csv", content)) == [
        {"layers": [64, 32], "text": 'say "hi",\nthen go'}]


@pytest.mark.parametrize("name, content, says", [
    ("s.yaml", "", "must end in .json, .csv or .tsv"),
    ("s.json", "", "empty"),
    ("s.json", '{"a": [1,]}', "line 1 column"),
    ("s.json", '{"a":\n [NaN]}', "NaN"),
    ("s.json", '{"a": [1], "a": [2]}', "'a' is there twice"),
    ("s.json", '{"a": 1}', "'a': a non-empty list"),
    ("s.json", '{"lr x": [1]}', "'lr x' cannot be a --flag"),
    ("s.json", '[{"a": 1}, 5]', r"jobs\[1\]"),
    ("s.json", "3", "an object or a list"),
    ("s.json", b"\xff\xfe", "UTF-8"),
    ("s.csv", "", "header line"),
    ("s.csv", "a,b\n", "there is no job"),
    ("s.csv", "a,a\n1,2\n", "column 'a' is there twice"),
    ("s.csv", "a,b\n1,2\n3\n", "line 3 has 1 cells, the header has 2"),
    ("s.csv", "a b\n1\n", "line 2: parameter name 'a b'"),
    ("s.csv", 'a\n"unclosed\n', "line"),
    ("s.tsv", b"a\tb\n1\t\xff\n", "line 2 is not UTF-8"),
])
def test_faults_are_named_with_their_place(tmp_path: Path, name: str, content: Union[bytes, str],
                                           says: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(UsageError, match=says) as caught:
        jobfile.read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none.json: No such file"):
        jobfile.read(tmp_path / "none.json")
