import json
import os
from pathlib import Path
from typing import Any, Dict, List, Union

import pytest

from jd import space
from jd.errors import UsageError
from jd.server.creation import jobfile
from jd.server.creation.batch import from_list


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
    '{"a": [1, 2], "b": "x"}',
    '{"parameters": {"a": [1, 2], "b": "x"}}',
    '{"a": 1, "b": "x"}\n\n{"a": 2, "b": "x"}',
])
def test_all_shapes_of_json(tmp_path: Path, content: Union[bytes, str]) -> None:
    assert jobs_of(write(tmp_path, "sweep.json", content)) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_a_grid_may_have_a_parameter_called_jobs(tmp_path: Path) -> None:
    assert jobs_of(write(tmp_path, "s.json", '{"jobs": [1, 2]}')) == [{"jobs": 1}, {"jobs": 2}]


def test_timeouts_beside_the_jobs_are_kept(tmp_path: Path) -> None:
    batch = jobfile.read(write(tmp_path, "s.json", '{"jobs": [{"a": 1}], "idle_timeout": 5}'))
    assert batch.terms.lease == 5


@pytest.mark.parametrize("name", ["s.jsonl", "s.ndjson"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n  {"a": [1, {"b": 2}], "c": "\xc3\xa4"}'
    assert jobs_of(write(tmp_path, name, content)) == [{"a": 1}, {"a": [1, {"b": 2}], "c": "\u00e4"}]
    assert jobs_of(write(tmp_path, name, '{"parameters": {"x": 1}}')) == [{"parameters": {"x": 1}}]


@pytest.mark.parametrize("value", ["adam", 3, 0.5, True, None])
def test_a_value_without_a_list_is_that_of_all_jobs(tmp_path: Path, value: Any) -> None:
    content = json.dumps({"lr": [1, 2], "seed": value})
    assert jobs_of(write(tmp_path, "s.json", content)) == [{"lr": 1, "seed": value}, {"lr": 2, "seed": value}]


def test_options_of_a_file(tmp_path: Path) -> None:
    batch = jobfile.read(write(tmp_path, "s.json", json.dumps(
        {"order": "random", "parameters": {"x": [0, 1, 2, 3, 4, 5]}, "seed": 1, "max_attempts": 5})))
    assert [json.loads(text)["x"] for text in batch.texts()] == [1, 2, 5, 3, 4, 0]
    assert batch.terms.max_attempts == 5


@pytest.mark.parametrize("name, separator", [("s.csv", ";"), ("s.csv", "\t"), ("s.tsv", ";"), ("s.csv", ","),
                                             ("s.tsv", ",")])
def test_what_separates_the_cells_is_seen_in_the_header(tmp_path: Path, name: str, separator: str) -> None:
    content = "lr|opt\n0.5|a\n\"[1, 2]\"|b\n".replace("|", separator)
    assert jobs_of(write(tmp_path, name, content)) == [{"lr": 0.5, "opt": "a"}, {"lr": [1, 2], "opt": "b"}]


def test_numbers_have_a_decimal_comma_where_semicolons_separate(tmp_path: Path) -> None:
    lines = ["lr;opt", "0,1;a", "-1,5e-3;0.5", "1,000,5;1.000,5", ",5;[1,2]"]
    assert jobs_of(write(tmp_path, "s.csv", "\r\n".join(lines))) == [
        {"lr": 0.1, "opt": "a"}, {"lr": -0.0015, "opt": 0.5}, {"lr": "1,000,5", "opt": "1.000,5"},
        {"lr": ",5", "opt": [1, 2]}]
    assert jobs_of(write(tmp_path, "s.tsv", "lr\topt\n0,1\ta")) == [{"lr": "0,1", "opt": "a"}]


def test_an_empty_cell_of_an_optional_column_is_no_parameter(tmp_path: Path) -> None:
    assert jobs_of(write(tmp_path, "s.csv", "a?,b ?,c\n1,,\n, ,x\n,2,\n")) == [
        {"a": 1, "c": ""}, {"c": "x"}, {"b": 2, "c": ""}]


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
    ("s.yaml", "", "YAML is not read"),
    ("s.json", "", "empty"),
    ("s.json", '{"a": [1,]}', "line 1 column"),
    ("s.json", '{"a":\n [NaN]}', "NaN"),
    ("s.json", '{"a": [1], "a": [2]}', "'a' is there twice"),
    ("s.json", '{"a": {"b": 1}}', "'a': a non-empty list"),
    ("s.json", '{"lr x": [1]}', "'lr x' cannot be a --flag"),
    ("s.json", '[{"a": 1}, 5]', r"jobs\[1\]"),
    ("s.json", "3", "an object or a list"),
    ("s.json", b"\xff\xfe", "UTF-8"),
    ("s.csv", "", "header line"),
    ("s.csv", "a,b\n", "there is no job"),
    ("s.csv", "a,a\n1,2\n", "column 'a' is there twice"),
    ("s.csv", "a,b\n1,2\n3\n", "line 3 has 1 cells, the header has 2"),
    ("s.csv", "a b\n1\n", "line 1, column 1: parameter name 'a b'"),
    ("s.csv", 'a\n"unclosed\n', "line"),
    ("s.tsv", b"a\tb\n1\t\xff\n", "line 2 is not UTF-8"),
    ("s.csv", "learning rate,opt\n0.1,a\n", "line 1, column 1: parameter name 'learning rate' cannot"),
    ("s.csv", "lr,name,\n0.1,a,\n", "line 1, column 3 has no name: a separator too many"),
    ("s.csv", ",lr\n0,0.1\n", "line 1, column 1 has no name: .*index=False"),
    ("s.csv", "lr,,opt\n0,0.1,a\n", "line 1, column 2 has no name: give it one"),
    ("s.csv", "lr,?\n0,0.1\n", "line 1, column 2 has no name"),
    ("s.csv", "lr,lr?\n0,0.1\n", "column 'lr' is there twice"),
    ("s.csv", "lr;help\n0;1\n", "line 1, column 2: parameter name 'help'"),
    ("s.yml", "lr: [1]", r"YAML is not read.*\n.*yaml.safe_load.* < \S*s.yml > \S*s.json"),
    ("s.json", "# a sweep\nparameters:\n  lr: [1, 2]\n", "YAML is not read"),
    ("s.json", "- lr: 1\n- lr: 2\n", "YAML is not read"),
    ("s.jsonl", "lr: 1\n", "YAML is not read"),
    ("s.json", '{"parameters": {"a": [1]}, "idle_timout": 5}',
     "'idle_timout' beside parameters is unknown: did you mean idle_timeout"),
    ("s.json", '{"jobs": [{"a": 1}], "comment": "x"}', "'comment' beside jobs is unknown: there can be"),
    ("s.json", '{"Parameters": {"a": [1]}}', "'Parameters' is an object: did you mean parameters"),
    ("s.json", '{"a": [1], "timeout": 5}', "'timeout' beside a grid can be an option or a parameter"),
    ("s.json", '{"parameters": {"a": [1]}, "seed": 5}', "seed is for"),
    ("s.jsonl", '{"a": 1}\n\n{"a": 1,}\n', "line 3: it is not JSON: .* at column [89]"),
    ("s.jsonl", '{"a": 1}\n[1]\n', "line 2: a non-empty object of parameters is needed"),
    ("s.jsonl", '{"a": 1}\n{"a": NaN}\n', "line 2: NaN"),
    ("s.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "line 2: it is not UTF-8"),
    ("s.jsonl", '{"a": 1}\n{"b c": 1}\n', "line 2: parameter name 'b c'"),
    ("s.jsonl", '{"a": 1}\n{"b c": 1}\n{"a":\n', "line 2: parameter name 'b c'"),
    ("s.jsonl", "", "jobs is empty"),
    ("s.json", '{"a": 1}\n{"a": 1} 5\n', "line 2: it is not JSON"),
])
def test_faults_are_named_with_their_place(tmp_path: Path, name: str, content: Union[bytes, str],
                                           says: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(UsageError, match="(?s)" + says) as caught:
        jobfile.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("cells, told", [
    (["x" * 70_000, "2", "3"], r"line 1204: the parameters of this job are \d+ bytes as JSON"),
    (["1", "2"], "line 1204 has 2 cells, the header has 3")])
def test_a_fault_among_many_lines_of_a_table_is_told_with_its_place(tmp_path: Path, cells: List[str],
                                                                    told: str) -> None:
    lines = [["a", "b", "c"]] + [["1", "0.5", "x"]] * 2000
    lines[1203] = cells
    lines[1207] = ["1", "2", "3", "4"]
    with pytest.raises(UsageError, match=told):
        jobfile.read(write(tmp_path, "s.csv", "\n".join(map(",".join, lines))))


def test_a_table_gives_the_jobs_that_a_list_gives(tmp_path: Path) -> None:
    cells = ["0.10", "-0", "1e3", "100%s", "%", "7", '"[1, {""b"": 2}]"', "true", "{}", "a\\b", "\u2603"]
    text = "".join("%s,%s\n" % (one, cells[n % 5]) for n, one in enumerate(cells * 100))
    batch = jobfile.read(write(tmp_path, "s.csv", "a,b\n" + text))
    listed = from_list([json.loads(text) for text in batch.texts()])
    assert list(batch.texts()) == list(listed.texts()) and batch.names == listed.names == ("a", "b")
    assert json.loads(list(batch.texts())[3]) == {"a": "100%s", "b": "100%s"}


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none.json: No such file"):
        jobfile.read(tmp_path / "none.json")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # without one an opener that does not look first waits for ever
    try:
        with pytest.raises(UsageError, match="sweep.jsonl: it is no file"):
            jobfile.size(path)
    finally:
        os.close(writer)


SPACE = '{"lr": {"low": 1e-5, "high": 0.1, "log": true}, "opt": {"values": ["adam", "sgd"]}, "epochs": 81}'


def test_a_space_is_sampled(tmp_path: Path) -> None:
    text = ('{"n": 4, "space": %s, "method": "halton", "seed": 2, "timeout": 60, "repeat": {"run": [1, 2]}}'
            % SPACE)
    path = write(tmp_path, "s.json", text)
    assert jobs_of(path) == list(space.jobs({
        "space": json.loads(SPACE), "n": 4, "seed": 2, "method": "halton", "repeat": {"run": [1, 2]}}))
    batch = jobfile.read(path)
    assert batch.total == 8 and batch.terms.timeout == 60 and batch.shuffled is None
    assert batch.digest() == jobfile.read(path).digest()
    shuffled = jobfile.read(write(tmp_path, "o.json", text.replace('"seed"', '"order": "random", "seed"')))
    assert sorted(shuffled.texts()) == sorted(batch.texts()) != list(shuffled.texts()) != list(batch.texts())


@pytest.mark.parametrize("text, told", [
    ('{"space": %s}' % SPACE, "n is missing"),
    ('{"space": %s, "n": 3, "methd": "grid"}' % SPACE, "'methd' beside space is unknown: did you mean"),
    ('{"space": %s, "n": 3, "lr": [1]}' % SPACE, "'lr' beside space is unknown: there can be n, seed"),
    ('{"space": %s, "n": 3, "jobs": [{"a": 1}]}' % SPACE, "exactly one of parameters"),
    ('{"space": %s, "n": 3, "parameters": {"a": 1}}' % SPACE, "exactly one of parameters"),
    ('{"spaces": %s, "n": 3}' % SPACE, "'spaces' is an object: did you mean space"),
    ('{"parameters": {"a": [1]}, "n": 3}', "'n' beside parameters is unknown"),
    ('{"space": {"a": "x\\u0000"}, "n": 1}', "job 0 of the space: parameter 'a': a NUL character"),
    ('{"space": {"a": [1]}, "method": "grid", "seed": 3}', 'seed is for "order": "random"'),
])
def test_a_mistake_in_a_space_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        jobfile.read(write(tmp_path, "s.json", text))


def test_a_grid_may_have_a_parameter_called_space(tmp_path: Path) -> None:
    assert jobs_of(write(tmp_path, "s.json", '{"space": [1, 2], "n": 5}')) == [
        {"space": 1, "n": 5}, {"space": 2, "n": 5}]


@pytest.mark.parametrize("fault, told", [
    ({"lr x": 1}, "parameter name 'lr x'"), ({"a": "\0"}, "a NUL character"), ({}, "a non-empty object"),
    ({"a": "x" * 70_000}, "bytes as JSON"), ({"a": "\ud800"}, "half a surrogate pair"), (5, "not 5")])
@pytest.mark.parametrize("name, place", [("s.json", r"jobs\[1203\]: "), ("s.jsonl", "line 1206: ")])
def test_a_fault_among_many_jobs_is_told_with_its_place(tmp_path: Path, fault: Any, told: str, name: str,
                                                        place: str) -> None:
    jobs = [json.dumps({"a": n}) for n in range(2000)]
    jobs[1203] = json.dumps(fault)
    text = "[%s]" % ", ".join(jobs) if name == "s.json" else "\n\n" + "\n".join(jobs)
    if "surrogate" in told:
        place = ""  # it is told with that of the character
    with pytest.raises(UsageError, match=place + ".*" + told):
        jobfile.read(write(tmp_path, name, text))


def test_a_fault_in_a_long_table_is_told_with_its_line(tmp_path: Path) -> None:
    lines = ["a,b"] + ["%d,x" % n for n in range(1200)] + [",\0"] + ["1,2"] * 900
    with pytest.raises(UsageError, match="line 1202"):
        jobfile.read(write(tmp_path, "s.csv", "\n".join(lines)))


def test_jobs_of_all_kinds_are_as_they_are_written(tmp_path: Path) -> None:
    some: List[Dict[str, Any]] = [{"n": 1, "x": 1.5, "t": True, "z": None}, {"big": 2 ** 70},
                                  {"text": "a}, {b: \u00e4 \\ \" \n"}, {"layers": [64, [32]]},
                                  {"o": {"k": [{"v": 1}]}}]
    jobs = [dict(some[n % len(some)], n=n) for n in range(3000)]
    jobs += [{"plain": n} for n in range(3000)]
    for ascii_only in (False, True):
        lines = [json.dumps(job, ensure_ascii=ascii_only) for job in jobs]
        for name, text in (("s.json", "[%s]" % ",\n".join(lines)), ("s.jsonl", "\n".join(lines)),
                           ("s.jsonl", "\r\n \n".join(lines) + "\n")):
            texts = list(jobfile.read(write(tmp_path, name, text)).texts())
            assert texts == [json.dumps(job, ensure_ascii=False) for job in jobs]


@pytest.mark.parametrize("first, second", [('{"a": 1', '"b": 2}'), ('{"a": "1', '"}'), ('{"a": [1', '2]}')])
def test_an_object_in_two_lines_is_a_fault(tmp_path: Path, first: str, second: str) -> None:
    lines = ['{"a": 1}'] * 50 + [first, second, '{"a": 1}, {"b": 2}'] + ['{"a": 1}'] * 50
    with pytest.raises(UsageError, match="line 51: it is not JSON"):
        jobfile.read(write(tmp_path, "s.jsonl", "\n".join(lines)))


def test_two_objects_in_a_line_are_a_fault(tmp_path: Path) -> None:
    lines = ['{"a": 1}'] * 50 + ['{"a": 1}, {"b": 2}', '{"a": [{}', '{}]}'] + ['{"a": 1}'] * 50
    with pytest.raises(UsageError, match="line 51: it is not JSON: Extra data at column 9"):
        jobfile.read(write(tmp_path, "s.jsonl", "\n".join(lines)))
