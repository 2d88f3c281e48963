"""From a command line to its command: what is checked, cleaned up, and said first."""

import importlib
import types
from pathlib import Path
from typing import Dict, List

import pytest

from jd import errors, paths
from jd.cli import main
from jd.cli.commandline import CommandLine
from jd.cli.context import Context
from jd.errors import StorageError, UsageError
from jd.node.identity import Here
from jd.worker.local import caches, cleanup
from jd.worker.local.registry import Registry
from tests.support import free_env


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dict[str, str]:
    monkeypatch.setattr(main, "_swept", False)
    monkeypatch.setattr(main, "_said", set())
    return free_env(tmp_path)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> List[Context]:
    """Commands are noted here instead of being run."""
    contexts: List[Context] = []

    def run(context: Context) -> int:
        contexts.append(context)
        return 0
    monkeypatch.setattr(importlib, "import_module", lambda name: types.SimpleNamespace(run=run))
    return contexts


def refused(environ: Dict[str, str], *words: str) -> str:
    with pytest.raises(UsageError) as caught:
        main.main(list(words), environ)
    return str(caught.value)


# ---- which command

@pytest.mark.parametrize("words, name", [
    ([], "interactive"), (["-i"], "interactive"), (["-i", "expId=a"], "interactive"),
    (["api_key=jd_x"], "interactive"), (["expId=a", "entry_script=x.py"], "run"),
    (["run", "expId=a"], "run"), (["expId=a", "stop", "all"], "stop"), (["-V"], "version"),
])
def test_the_command_of_a_line(words: List[str], name: str, environ: Dict[str, str],
                               ran: List[Context]) -> None:
    assert main.main(words, environ) == 0
    assert [context.command.name for context in ran] == [name]


# ---- values

def test_values_are_checked_before_anything_happens(environ: Dict[str, str], ran: List[Context],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "sweep_once", lambda environ: pytest.fail("it began"))
    for words, said in (
            (["expId=a", "scale", "num_workers=many"], "num_workers=: 'many' is not allowed"),
            (["expId=a", "scale", "num_workers=1.5"], "num_workers="),
            (["expId=a", "worker-list", "json=maybe"], "json=: 'maybe' is not allowed"),
            (["expId=a", "stop", "job=0"], "job="), (["expId=a/b", "where"], "expId="),
            (["expId=", "where"], "expId="), (["health", "port=99999"], "port=")):
        assert said in refused(environ, *words)
    assert ran == []


@pytest.mark.parametrize("value, expected", [("true", True), ("1", True), ("YES", True),
                                             ("false", False), ("0", False), ("no", False)])
def test_words_for_yes_and_no(value: str, expected: bool, environ: Dict[str, str],
                              ran: List[Context]) -> None:
    main.main(["exp-list", "json=" + value], environ)
    assert ran[0].values["json"] is expected


def test_an_experiment_that_is_missing(environ: Dict[str, str], ran: List[Context]) -> None:
    message = refused(environ, "worker-list")
    assert "expId= is missing; usage: jd_worker_cli expId=<name> worker-list" in message
    assert "JD_EXP_ID" in message
    assert main.main(["worker-list"], dict(environ, JD_EXP_ID="a")) == 0
    assert ran[0].experiment == "a"
    main.main(["worker-list", "expId=b"], dict(environ, JD_EXP_ID="a"))
    assert ran[1].experiment == "b"


def test_an_experiment_is_lower_case_with_a_word(environ: Dict[str, str], ran: List[Context], tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # in one session it is said once
        main.main(["expId=Demo", "worker-list"], environ)
        assert ran[-1].experiment == "demo"
    assert capsys.readouterr().err == "note: expId=: Demo is the experiment demo, names are in lower case\n"
    main.main(["worker-list"], dict(environ, JD_EXP_ID="demo"))
    assert capsys.readouterr().err == ""


def test_a_key_without_a_use_is_named_and_not_shown(environ: Dict[str, str], ran: List[Context],
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["worker-list", "expId=a", "server=here", "api_key=jd_secret"], environ)
    assert capsys.readouterr().err == ("note: worker-list has no use for server=, api_key=: workers keep the "
                                       "server that they were started with\n")
    assert ran[0].arguments == {"expId": "a"}


def test_a_registry_of_an_upper_case_name_is_named(environ: Dict[str, str], ran: List[Context],
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    Registry("Demo", environ).reserve([0], {}, Here(), 0.0)
    main.main(["worker-list", "expId=demo"], environ)
    said = capsys.readouterr().err
    cache = paths.cache_root(environ) / ".cache"
    assert said.startswith("warning: %s is of an earlier version, no command of demo" % (cache / "Demo"))
    assert said.endswith("then mv %s %s\n" % (cache / "Demo", cache / "demo"))
    Registry("demo", environ).reserve([0], {}, Here(), 0.0)
    main.main(["worker-list", "expId=demo"], environ)
    assert "move what is in its outbox" in capsys.readouterr().err
    main.main(["worker-list", "expId=other"], environ)
    assert capsys.readouterr().err == ""


def test_words_are_counted(environ: Dict[str, str]) -> None:
    def context(*words: str) -> Context:
        return Context(CommandLine("worker-logs", words, {"expId": "a"}), environ)

    assert context("egg_0").words_exactly(1) == ("egg_0",)
    with pytest.raises(UsageError, match="worker-logs needs <worker-id>; usage: jd_worker_cli"):
        context().words_exactly(1)
    with pytest.raises(UsageError, match="did you mean follow=true"):
        context("egg_0", "follow").words_exactly(1)


def test_a_worker_that_is_not_there(environ: Dict[str, str]) -> None:
    here = Here("gpunode")
    context = Context(CommandLine("worker-status", ("x",), {"expId": "a"}), environ, here)
    with pytest.raises(UsageError, match="no worker 'x' of experiment a here; none is running"):
        context.worker()
    (name,) = context.registry.reserve([0], {}, here, 0.0)
    with pytest.raises(UsageError, match="running: " + name):
        context.worker()
    assert Context(CommandLine("worker-status", (name,), {"expId": "a"}), environ,
                   here).worker().worker_id == name


def test_the_server_is_the_one_given_else_that_of_the_workers(environ: Dict[str, str]) -> None:
    def server(**arguments: str) -> str:
        return Context(CommandLine("server-info", (), {"expId": "a", **arguments}),
                       environ).server()

    assert server() == "http://localhost:5000"
    assert server(server="h", port="8000") == "http://h:8000"
    Registry("a", environ).reserve([0], {"server": "http://w:1"}, Here(), 0.0)
    assert server() == "http://w:1"
    assert server(server="https://h:2") == "https://h:2"


# ---- the clean-up

def dead_worker(environ: Dict[str, str], count: int = 1) -> Registry:
    registry, here = Registry("old", environ), Here()
    names = registry.reserve(range(count), {}, here, 0.0)
    dead = here.own._replace(start_time="1")
    registry.settle_all([(name, 0, Path("/l"), dead) for name in names], 0.0)
    return registry


def test_a_command_begins_with_a_clean_up(environ: Dict[str, str], ran: List[Context]) -> None:
    registry = dead_worker(environ)
    main.main(["exp-list"], environ)
    assert not registry.path.parent.exists()


@pytest.mark.parametrize("words", [["help"], ["version"], ["prune"], ["completion", "bash"]])
def test_some_commands_do_without(words: List[str], environ: Dict[str, str],
                                  ran: List[Context]) -> None:
    registry = dead_worker(environ)
    main.main(words, environ)
    assert len(registry.rows()) == 1


def test_the_clean_up_can_be_skipped(environ: Dict[str, str], ran: List[Context]) -> None:
    registry = dead_worker(environ)
    main.main(["exp-list"], dict(environ, JD_SKIP_REGISTRY_PRUNE="1"))
    assert len(registry.rows()) == 1


def test_what_cannot_be_cleaned_up_is_a_warning(environ: Dict[str, str], ran: List[Context],
                                                capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        path = Registry(name, environ).path
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no database " * 500)
    assert main.main(["exp-list"], environ) == 0
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("warning: the worker registry") and "1 more" in said.err


def test_a_damaged_registry_of_its_own_is_told_once(environ: Dict[str, str],
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    """By the error of the command, where it has one."""
    path = Registry("a", environ).path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database " * 500)
    assert errors.run_command(lambda argv: main.main(argv, environ), ["worker-list", "expId=a"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the worker registry %s" % path) and said.count(str(path)) == 1


def test_a_damaged_registry_that_the_command_does_not_need_is_told(
        environ: Dict[str, str], ran: List[Context], capsys: pytest.CaptureFixture[str]) -> None:
    path = Registry("a", environ).path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database " * 500)
    assert main.main(["worker-list", "expId=a"], environ) == 0
    assert capsys.readouterr().err.startswith("warning: the worker registry %s" % path)


def test_a_cache_that_cannot_be_read_is_a_warning(environ: Dict[str, str], ran: List[Context],
                                                  monkeypatch: pytest.MonkeyPatch,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> None:
        raise StorageError("cannot read it")

    for module, name in ((cleanup, "clean_up"), (caches, "experiments")):
        Registry("a", environ).path.parent.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(main, "_swept", False)
        monkeypatch.setattr(module, name, fail)
        assert main.main(["exp-list"], environ) == 0
        assert capsys.readouterr().err == "warning: cannot read it\n"


@pytest.mark.parametrize("count, bars", [(main.MANY_WORKERS - 1, 0), (main.MANY_WORKERS, 1)])
def test_many_workers_show_a_bar(count: int, bars: int, environ: Dict[str, str],
                                 ran: List[Context], monkeypatch: pytest.MonkeyPatch) -> None:
    shown: List[int] = []

    class Bar:
        def __init__(self, total: int, label: str) -> None:
            shown.append(total)

        def update(self, done: int) -> None:
            self.done = done

        def __exit__(self, *_: object) -> None:
            assert self.done == count

    monkeypatch.setattr(main, "Progress", Bar)
    dead_worker(environ, count)
    main.main(["exp-list"], environ)
    assert shown == [count] * bars


# ---- help

def test_help_of_one_command(environ: Dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["help", "stop"], ["stop", "-h"], ["help", "use"], ["help", "-i"]):
        assert main.main(words, environ) == 0
    assert capsys.readouterr().out.count("jd_worker_cli [expId=<name>] stop") == 2
    assert "no command 'nonsense'" in refused(environ, "help", "nonsense")


def test_help_fits_the_terminal(environ: Dict[str, str], capsys: pytest.CaptureFixture[str],
                                monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, most in (("200", 96), ("80", 80)):
        monkeypatch.setenv("COLUMNS", columns)
        main.main(["help"], environ)
        shown = capsys.readouterr().out
        assert 70 < max(map(len, shown.splitlines())) <= most
        assert "\033" not in shown
