"""Where the PIN comes from at the start, `jd_server pin`, and the PIN of a Hub."""

import io
import json
import os
import pty
import sqlite3
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, TypeVar, Union

import pytest

from jd.auth import passwords, pins
from jd.errors import JdError, StorageError, UsageError
from jd.server import dashboardpin
from jd.server.command import cli, commandline, pincommand, pinsource
from jd.server.experiment import Experiment
from jd.server.store import direct
from jd.server.store.operators import pin as stored_pin
from jd.server.store.operators import signins
from jd.server.store.policy import Policy
from jd.server.store.transaction import Transaction
from tests.e2e.processes import EXPERIMENT, Server
from tests.server.store_support import Desk
from tests.support import MALLORY, free_env, needs_root, python

T = TypeVar("T")

PIN, OTHER = "482913", "739105"


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    made = Experiment(tmp_path, "exp", Policy())
    yield made
    made.close()


def verifies(experiment: Experiment, given: Optional[str]) -> bool:
    assert given is not None
    return passwords.verify(given, experiment.read_now(stored_pin.stored))


def signed_in(experiment: Experiment) -> int:
    return int(experiment.read_now(lambda db: db.execute("SELECT count(*) FROM sessions").fetchone()[0]))


# ---- at the start

def test_a_pin_is_made_up_once(experiment: Experiment) -> None:
    made = dashboardpin.settle(experiment, None, True)
    assert verifies(experiment, made)
    experiment.write_now(lambda t: signins.begin(t, None))
    assert dashboardpin.settle(experiment, None, True) is None
    assert verifies(experiment, made) and signed_in(experiment) == 1


def test_a_given_pin_signs_everybody_out_only_if_it_is_another(experiment: Experiment) -> None:
    assert dashboardpin.settle(experiment, PIN, True) is None
    experiment.write_now(lambda t: signins.begin(t, None))
    assert dashboardpin.settle(experiment, PIN, True) is None and signed_in(experiment) == 1
    assert dashboardpin.settle(experiment, OTHER, True) is None and signed_in(experiment) == 0
    assert verifies(experiment, OTHER)


def test_a_given_pin_replaces_a_hash_that_cannot_be_checked(experiment: Experiment) -> None:
    experiment.write_now(lambda t: stored_pin.change(t, "argon$x$y"))
    dashboardpin.settle(experiment, PIN, True)
    assert verifies(experiment, PIN)


def values(*flags: Union[Path, str], **environ: str) -> Dict[str, Any]:
    return commandline.parse(["--expId", "exp"] + [str(flag) for flag in flags], environ)


def test_the_file_counts_before_the_variable(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_text(" %s \r\n" % PIN)
    assert pinsource.given(values()) is None
    assert pinsource.given(values(JD_SERVER_PIN=OTHER)) == OTHER
    assert pinsource.given(values("--pin-file", path, JD_SERVER_PIN=OTHER)) == PIN
    assert pinsource.given(values(JD_SERVER_PIN_FILE=str(path))) == PIN


def test_no_flag_takes_the_pin_itself() -> None:
    with pytest.raises(UsageError, match="unrecognized arguments: --pin"):
        values("--pin", PIN)


@pytest.mark.parametrize("content, says", [
    ("", "not 6 digits"), ("12345", "not 6 digits"), ("555555", "easy to guess"),
    ("482913\n739105", "not 6 digits"), ("\xff" * 2000, "not 6 digits")])
def test_a_file_without_a_usable_pin(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "pin"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UsageError) as refused:
        pinsource.given(values("--pin-file", path))
    assert says in str(refused.value) and str(path) in str(refused.value)
    assert not content or content not in str(refused.value).replace(pins.RULE, "")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none", "does not exist"), (tmp_path, "cannot be read")):
        with pytest.raises(StorageError, match=says):
            pinsource.given(values("--pin-file", path))


@pytest.mark.parametrize("wrong", ["98431", "two words", "777777"])
def test_a_wrong_variable_is_named_and_not_repeated(wrong: str) -> None:
    with pytest.raises(UsageError, match="JD_SERVER_PIN") as refused:
        pinsource.given(values(JD_SERVER_PIN=wrong))
    assert wrong not in str(refused.value)


# ---- the command


def test_one_that_is_not_shown_is_kept_in_a_file_until_another_counts(experiment: Experiment) -> None:
    file = experiment.meta_dir / "pin"
    changes: List[Callable[[], object]] = [
        lambda: dashboardpin.settle(experiment, PIN, False),
        lambda: dashboardpin.HubPin(experiment, lambda text: None).take(1, pins.encode(OTHER))]
    for change in changes:
        experiment.write_now(lambda t: t.db.execute("DELETE FROM settings WHERE name = 'pin.hash'"))
        made = dashboardpin.settle(experiment, None, False)
        assert file.read_text().strip() == made and stat.S_IMODE(file.stat().st_mode) == 0o600
        assert dashboardpin.settle(experiment, None, False) is None and file.exists()
        change()
        assert not file.exists()


class Command:
    """`jd_server pin` on the data of a server that does not run."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch,
                 capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.workspace = directory / "ws"
        meta = self.workspace / EXPERIMENT / "meta"
        meta.mkdir(parents=True)
        self.path = meta / "jobs.db"
        Desk(meta).database.close()

    def run(self, *words: str, stdin: Optional[str] = None) -> str:
        """What it prints."""
        if stdin is not None:
            self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        assert cli.main(["pin"] + list(words) + ["--expId", EXPERIMENT, "--workspace_path",
                                                 str(self.workspace)]) == 0
        return self.capsys.readouterr().out

    def write(self, operation: Callable[[Transaction], T]) -> T:
        return direct.write(self.path, operation)

    def pin(self) -> Optional[str]:
        return self.write(lambda t: stored_pin.stored(t.db))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, monkeypatch, capsys)


def test_reset_prints_a_new_pin_and_signs_everybody_out(command: Command) -> None:
    command.write(lambda t: signins.begin(t, None))
    told = json.loads(command.run("reset", "--json"))
    assert (told["expId"], told["signed_out"]) == (EXPERIMENT, 1)
    file = command.path.parent / "pin"
    assert told["pin_file"] == str(file) and stat.S_IMODE(file.stat().st_mode) == 0o600
    first = file.read_text().strip()
    assert passwords.verify(first, command.pin())
    lines = command.run("reset").splitlines()
    second = file.read_text().strip()
    assert lines[0] == "new PIN for the dashboard of %s: in %s" % (EXPERIMENT, file)
    assert second != first and second not in "\n".join(lines)
    assert passwords.verify(second, command.pin())


def test_a_pin_that_is_set_takes_the_file_of_the_one_before(command: Command) -> None:
    command.run("reset")
    file = command.path.parent / "pin"
    assert file.exists()
    command.run("set", stdin=OTHER + "\n")
    assert not file.exists()


def test_reset_at_a_terminal_shows_it_and_keeps_no_file(command: Command,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jd.server.command.pincommand.is_terminal", lambda stream: True)
    pin = command.run("reset").splitlines()[0].rpartition(" ")[2]
    assert passwords.verify(pin, command.pin())
    assert not (command.path.parent / "pin").exists()


@needs_root
def test_reset_by_root_leaves_a_file_that_the_servers_user_can_read(command: Command) -> None:
    os.chown(str(command.path.parent), MALLORY, MALLORY)
    command.run("reset")
    assert (command.path.parent / "pin").stat().st_uid == MALLORY


def test_set_takes_a_file_or_the_standard_input_and_repeats_neither(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_text(PIN)
    assert PIN not in command.run("set", "--pin-file", str(path))
    assert passwords.verify(PIN, command.pin())
    command.monkeypatch.setenv("JD_SERVER_PIN_FILE", str(path))  # for the server
    assert json.loads(command.run("set", "--json", stdin=OTHER + "\n")) == {"expId": EXPERIMENT,
                                                                            "signed_out": 0}
    assert passwords.verify(OTHER, command.pin())


@pytest.mark.parametrize("words, stdin, says", [
    (["set"], "", "not 6 digits"), (["set"], "123456\n", "easy to guess"), (["change"], None,
                                                                            "invalid choice"),
    ([], None, "action"), (["reset", "--pin-file", "x"], None, "for jd_server pin set"),
    (["set", "--pin", PIN], None, "unrecognized")])
def test_wrong_usage_changes_nothing(command: Command, words: List[str], stdin: Optional[str],
                                     says: str) -> None:
    before = command.pin()
    with pytest.raises(UsageError, match=says):
        command.run(*words, stdin=stdin)
    assert command.pin() == before


def test_an_experiment_is_named_and_was_served_before(command: Command, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--expId NAME is missing"):
        pincommand.main(["reset"], {})
    with pytest.raises(JdError, match="no server has served it there"):
        pincommand.main(["reset", "--expId", "other", "--workspace_path", str(command.workspace)], {})
    assert not (command.workspace / "other").exists()


def test_data_of_another_version_is_left_alone(command: Command) -> None:
    db = sqlite3.connect(str(command.path))
    db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(StorageError, match="of another version"):
        command.run("reset")
    command.path.write_bytes(b"no database at all, only text" * 100)
    with pytest.raises(StorageError, match="not a database"):
        command.run("reset")


@pytest.mark.parametrize("second, status, says", [(PIN, 0, "new PIN for the dashboard"), (OTHER, 2,
                                                                                          "differ")])
def test_at_a_terminal_it_is_asked_for_twice_and_not_shown(command: Command, tmp_path: Path, second: str,
                                                           status: int, says: str) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        python("-m", "jd.server", "pin", "set", "--expId", EXPERIMENT, "--workspace_path", command.workspace),
        env=free_env(tmp_path), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            close_fds=True)
    os.close(slave)
    killer = threading.Timer(20, process.kill)
    killer.start()
    try:
        shown = b""
        for prompt, answer in ((b"New PIN: ", PIN), (b"Once more: ", second)):
            while prompt not in shown:
                shown += os.read(master, 1000)
            os.write(master, answer.encode() + b"\n")
        assert process.wait(60) == status
        try:
            while True:
                more = os.read(master, 1000)
                if not more:
                    break
                shown += more
        except OSError:  # what Linux says at the end
            pass
    finally:
        killer.cancel()
        process.kill()
        process.wait()
        os.close(master)
    assert says in shown.decode() and PIN not in shown.decode()


def test_beside_a_running_server_it_counts_at_once(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        made = server.pin
        server.url = server.ready["dashboard_url"]
        assert server.call("/web/signin", {"pin": made}) == {"success": True}
        done = subprocess.run(
            python("-m", "jd.server", "pin", "set", "--expId", EXPERIMENT, "--workspace_path",
                   server.workspace),
            env=free_env(tmp_path), input=PIN.encode(), stdout=subprocess.PIPE, timeout=60, check=True)
        assert b"(1 signed out)" in done.stdout
        assert server.call("/web/signin", {"pin": PIN}) == {"success": True}
        if made != PIN:
            assert server.call("/web/signin", {"pin": made})[0] == 403
        server.stop()
        assert made not in server.errors and PIN not in server.errors
    with Server(tmp_path) as server:
        assert "pin_file" not in server.ready
        server.stop()


def test_a_pin_file_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_text(PIN)
    path.chmod(0o644)
    with Server(tmp_path, "--pin-file", path) as server:
        assert "pin_file" not in server.ready
        server.stop()
        assert "chmod 600" in server.errors and PIN not in server.errors


# ---- a PIN of the Hub

def test_a_pin_of_the_hub_is_taken_once(experiment: Experiment) -> None:
    said: List[str] = []
    keeper = dashboardpin.HubPin(experiment, said.append)
    assert keeper.taken() == 0
    experiment.write_now(lambda t: signins.begin(t, None))
    encoded = pins.encode(PIN)
    keeper.take(5, encoded)
    assert keeper.taken() == 5 and verifies(experiment, PIN) and signed_in(experiment) == 0
    dashboardpin.settle(experiment, OTHER, True)
    keeper.take(5, encoded)
    assert verifies(experiment, OTHER) and len(said) == 1


def test_a_hash_of_the_hub_that_cannot_be_checked_is_warned_of_once(experiment: Experiment) -> None:
    dashboardpin.settle(experiment, PIN, True)
    said: List[str] = []
    keeper = dashboardpin.HubPin(experiment, said.append)
    for _ in range(2):
        keeper.take(5, "argon$x$y")
    assert len(said) == 1 and "jd_server pin set" in said[0]
    assert verifies(experiment, PIN) and keeper.taken() == 0
