"""`jd_hub` as people and programs use it: its words, its shapes, its errors."""

import json
import os
import pty
import re
import stat
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest

from jd.errors import UsageError, run_command
from jd.hub import cli
from tests.hub.hub_support import ALICE, BOB

Hub = Callable[..., Tuple[int, str, str]]  # exit status, standard output and error
Facts = Callable[..., Dict[str, Any]]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hub:
    """Run a command on data of its own: exit status, stdout, stderr."""
    monkeypatch.setenv("JD_HUB_DATA", str(tmp_path / "hub"))

    def run(*words: Any) -> Tuple[int, str, str]:
        capsys.readouterr()
        status = run_command(cli.main, [str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err
    return run


@pytest.fixture
def facts(hub: Hub) -> Facts:
    """Run a command with --json: the one document that it prints."""
    def run(*words: Any) -> Dict[str, Any]:
        status, out, err = hub(*words, "--json")
        assert (status, err, out.count("\n")) == (0, "", 1)
        return dict(json.loads(out))
    return run


@pytest.fixture
def alice(facts: Facts) -> Dict[str, Any]:
    return facts("user", "add", ALICE)


def test_shapes_for_programs(facts: Facts, alice: Dict[str, Any]) -> None:
    assert set(alice) == {"user_id", "email", "signup_url"}
    assert (alice["user_id"], alice["email"]) == (1, ALICE)
    assert re.fullmatch(r"http://127\.0\.0\.1:5080/signup\?token=[\w-]{43}", alice["signup_url"])
    key = facts("key", "create", "--user", ALICE, "--name", "laptop")
    assert set(key) == {"id", "name", "key"} and re.fullmatch(r"jd_[A-Za-z0-9]{40}", key["key"])
    made = facts("experiment", "create", "digits-tune", "--user", ALICE)
    assert set(made) == {"experiment_id", "name", "server_url", "dashboard_url", "message"}
    assert made["name"] == "digits-tune" and made["server_url"] is None
    assert facts("user", "list")["users"][0]["email"] == ALICE
    listed = facts("key", "list")["keys"]
    assert [(one["id"], one["prefix"], one["status"]) for one in listed] == [
        (key["id"], key["key"][:7] + "\u2026", "active")]
    assert key["key"] not in json.dumps(listed)
    assert [one["name"] for one in facts("experiment", "list")["experiments"]] == ["digits-tune"]


def test_flags_may_stand_anywhere_and_win_over_variables(hub: Hub, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for words in (["--json", "--data", other, "user", "add", "a@x"],
                  ["user", "--json", "--data", other, "add", "b@x"],
                  ["user", "add", "--json", "--data", other, "c@x"],
                  ["--data", other, "user", "add", "d@x", "--json"]):
        status, out, _ = hub(*words)
        assert status == 0 and json.loads(out)["email"].endswith("@x")
    assert not (tmp_path / "hub").exists()
    assert len(json.loads(hub("user", "list", "--data", other, "--json")[1])["users"]) == 4


def test_json_by_variable(hub: Hub, monkeypatch: pytest.MonkeyPatch, alice: Dict[str, Any]) -> None:
    monkeypatch.setenv("JD_HUB_JSON", "1")
    assert json.loads(hub("user", "list")[1])["users"]


def test_base_url_of_a_link(facts: Facts, alice: Dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    link = facts("user", "link", ALICE, "--base-url", "https://hub.example/")["signup_url"]
    assert link.startswith("https://hub.example/signup?token=")
    monkeypatch.setenv("JD_HUB_BASE_URL", "https://env.example")
    assert facts("user", "add", BOB)["signup_url"].startswith("https://env.example/signup?token=")


def test_what_people_see(hub: Hub, alice: Dict[str, Any]) -> None:
    assert hub("user", "add", BOB, "--admin")[1].splitlines()[0] == "added " + BOB
    out = hub("user", "list")[1]
    assert out.splitlines() == [
        "EMAIL              ROLE   STATUS   ADDED", "alice@example.org  user   invited  0s ago",
        "bob@example.org    admin  invited  0s ago"]
    out = hub("key", "create", "--user", ALICE, "--name", "laptop")[1]
    told = re.search(r'^  export JD_API_KEY="\$\(cat (\S+)\)"$', out, re.M)
    assert told is not None
    file = told.group(1)
    assert re.fullmatch(r"jd_\w{40}\n", Path(file).read_text()) and "not shown again" in out
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    hub("experiment", "create", "exp", "--user", ALICE)
    header, row = hub("experiment", "list")[1].splitlines()
    assert header.split()[:3] == ["NAME", "OWNER", "STATUS"]
    assert row.split()[:3] == ["exp", ALICE, "active"] and row.endswith("none yet")
    assert all(len(line) <= 80 for line in (header, row))
    assert "\033" not in hub("key", "list")[1]


def test_a_secret_is_shown_at_a_terminal_alone(hub: Hub, alice: Dict[str, Any],
                                               monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    link = hub("user", "link", ALICE)[1]
    assert "token=" not in link and "in %s" % (tmp_path / "hub" / "signup-1") in link
    monkeypatch.setattr("jd.hub.cli.is_terminal", lambda stream: True)
    assert "token=" in hub("user", "link", ALICE)[1]
    out = hub("key", "create", "--user", ALICE, "--name", "laptop")[1]
    assert re.search(r"^  export JD_API_KEY=jd_\w{40}$", out, re.M)
    assert not (tmp_path / "hub" / "key-1").exists()


def test_a_key_that_is_revoked_takes_its_file_along(hub: Hub, alice: Dict[str, Any], tmp_path: Path) -> None:
    hub("key", "create", "--user", ALICE, "--name", "laptop")
    assert (tmp_path / "hub" / "key-1").exists()
    hub("key", "revoke", "1")
    assert not (tmp_path / "hub" / "key-1").exists()


def test_empty_lists_say_what_to_do(hub: Hub, alice: Dict[str, Any]) -> None:
    assert "jd_hub key create" in hub("key", "list")[1]
    assert "jd_hub experiment create" in hub("experiment", "list")[1]


def test_suspend_and_resume(hub: Hub, facts: Facts, alice: Dict[str, Any]) -> None:
    assert facts("user", "suspend", ALICE.upper())["status"] == "suspended"
    assert "suspended" in hub("user", "list")[1]
    assert facts("user", "resume", ALICE)["status"] == "active"


def test_revoke(hub: Hub, facts: Facts, alice: Dict[str, Any]) -> None:
    key = facts("key", "create", "--user", ALICE, "--name", "a")
    assert facts("key", "revoke", key["id"])["status"] == "revoked"
    assert "revoked" in hub("key", "list", "--user", ALICE)[1]


def test_experiments_from_creation_to_deletion(hub: Hub, facts: Facts, alice: Dict[str, Any]) -> None:
    facts("user", "add", BOB)
    facts("experiment", "create", "exp", "--user", ALICE)
    assert facts("experiment", "share", "exp", BOB)["shared_with"] == [{"email": BOB, "role": "work"}]
    edit = [{"email": BOB, "role": "edit"}]
    assert facts("experiment", "share", "exp", BOB, "--role", "edit")["shared_with"] == edit
    assert facts("experiment", "list", "--user", BOB)["experiments"][0]["shared_with"] == edit
    assert BOB + " (edit)" in hub("experiment", "list")[1]
    assert hub("experiment", "share", "exp", BOB, "--role", "owner")[0] == 2
    assert facts("experiment", "unshare", "exp", BOB)["shared_with"] == []
    assert facts("experiment", "list", "--user", BOB)["experiments"] == []
    assert facts("experiment", "transfer", "exp", BOB)["owner"] == BOB
    assert facts("experiment", "delete", "exp")["status"] == "deleted"
    assert facts("experiment", "list")["experiments"] == []
    assert facts("experiment", "list", "--all")["experiments"][0]["status"] == "deleted"
    assert hub("experiment", "share", "exp", ALICE)[0] == 1


def test_backup(hub: Hub, facts: Facts, alice: Dict[str, Any], tmp_path: Path) -> None:
    made = facts("backup", tmp_path / "copy.db")
    assert made == {"file": str(tmp_path / "copy.db"), "size_bytes": os.path.getsize(made["file"])}
    assert stat.S_IMODE(os.stat(made["file"]).st_mode) == 0o600
    status, out, err = hub("backup", tmp_path / "copy.db")
    assert (status, out) == (1, "") and "not overwritten" in err
    (tmp_path / "restored").mkdir()
    os.rename(made["file"], str(tmp_path / "restored" / "hub.db"))
    assert facts("user", "list", "--data", tmp_path / "restored")["users"][0]["email"] == ALICE


@pytest.mark.parametrize("words, says", [
    (["frobnicate"], "invalid choice"),
    (["user"], "jd_hub user --help"),
    (["user", "add"], "EMAIL"),
    (["user", "add", "nonsense"], "no email address"),
    (["user", "list", "--dat", "x"], "--dat"),
    (["key", "create", "--user", ALICE], "--name"),
    (["key", "create", "--user", ALICE, "--name", ""], "key name"),
    (["key", "revoke", "laptop"], "jd_hub key list"),
    (["key", "revoke", "9" * 5000], "no key's number"),
    (["key", "revoke", "0" * 19 + "1" + "9" * 30], "no key's number"),
    (["experiment", "create", "Bad_Name", "--user", ALICE], "2 to 47"),
    (["experiment", "create", "exp"], "--user"),
    (["serve", "--port", "70000"], "--port"),
    (["serve", "--base-url", "ftp://x"], "--base-url"),
    (["user", "list", "--port", "1"], "--port"),
    (["backup"], "FILE"),
])
def test_wrong_usage_is_one_line_and_2(hub: Hub, alice: Dict[str, Any], words: List[str], says: str) -> None:
    status, out, err = hub(*words)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and says in err and len(err) < 400


@pytest.mark.parametrize("words, says", [
    (["user", "add", ALICE.upper()], "user link"),
    (["user", "suspend", BOB], "user list"),
    (["key", "create", "--user", BOB, "--name", "x"], "no user"),
    (["key", "revoke", "9"], "no key 9"),
    (["experiment", "create", "exp", "--user", BOB], "no user"),
    (["experiment", "delete", "exp' OR 1=1 --"], "no experiment"),
    (["experiment", "transfer", "none", ALICE], "no experiment"),
    (["backup", "/nonexistent/dir/file"], "cannot write"),
])
def test_what_fails_is_one_line_and_1(hub: Hub, alice: Dict[str, Any], words: List[str], says: str) -> None:
    status, out, err = hub(*words)
    assert (status, out, err.count("\n")) == (1, "", 1) and says in err


def test_a_mistyped_directory_is_not_made(hub: Hub, tmp_path: Path) -> None:
    status, _, err = hub("user", "list", "--data", tmp_path / "typo")
    assert status == 1 and "jd_hub serve" in err and not (tmp_path / "typo").exists()


def test_help(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = hub()
    assert status == 2 and out.startswith("usage: jd_hub") and "jd_hub serve" in out
    for words in (["--help"], ["serve", "--help"], ["user", "add", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as left:
            cli.main(words)
        assert left.value.code == 0
        text = capsys.readouterr().out
        assert all(len(line) <= 80 for line in text.splitlines())
    assert text.startswith("jd_hub ")


def test_an_unknown_option_is_refused_before_anything_happens(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        cli.main(["user", "add", ALICE, "--data", str(tmp_path / "x"), "--frob"])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("typed, status", [("exp\n", "deleted"), ("yes\n", "active"), ("\n", "active")])
def test_a_deletion_is_confirmed_on_a_terminal(hub: Hub, monkeypatch: pytest.MonkeyPatch, typed: str,
                                               status: str) -> None:
    hub("user", "add", ALICE)
    hub("experiment", "create", "exp", "--user", ALICE)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        with open(theirs, closefd=False) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            ended, _, told = hub("experiment", "delete", "exp")
    finally:
        os.close(ours)
        os.close(theirs)
    assert "exp of %s: its job server and its workers are told to stop. Type exp to delete it" % ALICE in told
    assert ended == (0 if status == "deleted" else 1)
    listed = json.loads(hub("experiment", "list", "--all", "--json")[1])
    assert listed["experiments"][0]["status"] == status
