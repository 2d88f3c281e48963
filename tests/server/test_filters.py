"""The filter language: how it is read, and what the conditions made of it find."""

from typing import Callable, Iterator, List, Tuple

import pytest

from jd.protocol import ProtocolError
from jd.server.creation.batch import from_list
from jd.server.store.operators.batches import REPLACE_PENDING
from jd.server.store.search import conditions, filters, scanning, values
from jd.server.store.search.filters import Term, Value, parse
from tests.server.store_support import Desk

Found = Callable[[str], List[int]]


@pytest.mark.parametrize("text, terms", [
    ("", []),
    ("  \t ", []),
    ("adam", [Term("", "", (Value("adam"),))]),
    ("lr=0.1", [Term("lr", "=", (Value("0.1"),))]),
    ("a!=1 b<2 c<=3 d>4 e>=5", [Term(name, operator, (Value(value),)) for name, operator, value in (
        ("a", "!=", "1"), ("b", "<", "2"), ("c", "<=", "3"), ("d", ">", "4"), ("e", ">=", "5"))]),
    ('opt="a b"', [Term("opt", "=", (Value("a b", True),))]),
    (r'opt="a\"b\\c"', [Term("opt", "=", (Value('a"b\\c', True),))]),
    ('"x=1"', [Term("", "", (Value("x=1", True),))]),
    ('opt=""', [Term("opt", "=", (Value("", True),))]),
    ('status=DONE,ABORTED', [Term("status", "=", (Value("DONE"), Value("ABORTED")))]),
    ('opt="a,b",c', [Term("opt", "=", (Value("a,b", True), Value("c")))]),
    ("layers=[64,32]", [Term("layers", "=", (Value("[64,32]"),))]),
    ('layers="[64, 32]"', [Term("layers", "=", (Value("[64,32]", True),))]),
    ("finished>-1h", [Term("finished", ">", (Value("-1h"),))]),
    ("val/acc>0.5 p@5=1", [Term("val/acc", ">", (Value("0.5"),)), Term("p@5", "=", (Value("1"),))]),
    ("started>2026-01-31T12:30", [Term("started", ">", (Value("2026-01-31T12:30"),))]),
    ("acc > 0.95  opt = a,b", [
        Term("acc", ">", (Value("0.95"),)), Term("opt", "=", (Value("a"), Value("b")))]),
    ('message ~ "a b" x !~ y', [Term("message", "~", (Value("a b", True),)), Term("x", "!~", (Value("y"),))]),
    ("error=<path>", [Term("error", "=", (Value("<path>"),))]),
    ("in <module>", [Term("", "", (Value("in"),)), Term("", "", (Value("<module>"),))]),
    ("No file or directory", [Term("", "", (Value(word),)) for word in ("No", "file", "or", "directory")]),
    ('opt="=1" "or"', [Term("opt", "=", (Value("=1", True),)), Term("", "", (Value("or", True),))]),
])
def test_text_becomes_terms(text: str, terms: List[Term]) -> None:
    assert parse(text) == terms


@pytest.mark.parametrize("text, says", [
    ('a="b', "quote is not closed"),
    ("a=", "value is missing after a="),
    ("a=b,", "value is missing after a="),
    ("a= b", "value is missing after a="),
    ("a<1,2", "takes one value"),
    ('a=b"c"', "a blank is missing before"),
    ("x" * 501, "501 characters; at most 500"),
    (" ".join(["a"] * 21), "21 conditions; at most 20"),
    ("a=\0", "NUL"),
    ("acc >0.95", "'>0.95' in the filter has no name before it"),
    ("acc <", "'<' in the filter has no name"),
    ("acc => 0.95", "'=>' in the filter has no name"),
    ("acc==0.95", "operator too many"),
    ("loss<<3", "operator too many"),
    ("acc=>0.95", "operator too many"),
    ("acc>0.9 and loss<1", "'and' joins no conditions"),
    ("acc>0.9 OR loss<1", "'OR' joins no conditions"),
])
def test_what_cannot_be_read_is_refused_with_a_reason(text: str, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        parse(text)


@pytest.mark.parametrize("text, span", [
    ("1970-01-02", (86400.0, 172800.0)),
    ("1970-01-01T00:01", (60.0, 120.0)),
    ("1970-01-01 00:01", (60.0, 120.0)),
    ("1970-01-01T00:00:05Z", (5.0, 6.0)),
    ("-1h", (6400.0, 6400.0)),
    ("1h", (6400.0, 6400.0)),
    ("1.5m", (9910.0, 9910.0)),
])
def test_moments(text: str, span: Tuple[float, float]) -> None:
    assert filters.moment(text, 10_000.0) == span


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "1y", "", "12", "0001-01-01T00:00:00+01:00"])
def test_no_moments(text: str) -> None:
    with pytest.raises(ProtocolError, match="is no time"):
        filters.moment(text, 0.0)


# ---- what is found

JOBS = [
    {"lr": 0.1, "opt": "adam"},                      # 1
    {"lr": "0.10", "opt": "a b"},                    # 2
    {"lr": 1, "flag": True},                         # 3
    {"lr": 10, "flag": False},                       # 4
    {"lr": "2024-01-01", "flag": "True"},            # 5
    {"opt": None, "layers": [64, 32]},               # 6
    {"opt": "x=1 \"q\" \\ % _", "size": 9007199254740993},  # 7
    {"opt": "long" * 100, "param.z": 1, "status": "odd"},   # 8
    {"opt": "ünï", "both": 1},                       # 9
]
LONG = [{"seed": 1798406481619217041}, {"seed": 1798406481619217042}, {"seed": -1798406481619217041},
        {"seed": "-1798406481619217041"}, {"seed": 17984064816192170411},
        {"a": 1, "seed": 17984064816192170412}, {"seed": "17984064816192170411", "b": 2},
        {"seed": 1.0}, {"seed": 1}]


@pytest.fixture(params=["few", "many"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at few jobs at once, or step by step through an index."""
    if request.param == "many":
        monkeypatch.setattr(scanning, "FEW", -1)
        monkeypatch.setattr(scanning, "SCAN", 4)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The jobs, for questions that change nothing."""
    made = Desk(tmp_path_factory.mktemp("lasting"))
    made.add(from_list(JOBS))
    yield made
    made.database.close()


@pytest.fixture
def finds(way: None, lasting: Desk) -> Found:
    return lasting.found


@pytest.fixture
def found(way: None, desk: Desk) -> Found:
    """The same, of jobs that the test may change."""
    desk.add(from_list(JOBS))
    return desk.found


@pytest.mark.parametrize("text, ids", [
    ("", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("lr=0.1", [1, 2]),
    ("lr=1e-1", [1, 2]),
    ('lr="0.1"', [1, 2]),
    ("lr!=0.1", [3, 4, 5, 6, 7, 8, 9]),
    ("lr=0.1,10", [1, 2, 4]),
    ("lr!=0.1,10", [3, 5, 6, 7, 8, 9]),
    ("lr<1", [1, 2]),
    ("lr<=1", [1, 2, 3]),
    ("lr>0.1", [3, 4]),
    ("lr>=0.1", [1, 2, 3, 4]),
    ("lr>2023-01-01", [5]),
    ("lr=2024-01-01", [5]),
    ("lr=2024", []),
    ("lr=null", [6, 7, 8, 9]),
    ("lr!=null", [1, 2, 3, 4, 5]),
    ("lr=1,null", [3, 6, 7, 8, 9]),
    ('lr="null"', []),
    ("flag=true", [3, 5]),
    ("flag=false", [4]),
    ("flag=true,false", [3, 4, 5]),
    ("opt=null", [3, 4, 5, 6]),
    ("opt=adam", [1]),
    ("opt=ADAM", []),
    ('opt="a b"', [2]),
    ("opt>b", [7, 8, 9]),
    ("layers=[64,32]", [6]),
    ('layers="[64, 32]"', [6]),
    ("size=9007199254740993", [7]),
    ("size=9007199254740992", []),
    ("opt=" + "long" * 100, [8]),
    ("opt=" + "long" * 50, []),
    ("opt=" + "long" * 99 + "lonG", []),
    ("param.z=1", [8]),
    ("param.param.z=1", [8]),
    ("param.status=odd", [8]),
    ("param.lr=1", [3]),
    ("adam", [1]),
    ("ADAM", [1]),
    ('"a b"', [2]),
    ("%", [7]),
    ("_", [7]),
    ('"\\"q"', [7]),
    ("\\", [7]),
    ("ünï", [9]),
    ("id=3", [3]),
    ("id=3,5,99", [3, 5]),
    ("id!=3", [1, 2, 4, 5, 6, 7, 8, 9]),
    ("id>7", [8, 9]),
    ("id>=7.5 id<9", [8]),
    ("id<=2", [1, 2]),
    ("id<1e300", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("9007199254740993", [7]),
    ("status=PENDING", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("status=done,deleted", []),
    ("status=DONE status=PENDING", []),
    ("lr>0 lr<2 flag=true", [3]),
    ("attempts=0 priority=0 runtime=null", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("host=h", []),
    ("worker!=w id<3", [1, 2]),
    ("worker=null id<3", [1, 2]),
    ("'; DROP TABLE jobs; --", []),
])
def test_what_a_filter_finds(finds: Found, text: str, ids: List[int]) -> None:
    assert finds(text) == ids


@pytest.mark.parametrize("text, says", [
    ("nope=1", "there is no 'nope' to search or sort by; known: status, id, worker.*param.lr"),
    ("result.lr=1", "there is no 'result.lr'"),
    ("status=LOST", "status must be one of PENDING"),
    ("status<DONE", "with = and != only"),
    ("worker>a", "with = and != only"),
    ("id=x", "compared with a number"),
    ("id<x", "compared with a number"),
    ("runtime>x", "compared with a duration"),
    ("started>x", "is no time"),
    ("finished<null", "by = and != only"),
    ("lr<null", "by = and != only"),
    ("lr<true", "by = and != only"),
    ("x';--=1", "there is no"),
])
def test_a_filter_that_makes_no_sense_says_so(finds: Found, text: str, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        finds(text)


def test_half_a_surrogate_pair_in_json_is_found_nowhere(finds: Found) -> None:
    assert finds('lr=["\\ud800"]') == []


def test_a_long_list_of_names_is_cut(desk: Desk) -> None:
    desk.add(from_list([{"p%d" % number: 1} for number in range(100)]))
    with pytest.raises(ProtocolError, match="param.p14, .*…$") as caught:
        desk.read(lambda db: conditions.compiled(db, "nope=1", 0.0))
    assert len(str(caught.value)) < 600


def test_times_runtimes_workers_and_attempts(found: Found, desk: Desk) -> None:
    desk.beat("h1_abc_0", session="a", host="h1")
    desk.beat("h2_abc_0", session="b", host="h2")
    desk.now += 100
    desk.finish(1, runtime=90.0)
    assert found("status=DONE") == found("runtime=90") == found("runtime>1m") == [1]
    assert found("runtime<=1.5m") == [1] and found("runtime>1.5m") == []
    assert found("finished>-1m") == [1] and found("finished>0s") == []
    assert found("started>2m") == [1, 2] and found("started>1m") == []
    assert found("started=1970-01-12") == found("started!=null") == [1, 2]
    assert found("started<1970-01-12") == found("started>1970-01-12") == []
    assert found("started<=1970-01-12 started>=1970-01-12") == [1, 2]
    assert found("worker=h1_abc_0") == found("host=h1") == found("h1_abc") == [1]
    assert found("worker=h1_abc_0,h2_abc_0") == found("host=h1,h2") == found("attempts=1") == [1, 2]
    assert found("host!=h1 attempts>0") == found("status=served") == [2]
    assert found("worker!=h1_abc_0 worker!=null") == [2]


def test_a_bare_name_prefers_the_parameter_to_the_result(found: Found, desk: Desk) -> None:
    desk.write(lambda t: values.set_results(t, 1, {"lr": 5.0, "acc": 0.5}))
    assert found("result.lr=5") == found("result.lr>4") == found("acc=0.5") == [1]
    assert found("lr=5") == []
    assert found("result.acc=null id<3") == [2]


def test_deleted_jobs_are_found_when_the_status_is_named(found: Found, desk: Desk) -> None:
    desk.add(from_list([{"lr": 7}]), replace=REPLACE_PENDING)
    assert found("") == [10]
    assert found("lr<2") == []
    assert found("status=DELETED lr<2") == [1, 2, 3]
    assert found("status!=PENDING lr<2") == [1, 2, 3]


def test_the_sql_has_no_text_of_the_filter(desk: Desk) -> None:
    desk.add(from_list(JOBS))
    text = "secretword lr=secretword opt>secretword worker=secretword host=secretword layers=[secretword]"
    compiled = desk.read(lambda db: conditions.compiled(db, text, 0.0))
    pieces = [*compiled.conditions, *(arm for source in compiled.sources for arm in source.arms)]
    assert pieces and not any("secretword" in piece.text for piece in pieces)


@pytest.mark.parametrize("text, ids", [
    ("seed=1798406481619217041", [1]), ("seed!=1798406481619217041", [2, 3, 4, 5, 6, 7, 8, 9]),
    ("seed=-1798406481619217041", [3, 4]), ("seed>1798406481619217041 seed<1798406481619217043", [2]),
    # Beyond 64 bits, where SQLite has no whole numbers.
    ("seed=17984064816192170411", [5, 7]), ("seed=17984064816192170412", [6]),
    ("seed=17984064816192170413", []), ("seed!=17984064816192170411", [1, 2, 3, 4, 6, 8, 9]),
    ("seed=17984064816192170411,17984064816192170412,1798406481619217042", [2, 5, 6, 7]),
    ("seed=1.0", [8, 9]), ("1798406481619217042", [2]),
])
def test_numbers_are_found_to_the_last_digit(desk: Desk, text: str, ids: List[int]) -> None:
    desk.add(from_list(LONG))
    assert desk.read(lambda db: scanning.matching(
        db, conditions.compiled(db, text, desk.now), 0, 100)).ids == ids
