"""What is typed, sorted."""

from typing import List

import pytest

from jd import settings
from jd.cli import tokens
from jd.cli.main import ALIASES, COMMANDS
from jd.errors import UsageError


def parse(*words: str) -> tokens.CommandLine:
    return tokens.parse(words, list(COMMANDS), settings.WORKER, ALIASES)


def refused(*words: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(*words)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_order_does_not_matter() -> None:
    expected = tokens.CommandLine("run", (), {"expId": "a", "server": "http://x?y=z"})
    assert parse("expId=a", "run", "server=http://x?y=z") == expected
    assert parse("server=http://x?y=z", "expId=a", "run") == expected


def test_words_after_the_command() -> None:
    line = parse("version", "gpunode_egg_0", "expId=a", "more")
    assert (line.command, line.words) == ("version", ("gpunode_egg_0", "more"))
    with pytest.raises(UsageError, match="gpunode_egg_0"):
        tokens.no_words(line)


def test_no_command() -> None:
    assert parse("expId=a").command is None
    assert parse("--help").command == "help"


@pytest.mark.parametrize("token, hint", [
    ("exp_id=a", "expId="), ("expid=a", "expId="), ("--expId=a", "expId="),
    ("entry-script=a", "entry_script="), ("num_worker=2", "num_workers="), ("apikey=a", "api_key="),
])
def test_a_key_that_was_meant(token: str, hint: str) -> None:
    assert "did you mean %s?" % hint in refused(token)


@pytest.mark.parametrize("token", ["xyzzy=1", "JD_WORKSPACE_PATH=/x", "=1", "JD_SERVER_TOKEN=x"])
def test_a_key_that_does_not_exist(token: str) -> None:
    assert "unknown argument" in refused(token)


@pytest.mark.parametrize("word, hint", [
    ("hlep", "did you mean help?"), ("Version", "did you mean version?"),
    ("foreground", "foreground=..."), ("train.py", "entry_script=train.py"),
    ("xyzzy", "commands are run, help, version"),
])
def test_a_command_that_was_meant(word: str, hint: str) -> None:
    assert hint in refused(word)


@pytest.mark.parametrize("words", [
    ["api_key=jd_secretsecretsecret", "api_key=jd_secretsecretsecret"],
    ["apikey=jd_secretsecretsecret"], ["jd_secretsecretsecret"], ["jd_secretsecretsecret=1"],
])
def test_no_message_repeats_a_secret(words: List[str]) -> None:
    assert "secretsecret" not in refused(*words)


def test_a_key_given_twice() -> None:
    assert "expId= is given twice" in refused("expId=a", "expId=a")


def test_endless_input_is_refused() -> None:
    assert "arguments" in refused(*["expId=a"] * 20_000)
