"""Jobs as people and programs write them. `jd/server/creation`, `jd/space.py`, `jd/sweep/source.py`."""

import csv
import io
import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Tuple

from jd import space
from jd.errors import JdError
from jd.protocol import ProtocolError
from jd.server.creation import createrequest, jobtext
from jd.server.creation.batch import OPTIONS
from jd.sweep import source as sweep_source
from jd.worker.attempt.calling import flags, hydra
from jd.worker.attempt.calling.placeholders import _filled
from tests.fuzz.material import Source, utf8
from tests.fuzz.properties import Property, outcome, refused

MOST = 3000  # jobs of an input that are looked at


def _range(source: Source) -> Dict[str, Any]:
    found: Dict[str, Any] = {"low": source.one(0.1, 1, 1e-5, 2), "high": source.one(3, 10, 100.5, 2**40)}
    if source.chance(0.3):
        found["log"] = source.one(True, False, None)
    if source.chance(0.1):
        found[source.one("low", "high")] = source.one(0, -1, 1e300, 10**400, "1", source.value(1))
    return found


def _space(source: Source) -> Dict[str, Any]:
    names: Dict[str, Any] = {}
    for at in range(1 + source.few(4)):
        names["abcde"[at] if source.chance(0.9) else source.key()] = source.one(
            _range(source),
            _range(source),
            {"values": [1, 2, "x"]},
            ["p", "q", None],
            source.value(1) if source.chance(0.2) else 5,
            {"values": source.several(lambda: source.value(1), 5)} if source.chance(0.2) else [1, 2],
            {"low": 1, "high": 4, "when": {source.one("a", "b", "c"): source.one(1, [1, 2], "p", [])}},
        )
    return names


def _body(source: Source) -> Any:
    kind = source.below(5)
    body: Dict[str, Any] = {}
    if kind == 0:
        body = {
            "parameters": {
                source.key(): source.one(
                    [1, 2, 3], source.several(lambda: source.value(1), 5), source.value(2)
                )
                for _ in range(source.few(4))
            }
        }
    elif kind == 1:
        body = {
            "jobs": source.several(lambda: {source.key(): source.value(2) for _ in range(source.few(4))}, 5)
        }
    elif kind == 2:
        body = {
            "space": _space(source),
            "n": source.one(1, 5, 1000, None, 10**7),
            "method": source.one("random", "halton", "grid", None, "x"),
            "repeat": source.one(None, None, 2, {"run": [1, 2]}, {"run": []}, 0),
        }
    elif kind == 3:
        return source.value(4)
    else:
        body = {source.key(): source.one([1, 2], source.value(2)) for _ in range(source.few(4))}
    others = (*OPTIONS, "replace", "unique", "file", "format", "text")
    for name in source.several(lambda: source.of(others), 3):
        body[name] = source.one(
            source.value(1), 1, 5.0, "random", "pending", True, [1, 2], ["gpu"], "csv", "a,b\n1,2"
        )
    return body


def make_text(source: Source) -> Tuple[str, bytes]:
    """A format, and a text that may be in it."""
    form = source.of(jobtext.FORMATS)
    kind = form if source.chance(0.85) else source.of(jobtext.FORMATS)
    if kind == jobtext.JSON:
        text = source.json(_body(source))
    elif kind in jobtext.LINES:
        text = "\n".join(
            source.several(
                lambda: source.json({source.key(): source.value(1) for _ in range(1 + source.few(3))}), 6
            )
        )
    else:
        written = io.StringIO()
        table = csv.writer(
            written, delimiter=source.one(",", "\t", ";"), lineterminator=source.one("\n", "\r\n", "\r")
        )
        columns = 1 + source.few(4)
        table.writerow([source.one(source.word(), source.text(2), "lr?") for _ in range(columns)])
        for _ in range(source.few(6)):
            table.writerow(
                [
                    source.one(source.number()[:400], source.text(3), "", "0,5", "[1, 2]", '"a"')
                    for _ in range(columns + (source.chance(0.03)))
                ]
            )
        text = written.getvalue()
    if source.chance(0.01):
        text = source.one(
            source.nested(), "a: 1\n- b", "---\n", source.long(70_000), "a\n" + source.long(140_000)
        )
    data = source.maybe_bytes(utf8(source.maybe(text, 0.25)), 0.15)
    return form, source.one(b"", b"", b"", b"\xef\xbb\xbf") + data


def _check_batch(batch: Any) -> None:
    """Every job of a batch is one that a worker can be given."""
    assert batch.total >= 1
    for count, text in enumerate(batch.texts()):
        if count >= MOST:
            break
        parameters = json.loads(text)
        assert parameters and len(text.encode("utf-8")) <= 64 * 1024
        if count < 5:
            for style in ("json", "switches", "python", "hydra", "env", "none"):
                outcome(partial(flags.words, style, parameters), ProtocolError)
                outcome(partial(flags.variables, style, parameters), ProtocolError)
            _filled(parameters, {"job_dir": "/j", "job_id": "1", "attempt": "1", "exp_id": "e"})
    batch.digest()


def check_text(given: Tuple[str, bytes]) -> None:
    """Jobs, or ProtocolError; another server makes the same jobs of them."""
    form, data = given
    batch = outcome(lambda: jobtext.parse(io.BytesIO(data), form), ProtocolError)
    if refused(batch):
        return
    _check_batch(batch)
    if batch.total <= MOST:
        again = createrequest.read(io.BytesIO(createrequest.body_of(batch, "sweep.json")))
        assert list(again.batch.texts()) == list(batch.texts())
        assert again.batch.terms == batch.terms, (again.batch.terms, batch.terms)


def make_request(source: Source) -> bytes:
    """The body of a request to create jobs."""
    text = source.json(_body(source))
    if source.chance(0.01):
        text = '{"jobs": [%s]}' % ", ".join(['{"a": 1}'] * source.one(10, 3000))
    return source.maybe_bytes(utf8(source.maybe(text, 0.2)), 0.1)


def check_request(data: bytes) -> None:
    """An order, or ProtocolError; so for programs and for the form of the dashboard."""
    order = outcome(lambda: createrequest.read(io.BytesIO(data)), ProtocolError)
    if not refused(order):
        _check_batch(order.batch)
    form = outcome(
        lambda: createrequest.read_form(io.BytesIO(data), Path(tempfile.gettempdir())), ProtocolError
    )
    if not refused(form):
        _check_batch(form.batch)
    if not refused(order) and b'"text"' not in data:
        assert not refused(form) and list(form.batch.texts()) == list(order.batch.texts())


def make_space(source: Source) -> Dict[str, Any]:
    """A space with what stands beside it."""
    given: Dict[str, Any] = {"space": _space(source), "n": source.one(1, 2, 7, 500)}
    given["seed"] = source.one(None, 0, 1, 2**53 - 1)
    given["method"] = source.one("random", "halton", "grid", None)
    given["repeat"] = source.one(None, None, 3, {"run": [1, "a"]})
    odd = {
        "space": source.value(2),
        "n": source.one(0, -1, 2**70, "5", None),
        "seed": source.one(2**53, 2**80, True),
        "method": "x",
        "repeat": source.one({}, [], {"run": source.several(lambda: source.value(1), 3)}),
    }
    for name, value in odd.items():
        if source.chance(0.05):
            given[name] = value
    return given


def check_space(given: Dict[str, Any]) -> None:
    """Different jobs that the space allows, or ProtocolError."""
    if given.get("method") == "grid":
        given = {name: value for name, value in given.items() if name != "n"}

    def taken() -> List[Dict[str, Any]]:
        found = []
        for job in space.jobs(given):
            found.append(job)
            if len(found) >= MOST:
                break
        return found

    jobs = outcome(taken, ProtocolError)
    if not refused(jobs):
        texts = [json.dumps(job, allow_nan=False, sort_keys=True) for job in jobs]
        assert len(set(texts)) == len(texts), "a job is there twice"
        assert all(
            set(job) - {"seed", "run"}
            <= set(given["space"])
            | set(given.get("repeat") or {} if isinstance(given.get("repeat"), dict) else {})
            for job in jobs
        )


def make_parameter(source: Source) -> Tuple[str, Any]:
    """A parameter."""
    return source.one(source.word(), source.key()), source.value(3)


def check_parameter(given: Tuple[str, Any]) -> None:
    """It becomes words that say the same, or ProtocolError."""
    name, value = given
    words = outcome(lambda: flags.words("json", {name: value}), ProtocolError)
    if not refused(words):
        text = " ".join(words).partition("=" if len(words) == 1 else " ")[2]
        assert text == value if isinstance(value, str) else json.loads(text) == value
    outcome(lambda: hydra.override(name, value), ProtocolError)


def make_sweep_file(source: Source) -> Tuple[str, bytes]:
    """A jobs file of a program that drives a sweep."""
    form, data = make_text(source)
    return source.one(".json", ".csv", ".tsv", ".tab") if source.chance(0.5) else "." + form, data


def check_sweep_file(given: Tuple[str, bytes]) -> None:
    """A body, or a JdError that names the file."""
    suffix, data = given
    handle, name = tempfile.mkstemp(suffix=suffix)
    try:
        with open(handle, "wb") as file:
            file.write(data)
        found = outcome(lambda: sweep_source._of_file(Path(name)), JdError)
        assert name in found[2] if refused(found) else isinstance(found, dict)
    finally:
        os.unlink(name)


PROPERTIES = (
    Property(
        "jobs-file",
        make_text,
        check_text,
        (
            ("csv", b""),
            ("csv", b"a,a\n1,2"),
            ("csv", b'a\n"'),
            ("csv", b"a\n\0"),
            ("json", b'{"a": [[1]]}'),
            ("tsv", b"a\tb\n1"),
            ("json", b"- a"),
            ("jsonl", b'{"a": 1}\n{"a"'),
            ("csv", b'a\n"%s"' % (b"x" * 140_000)),
            ("json", b"[" * 70_000),
            ("csv", b"a\n" + b"[" * 50_000),
        ),
        weight=30,
    ),
    Property(
        "create-request",
        make_request,
        check_request,
        (
            b'{"jobs": [{"a": "\\u0000"}]}',
            b'{"parameters": {"a": [1]}, "after": [0]}',
            b'{"text": "a,b\\n1,2", "format": "csv"}',
            b'{"parameters": {"a": %s}}' % json.dumps(list(range(2000))).encode(),
        ),
        weight=25,
    ),
    Property("space", make_space, check_space, weight=20),
    Property("parameter", make_parameter, check_parameter, weight=50),
    Property(
        "sweep-file",
        make_sweep_file,
        check_sweep_file,
        ((".json", b"[]"), (".json", b"9" * 5000), (".csv", b"a\n\0")),
        weight=10,
    ),
)
