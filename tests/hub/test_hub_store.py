"""Accounts, keys, links, experiments and shares, as the store keeps them."""

import fcntl
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Optional

import pytest

from jd.auth import apikeys, passwords
from jd.errors import JdError, StorageError, UsageError
from jd.hub import data as data_module
from jd.hub.data import HubData
from jd.hub.quota import Quota
from jd.hub.store import accounts, experiments, history, tokens
from jd.hub.store.schema import MIGRATIONS
from jd.protocol import ProtocolError
from jd.storage import backup
from tests.hub.hub_support import ALICE, BOB, Bench

DAY = 86400.0


@pytest.fixture
def alice(bench: Bench) -> int:
    return bench.user(ALICE)[0]


@pytest.fixture
def bob(bench: Bench) -> int:
    return bench.user(BOB)[0]


# ---- users

def test_addresses_are_unique_whatever_the_case(bench: Bench, alice: int) -> None:
    assert bench.read(accounts.find_user, "ALICE@Example.ORG").id == alice
    with pytest.raises(accounts.UserExists, match="user link"):
        bench.write(accounts.add_user, "Alice@example.org", False, "test")
    with pytest.raises(accounts.NoSuchUser, match="user list"):
        bench.read(accounts.find_user, BOB)


@pytest.mark.parametrize("email", ["", "alice", "@x", "a@", "a b@x.org", "a@x..org", "a@-x", "a@x.",
                                   "a@x\n", "\u00e4@x.org", "a@" + "x" * 260, "a" * 65 + "@x.org",
                                   "<script>@x", "a@x.org, b@x.org"])
def test_what_is_no_address(bench: Bench, email: str) -> None:
    with pytest.raises(UsageError, match="no email address"):
        bench.write(accounts.add_user, email, False, "test")


@pytest.mark.parametrize("email", ["a@localhost", "o'brien+jd@x-y.example", "A.B@1.example"])
def test_what_is_an_address(bench: Bench, email: str) -> None:
    assert bench.write(accounts.add_user, email, False, "test").email == email


def test_ids_are_never_given_twice(bench: Bench, alice: int) -> None:
    bench.data.database.write(lambda db: db.execute("DELETE FROM api_keys")).result(10)
    bench.data.database.write(lambda db: db.execute("DELETE FROM users")).result(10)
    assert bench.user(ALICE)[0] == alice + 1


# ---- links

def test_a_link_works_once_and_sets_a_password(bench: Bench) -> None:
    user, link = bench.write(accounts.invite, ALICE, False, "test")
    assert not user.signed_up
    assert bench.write(accounts.link_user, link) == user
    hashed = passwords.encode("correct horse battery")
    assert bench.write(accounts.sign_up, link, hashed, None).signed_up
    assert passwords.verify("correct horse battery", bench.read(accounts.password_of, ALICE.upper()))
    with pytest.raises(accounts.BadLink, match="used"):
        bench.write(accounts.sign_up, link, "other", None)
    assert bench.read(accounts.password_of, ALICE) == hashed


def invited(bench: Bench, link: str) -> Optional[int]:
    """Whose link it is: the id of a user, None for the first administrator's."""
    user = bench.write(accounts.link_user, link)
    return user and user.id


def test_a_link_ends_after_seven_days_and_when_a_new_one_is_made(bench: Bench, alice: int) -> None:
    link = bench.run(accounts.make_link, alice, bench.now)
    bench.now += 7 * DAY - 1
    assert invited(bench, link) == alice
    bench.now += 1
    with pytest.raises(accounts.BadLink):
        bench.write(accounts.link_user, link)
    _, first = bench.write(accounts.invite_again, ALICE, "test")
    _, second = bench.write(accounts.invite_again, ALICE, "test")
    with pytest.raises(accounts.BadLink):
        bench.write(accounts.link_user, first)
    assert invited(bench, second) == alice
    with pytest.raises(accounts.BadLink):
        bench.write(accounts.link_user, second + "x")


def test_the_first_link_makes_an_administrator_and_only_while_there_is_none(bench: Bench, alice: int) -> None:
    link = bench.run(accounts.make_link, None, bench.now)
    other = bench.run(accounts.make_link, None, bench.now)
    with pytest.raises(accounts.BadLink):
        bench.write(accounts.link_user, link)
    assert bench.write(accounts.link_user, other) is None
    with pytest.raises(accounts.UserExists):
        bench.write(accounts.sign_up, other, "hash", ALICE)
    with pytest.raises(UsageError):
        bench.write(accounts.sign_up, other, "hash", None)
    assert not bench.read(accounts.has_admin)
    bench.write(accounts.add_user, "root@x", True, "test")
    with pytest.raises(accounts.BadLink):
        bench.write(accounts.sign_up, other, "hash", "eve@x")


def test_the_first_administrator_signs_up(bench: Bench) -> None:
    link = bench.run(accounts.make_link, None, bench.now)
    user = bench.write(accounts.sign_up, link, "hash", BOB)
    assert (user.email, user.admin, user.signed_up) == (BOB, True, True)
    assert bench.read(accounts.has_admin)


def test_passwords_of_nobody(bench: Bench, alice: int) -> None:
    assert bench.read(accounts.password_of, ALICE) is None
    assert bench.read(accounts.password_of, "nobody@x") is None


# ---- keys

def test_a_key_is_stored_as_a_digest(bench: Bench, alice: int) -> None:
    key, secret = bench.write(accounts.create_key, ALICE, " cluster ", "test")
    assert (key.name, key.prefix, key.email) == ("cluster", apikeys.prefix(secret), ALICE)
    assert apikeys.is_key(secret)
    found = bench.read(accounts.caller, secret)
    assert found is not None
    assert (found.user_id, found.key_id, found.suspended) == (alice, key.id, False)
    assert bench.read(accounts.caller, secret[:-1] + ("a" if secret[-1] != "a" else "b")) is None
    dump = "\n".join(bench.data.database.read(lambda db: list(db.iterdump())).result(10))
    assert secret not in dump and secret[7:] not in dump and apikeys.digest(secret) in dump


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\nb", "\x1b[31m"])
def test_key_names(bench: Bench, alice: int, name: str) -> None:
    with pytest.raises(UsageError, match="key name"):
        bench.write(accounts.create_key, ALICE, name, "test")


def test_a_revoked_key_is_nobodys(bench: Bench, alice: int) -> None:
    key, secret = bench.write(accounts.create_key, ALICE, "a", "test")
    bench.now += 1
    assert bench.write(accounts.revoke_key, key.id, "test").revoked_at == bench.now
    first = bench.now
    bench.now += 1
    assert bench.write(accounts.revoke_key, key.id, "test").revoked_at == first
    assert bench.read(accounts.caller, secret) is None
    with pytest.raises(accounts.NoSuchKey):
        bench.write(accounts.revoke_key, 99, "test")


def test_of_many_calls_within_a_minute_one_is_noted(bench: Bench, alice: int) -> None:
    def used(later: int) -> float:
        bench.run(accounts.key_used, 1, bench.now + later)
        noted = bench.read(accounts.list_keys)[0].last_used_at
        assert noted is not None
        return noted - bench.now
    assert [used(0), used(59), used(60), used(61), used(-1)] == [0, 0, 60, 60, -1]


def test_a_key_of_somebody_else_is_not_there(bench: Bench, alice: int, bob: int) -> None:
    def revoke(db: sqlite3.Connection, now: float) -> accounts.Key:
        return accounts.revoke_key(db, 1, "test", now, bob)
    with pytest.raises(accounts.NoSuchKey):
        bench.write(revoke)
    assert bench.read(accounts.list_keys)[0].revoked_at is None
    assert [key.email for key in bench.read(accounts.list_keys, BOB)] == [BOB]


def test_keys_have_a_limit(bench: Bench, alice: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MAX_KEYS", 2)
    bench.key(ALICE)
    with pytest.raises(accounts.TooManyKeys):
        bench.key(ALICE)
    bench.write(accounts.revoke_key, 1, "test")
    bench.key(ALICE)


def test_suspending_revokes_tokens_of_that_user_only(bench: Bench, alice: int, bob: int) -> None:
    bench.experiment("exp", alice)
    bench.write(experiments.share, "exp", BOB, "work", None, "test")
    for jti, user, key in (("a", alice, 1), ("b", bob, 2)):
        bench.run(tokens.record, jti, bench.read(experiments.find, "exp", None).id, user, key,
                  bench.now, bench.now + 3600)
    assert bench.write(accounts.suspend, BOB, "test").suspended_at == bench.now
    assert bench.read(tokens.revoked, "exp", bench.now) == ["b"]
    assert bench.write(accounts.resume, BOB, "test").suspended_at is None
    assert bench.read(tokens.revoked, "exp", bench.now) == ["b"]
    bench.write(accounts.revoke_key, 1, "test")
    assert bench.read(tokens.revoked, "exp", bench.now) == ["a", "b"]
    assert bench.read(tokens.revoked, "exp", bench.now + 3600 + 599) == ["a", "b"]
    assert bench.read(tokens.revoked, "exp", bench.now + 3600 + 600) == []


def test_pruning_forgets_expired_tokens_in_steps(bench: Bench, alice: int) -> None:
    made = bench.experiment("exp", alice)
    for n in range(5):
        bench.run(tokens.record, str(n), made.id, alice, 1, bench.now, bench.now + n)
    later = bench.now + 600 + 3
    assert bench.run(tokens.prune, later, 3) == 3
    assert bench.run(tokens.prune, later, 3) == 1
    assert bench.run(tokens.prune, later, 3) == 0
    bench.run(tokens.revoke, made.id, "4", bench.now)
    with pytest.raises(tokens.NoSuchToken):
        bench.run(tokens.revoke, made.id, "0", bench.now)


# ---- experiments

@pytest.mark.parametrize("name", ["", "a", "A-b", "1ab", "-ab", "a_b", "a.b", "a/b", "a" * 48, "ab\n", "ab ",
                                  "a\u00e4", "..", "a';--"])
def test_names_of_experiments(bench: Bench, alice: int, name: str) -> None:
    with pytest.raises(ProtocolError, match="2 to 47"):
        bench.write(experiments.create, name, alice, "test")


def test_each_experiment_has_an_id_and_a_secret_of_its_own(bench: Bench, alice: int) -> None:
    one, two = bench.experiment("ab", alice), bench.experiment("a" * 47, alice)
    secrets = [bench.read(experiments.secret_of, made.id) for made in (one, two)]
    assert one.id != two.id and secrets[0] != secrets[1] and min(map(len, secrets)) >= 64
    assert not any(secrets[0] in repr(made) for made in (one, two))


def test_the_name_of_a_deleted_experiment_stays_with_its_owner(bench: Bench, alice: int, bob: int) -> None:
    first = bench.experiment("exp", alice)
    with pytest.raises(experiments.NameTaken):
        bench.write(experiments.create, "exp", alice, "test")
    gone = bench.write(experiments.delete, "exp", alice, "test")
    assert gone.status == "deleted"
    bench.now += 5
    assert bench.write(experiments.delete, "exp", alice, "test") == gone
    with pytest.raises(experiments.NameTaken):
        bench.write(experiments.create, "exp", bob, "test")
    second = bench.write(experiments.create, "exp", alice, "test")
    assert second.id != first.id and second.status == "active" and second.server_url is None
    assert bench.read(experiments.secret_of, second.id) != bench.read(experiments.secret_of, first.id)
    assert [one.id for one in bench.read(experiments.list_experiments)] == [second.id]
    assert len(bench.read(experiments.list_experiments, alice, True)) == 2
    assert bench.read(experiments.list_experiments, bob, True) == []


def test_a_transfer_changes_the_secret_and_shuts_the_old_owner_out(bench: Bench, alice: int,
                                                                   bob: int) -> None:
    made = bench.experiment("exp", alice)
    bench.write(experiments.share, "exp", BOB, "work", None, "test")
    bench.run(tokens.record, "t", made.id, alice, 1, bench.now, bench.now + 3600)
    before = bench.read(experiments.secret_of, made.id)
    moved = bench.write(experiments.transfer, "exp", BOB, None, "test")
    assert (moved.owner, moved.server_url) == (BOB, None)
    assert bench.read(experiments.secret_of, made.id) != before
    assert bench.read(tokens.revoked, "exp", bench.now) == ["t"]
    assert bench.read(experiments.shared_with, made.id) == []
    with pytest.raises(experiments.NoSuchExperiment):
        bench.read(experiments.find, "exp", alice)
    with pytest.raises(experiments.NoSuchExperiment):
        bench.write(experiments.transfer, "exp", ALICE, alice, "test")


def test_a_name_is_found_in_upper_case_and_made_in_lower_case_alone(bench: Bench, alice: int) -> None:
    bench.experiment("exp", alice)
    assert bench.read(experiments.find, "Exp", alice).name == "exp"
    with pytest.raises(ProtocolError, match="a-z"):
        bench.write(experiments.create, "Another", alice, ALICE)


def test_shares(bench: Bench, alice: int, bob: int) -> None:
    made = bench.experiment("exp", alice)
    for _ in range(2):
        bench.write(experiments.share, "exp", BOB, "work", alice, "test")
    bench.write(experiments.share, "exp", ALICE, "work", alice, "test")  # the owner has it anyway
    assert bench.read(experiments.shared_with, made.id) == [(BOB, "work")]
    assert [one.name for one in bench.read(experiments.list_experiments, bob)] == ["exp"]
    with pytest.raises(experiments.NotOwner, match=ALICE):
        bench.write(experiments.share, "exp", BOB, "work", bob, "test")
    with pytest.raises(accounts.NoSuchUser):
        bench.write(experiments.share, "exp", "eve@x", "work", alice, "test")
    bench.run(tokens.record, "t", made.id, bob, 2, bench.now, bench.now + 3600)
    for _ in range(2):
        bench.write(experiments.unshare, "exp", BOB, alice, "test")
    assert bench.read(tokens.revoked, "exp", bench.now) == ["t"]
    with pytest.raises(experiments.NoSuchExperiment):
        bench.read(experiments.find, "exp", bob)


def test_changing_what_a_share_is_good_for_ends_the_tokens_of_before(bench: Bench, alice: int,
                                                                     bob: int) -> None:
    made = bench.experiment("exp", alice)
    bench.write(experiments.share, "exp", BOB, "work", alice, "test")
    for number, role in enumerate(("edit", "work")):
        bench.run(tokens.record, "t%d" % number, made.id, bob, 2, bench.now, bench.now + 3600)
        bench.run(tokens.record, "own%d" % number, made.id, alice, 1, bench.now, bench.now + 3600)
        bench.write(experiments.share, "exp", BOB, role, alice, "test")
        assert bench.read(tokens.revoked, "exp", bench.now) == ["t0", "t1"][:number + 1]
        assert bench.read(experiments.role_of, made, bob) == role
    bench.run(tokens.record, "t2", made.id, bob, 2, bench.now, bench.now + 3600)
    bench.write(experiments.share, "exp", BOB, "work", alice, "test")  # as it was
    assert "t2" not in bench.read(tokens.revoked, "exp", bench.now)
    assert bench.read(experiments.role_of, made, alice) == "owner"
    with pytest.raises(ProtocolError, match="work or edit"):
        bench.write(experiments.share, "exp", BOB, "owner", alice, "test")


def test_limits_of_experiments_and_shares(bench: Bench, alice: int, bob: int,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "MAX_EXPERIMENTS", 1)
    monkeypatch.setattr(experiments, "MAX_SHARES", 0)
    bench.experiment("exp", alice)
    with pytest.raises(experiments.TooManyExperiments):
        bench.experiment("other", alice)
    with pytest.raises(experiments.TooManyExperiments):
        bench.write(experiments.share, "exp", BOB, "work", alice, "test")


def test_history_says_who_did_what(bench: Bench, alice: int, bob: int) -> None:
    bench.experiment("exp", alice)
    bench.write(experiments.share, "exp", BOB, "work", alice, ALICE)
    bench.write(experiments.transfer, "exp", BOB, None, "cli (root)")
    bench.write(experiments.delete, "exp", bob, BOB)
    told = [entry[1:] for entry in bench.read(history.latest, 4)]
    assert told == [(BOB, "experiment deleted", "exp"),
                    ("cli (root)", "transferred from %s to %s" % (ALICE, BOB), "exp"),
                    (ALICE, "shared with %s (work)" % BOB, "exp"), ("test", "experiment created", "exp")]


# ---- the data on disk

def test_everything_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        data = HubData(tmp_path / "new" / "hub")
        data.claim()
        data.publish({"hub_url": "http://x", "pid": 1})
        data.write_now(lambda db, now: accounts.add_user(db, ALICE, False, "test", now))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.directory.iterdir()}
        assert stat.S_IMODE(data.directory.stat().st_mode) == 0o700 and not data.exposed()
        assert [name for name in modes if modes[name] & 0o077] == []
        assert modes["hub.db"] == modes["hub.db-wal"] == 0o600
        data.close()
        assert not (data.directory / "hub.json").exists()
        data.directory.chmod(0o755)
        assert data.exposed()
    finally:
        os.umask(before)


def test_a_second_claim_is_refused_and_a_dead_hub_is_no_obstacle(tmp_path: Path) -> None:
    first = HubData(tmp_path)
    first.claim()
    first.publish({"hub_url": "http://here:1", "pid": 4711, "host": "h"})
    second = HubData(tmp_path)
    with pytest.raises(JdError, match="4711 on h at http://here:1"):
        second.claim()
    assert second.url() == "http://here:1"
    stale = (tmp_path / "hub.json").read_text()
    first.close()
    (tmp_path / "hub.json").write_text(stale)
    second.claim()
    assert not (tmp_path / "hub.json").exists()
    second.close()


def test_data_that_is_not_there_is_not_made_by_a_look(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="jd_hub serve"):
        HubData(tmp_path / "typo", create=False)
    assert not (tmp_path / "typo").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another --data"):
        HubData(tmp_path / "file")


def test_a_lock_that_is_never_let_go_is_an_error_not_a_hang(tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "OPEN_TIMEOUT", 0.05)
    with open(str(tmp_path / "open.lock"), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="open.lock"):
            HubData(tmp_path)
    HubData(tmp_path).close()


def test_a_backup_is_whole_private_and_never_overwrites(bench: Bench, alice: int, tmp_path: Path) -> None:
    made = bench.experiment("exp", alice)
    path = tmp_path / "copy.db"
    assert backup.write(bench.data.database, path) == path.stat().st_size > 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(str(path))) as copy:
        assert copy.execute("SELECT id FROM experiments").fetchall() == [(made.id,)]
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    before = path.read_bytes()
    with pytest.raises(JdError, match="not overwritten"):
        backup.write(bench.data.database, path)
    assert path.read_bytes() == before
    with pytest.raises(StorageError, match="none"):
        backup.write(bench.data.database, tmp_path / "none" / "copy.db")


def test_no_half_backup_stays(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_source: sqlite3.Connection, _draft: Path, _path: Path) -> None:
        raise StorageError("disk is full")
    monkeypatch.setattr(backup, "_copy", broken)
    with pytest.raises(StorageError, match="disk is full"):
        backup.write(bench.data.database, tmp_path / "copy.db")
    assert list(tmp_path.glob("*copy*")) == list(tmp_path.glob(backup.DRAFT + "*")) == []


def test_the_half_of_one_that_was_killed_goes_with_a_later_one(bench: Bench, tmp_path: Path) -> None:
    names = ("a" * 16 + ".db", "b" * 16 + ".db", "c.db")
    half, young, other = (tmp_path / (backup.DRAFT + name) for name in names)
    for path in (half, young, other):
        path.write_bytes(b"half")
    for path in (half, other):
        os.utime(str(path), (1.0, 1.0))
    backup.write(bench.data.database, tmp_path / "copy.db")
    assert not half.exists() and young.exists() and other.exists() and (tmp_path / "copy.db").exists()


def test_schema_stays_within_sqlite_3_26() -> None:
    text = "\n".join(MIGRATIONS).upper()
    for newer in ("RETURNING", "STRICT", "->>", "DROP COLUMN", "GENERATED ALWAYS"):
        assert newer not in text


# ---- quota

def test_quota_counts_each_key_within_any_minute() -> None:
    now = [0.0]
    quota = Quota(3, 60.0, lambda: now[0])
    assert [quota.take(1), quota.take(1)] == [0, 0]
    now[0] = 30.0
    assert quota.take(1) == 0
    assert quota.take(1) == 30 and quota.take(2) == 0
    now[0] = 59.5
    assert quota.take(1) == 1
    now[0] = 60.0
    assert [quota.take(1), quota.take(1), quota.take(1)] == [0, 0, 30]


def test_quota_forgets_quiet_keys() -> None:
    now = [0.0]
    quota = Quota(3, 60.0, lambda: now[0])
    for key in range(1000):
        quota.take(key)
    now[0] = 61.0
    quota.take(1000)
    assert len(quota._taken) == 1
