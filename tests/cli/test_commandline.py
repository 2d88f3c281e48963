"""What is typed, sorted."""

from typing import List, Tuple

import pytest

from jd.cli import commandline, main
from jd.cli.catalog import ALIASES, COMMANDS
from jd.errors import UsageError


def parse(*words: str) -> commandline.CommandLine:
    return commandline.parse(words, COMMANDS, ALIASES)


def refused(*words: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(*words)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_order_does_not_matter() -> None:
    expected = commandline.CommandLine("run", (), {"expId": "a", "server": "http://x?y=z"})
    assert parse("expId=a", "run", "server=http://x?y=z") == expected
    assert parse("server=http://x?y=z", "expId=a", "run") == expected


@pytest.mark.parametrize("words", [
    ["expId=a", "stop", "gpunode_egg_0"], ["stop", "gpunode_egg_0", "expId=a"],
    ["gpunode_egg_0", "stop", "expId=a"],
])
def test_words_of_a_command(words: List[str]) -> None:
    assert parse(*words) == commandline.CommandLine("stop", ("gpunode_egg_0",), {"expId": "a"})


def test_stop_by_job() -> None:
    assert parse("stop", "job=42", "expId=a") == commandline.CommandLine(
        "stop", (), {"job": "42", "expId": "a"})


def test_a_word_after_the_command_may_be_the_name_of_another() -> None:
    assert parse("worker-status", "stop").words == ("stop",)
    assert parse("help", "stop") == commandline.CommandLine("help", ("stop",), {})
    assert parse("restart", "restart").words == ("restart",)


def test_no_command() -> None:
    assert parse("expId=a").command is None
    assert parse() == commandline.CommandLine(None, (), {})


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["help"], ["expId=a", "help"]])
def test_help(words: List[str]) -> None:
    assert parse(*words) == commandline.CommandLine("help", (), {})


@pytest.mark.parametrize("words", [["stop", "-h"], ["-h", "stop"], ["expId=a", "stop", "--help"]])
def test_help_for_what_is_being_typed(words: List[str]) -> None:
    assert parse(*words) == commandline.CommandLine("help", ("stop",), {})


@pytest.mark.parametrize("token, hint", [
    ("exp_id=a", "expId="), ("expid=a", "expId="), ("--expId=a", "expId="), ("EXPID=a", "expId="),
    ("entry-script=a", "entry_script="), ("num_worker=2", "num_workers="), ("apikey=a", "api_key="),
    ("confirm_stop=true", "confirm-stop="), ("line=4", "lines="),
])
def test_a_key_that_was_meant(token: str, hint: str) -> None:
    assert "did you mean %s?" % hint in refused(token)


@pytest.mark.parametrize("token", ["xyzzy=1", "JD_WORKSPACE_PATH=/x", "JD_SERVER_TOKEN=x"])
def test_a_key_that_does_not_exist(token: str) -> None:
    assert "unknown argument" in refused(token)


@pytest.mark.parametrize("tokens", [
    ["entry_script", "=", "my train.py"], ["entry_script", "=my train.py"],
    ["expId=a", "entry-script", "=", "my train.py"]])
def test_blanks_around_the_sign(tokens: List[str]) -> None:
    assert "write entry_script='my train.py', without blanks around the =" in refused(*tokens)


@pytest.mark.parametrize("tokens", [["=1"], ["=", "=", "="], ["zzz", "=", "1"]])
def test_a_sign_without_a_key(tokens: List[str]) -> None:
    assert "write key=value, without blanks around the =" in refused(*tokens)


def test_a_key_is_not_repeated_in_an_error() -> None:
    told = refused("api_key", "=", "jd_" + "k" * 40)
    assert "kkk" not in told and "write api_key=..." in told


@pytest.mark.parametrize("token", ["workspace_path=/x", "JD_WORKSPACE_PATH=/x", "workspace-path=/x"])
def test_what_is_a_variable(token: str) -> None:
    assert "it is a variable: JD_WORKSPACE_PATH=/x jd_worker_cli" in refused(token)


def test_a_command_written_as_a_key() -> None:
    assert "stop is a command" in refused("stop=all")


@pytest.mark.parametrize("word, hint", [
    ("hlep", "did you mean help?"), ("Version", "did you mean version?"),
    ("workerlist", "did you mean worker-list?"), ("worker_list", "did you mean worker-list?"),
    ("clearall", "did you mean clear_all?"), ("foreground", "foreground=..."),
    ("--num_workers", "num_workers=..."), ("train.py", "entry_script=train.py"),
    ("gpunode_egg_0", "worker-status gpunode_egg_0"), ("xyzzy", "see jd_worker_cli help"),
])
def test_a_command_that_was_meant(word: str, hint: str) -> None:
    message = refused(word)
    assert hint in message and "\n" not in message


@pytest.mark.parametrize("words, hint", [
    (["--expId", "digits-tune", "entry_script=train.py"],
     "unknown option '--expId'; arguments are key=value; did you mean expId=digits-tune?"),
    (["--expid", "digits-tune", "stop", "all"], "did you mean expId=digits-tune?"),
    (["stop", "all", "--expId", "--json"], "did you mean expId=...?"), (["where", "--json"], "json=true?"),
    (["--api_key", "not-to-be-shown"], "did you mean api_key=...?"), (["--expId", "a\nb"], "expId=...?")])
def test_options_as_other_programs_have_them(words: List[str], hint: str) -> None:
    message = refused(*words)
    assert hint in message and "\n" not in message and "not-to-be-shown" not in message


def test_help_guesses_as_well() -> None:
    with pytest.raises(UsageError, match="no command 'worker-lst'; did you mean worker-list[?]"):
        main.main(["help", "worker-lst"], {})
    with pytest.raises(UsageError, match="no command 'xyzzy'; jd_worker_cli help lists them"):
        main.main(["help", "xyzzy"], {})


def test_a_key_that_the_command_does_not_take() -> None:
    assert refused("worker-list", "lines=5") == (
        "worker-list does not take lines=; it takes expId=, json=, watch=")
    assert refused("exp-list", "entry_script=a") == (
        "exp-list does not take entry_script=; leave it out, it is for a launch; it takes json=")
    assert refused("doctor", "entry_script=a") == (
        "doctor does not take entry_script=; it reads the variables of a launch: JD_ENTRY_SCRIPT=... "
        "jd_worker_cli doctor")
    assert refused("completion", "json=true") == "completion does not take json=; it takes no arguments"


@pytest.mark.parametrize("command, unused", [
    ("stop", ("server", "port")), ("worker-list", ("server", "port")), ("clear_all", ("server", "port")),
    ("server-info", ()), ("where", ())])
def test_how_to_reach_the_server_may_stand_on_every_line(command: str, unused: Tuple[str, ...]) -> None:
    line = parse(command, "server=h", "port=1")
    assert line.unused == unused
    assert set(line.arguments) == {"server", "port"} - set(unused)


def test_words_of_published_clients() -> None:
    assert parse("clear-all", "confirm-clear-all=true") == commandline.CommandLine(
        "clear_all", (), {"confirm-clear-all": "true"})
    assert parse("--interactive", "expId=a").command == parse("-i").command == "interactive"
    assert parse("expId=a", "entry_script=x", "hub_url=h").arguments["hub"] == "h"
    assert "hub= is given twice" in refused("hub=a", "hub_url=b", "entry_script=x")


def test_a_key_of_some_command_where_none_is_named() -> None:
    assert refused("expId=a", "lines=5") == (
        "lines= goes with worker-logs or job-logs or jobs or results; name the command")


@pytest.mark.parametrize("words", [
    ["api_key=jd_secretsecretsecret", "api_key=jd_secretsecretsecret"],
    ["apikey=jd_secretsecretsecret"], ["jd_secretsecretsecret"], ["jd_secretsecretsecret=1"],
    ["worker-list", "api_key=jd_secretsecretsecret", "job=1"],
])
def test_no_message_repeats_a_secret(words: List[str]) -> None:
    assert "secretsecret" not in refused(*words)


def test_a_word_that_a_command_has_no_use_for() -> None:
    assert commandline.unexpected("follow", ("expId", "follow")) == (
        "unexpected word 'follow'; did you mean follow=true?")
    assert commandline.unexpected("line", ("lines",)).endswith("did you mean lines=...?")
    assert commandline.unexpected("xyzzy", ("lines",)) == "unexpected word 'xyzzy'"
    assert "secretsecret" not in str(UsageError(commandline.unexpected("jd_secretsecretsecret", ())))


def test_a_key_given_twice() -> None:
    assert "expId= is given twice" in refused("expId=a", "expId=a")


def test_thousands_of_options_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: List[str] = []
    monkeypatch.setattr(commandline, "closest", lambda word, _: looked_up.append(word))
    with pytest.raises(UsageError):
        main.parse(["-x%d" % number for number in range(9000)])
    assert len(looked_up) < 200


def test_endless_input_is_refused() -> None:
    assert "arguments" in refused(*["expId=a"] * 20_000)
