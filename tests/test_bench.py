"""Benchmarks run seldom, so this holds that each of them can: it is there with all that it imports, and takes
what `make bench` gives it."""

import importlib
import sys

import pytest

from tests.bench import run


@pytest.mark.parametrize("name", run.names())
def test_a_benchmark_tells_what_it_takes(name: str, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    bench = importlib.import_module("tests.bench.bench_" + name)
    monkeypatch.setattr(sys, "argv", ["bench_%s.py" % name, "--help"])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "--json FILE" in told and "write the rows here as well" in told
    assert ("--against DIRECTORY" in told) == (name in run.COMPARING)
