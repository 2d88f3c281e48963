"""Only what the owner's own workers have signed is unpickled."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import jd
from jd import protocol
from jd.auth import checkpointkey
from jd.errors import LimitError
from jd.script import signature
from jd.script.signature import Signer, UntrustedCheckpoint, fits, read, sign
from tests.script.signing import KEY, OTHER, signed
from tests.script.stub_server import Answer, StubServer
from tests.script.test_checkpoint import SAVED, sent_pickle

RAN = "payload-ran"


class Payload:
    """Leaves a mark in the environment when it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("import os; os.environ[%r] = '1'" % RAN,)


PROGRAM = pickle.dumps(Payload(), 4)
OBJECT = pickle.dumps({"epoch": 3}, 4)


@pytest.fixture(autouse=True)
def no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RAN, raising=False)


def ran() -> bool:
    return os.environ.pop(RAN, None) is not None


def test_the_payload_does_run_where_nothing_is_checked() -> None:
    pickle.loads(PROGRAM)
    assert ran()


# ---- the file

def test_other_clients_read_what_is_signed() -> None:
    file = io.BytesIO(signed(OBJECT))
    assert pickle.load(file) == {"epoch": 3}
    assert file.tell() == len(OBJECT)
    assert pickle.loads(signed(OBJECT)) == {"epoch": 3}


def test_what_the_library_saves_is_a_pickle_as_ever(stub: StubServer, job: Path) -> None:
    stub.will_answer(Answer(200, SAVED))
    jd.jd_update_checkpoint({"epoch": 3})
    content = sent_pickle(stub)
    assert content.startswith(OBJECT) and pickle.load(io.BytesIO(content)) == {"epoch": 3}
    trailer = read(io.BytesIO(content))
    assert trailer is not None
    assert (trailer.body, trailer.experiment, trailer.job_id) == (len(OBJECT), "digits-tune", 42)
    # With the key that the worker gave, and with the one of the home that the job has.
    for key in (KEY, checkpointkey.home_key(os.environ)):
        assert fits(io.BytesIO(content), trailer, [OTHER, key])
    assert not fits(io.BytesIO(content), trailer, [OTHER])


def test_any_other_byte_job_experiment_or_key_does_not_fit() -> None:
    whole = signed(OBJECT, KEY, OTHER)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1
        file = io.BytesIO(changed)
        trailer = read(file)
        if trailer is None:
            continue  # the tail itself: it is no signature any more
        in_macs = trailer.body + len(trailer.claim) <= at < len(whole) - 20
        # Of two HMACs one is as it was.
        assert fits(file, trailer, [KEY, OTHER]) is in_macs, at
    assert not any(fits(io.BytesIO(whole), read(io.BytesIO(whole)), keys)  # type: ignore[arg-type]
                   for keys in ([], [checkpointkey.of_token("x" * 20)]))


def test_job_and_experiment_are_not_confused_with_the_bytes() -> None:
    """A byte that moves from the experiment into the pickle is another statement."""
    one, other = signed(b"bytes", experiment="ab", job_id=7), signed(b"bbytes", experiment="a", job_id=7)
    assert one[-52:-20] != other[-52:-20]


@pytest.mark.parametrize("content", [b"", b"x", OBJECT, signature.MARK, signed(OBJECT)[:-1],
                                     signed(OBJECT)[1:-20], signed(OBJECT) + b"\0", signed(OBJECT)[-40:]])
def test_what_is_no_signature(content: bytes) -> None:
    assert read(io.BytesIO(content)) is None


def test_a_file_is_not_signed_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = Signer([KEY], "digits-tune", 42)
    monkeypatch.setattr(protocol, "MAX_FILE_BYTES", len(OBJECT) + signer.size)
    assert len(signed(OBJECT)) == protocol.MAX_FILE_BYTES
    monkeypatch.setattr(protocol, "MAX_FILE_BYTES", len(OBJECT) + signer.size - 1)
    file = io.BytesIO(OBJECT)
    with pytest.raises(LimitError, match="it has with its signature more than"):
        sign(file, signer, "it")
    assert file.getvalue() == OBJECT


def test_what_an_earlier_version_signed_for_a_name_in_upper_case(stub: StubServer, job: Path) -> None:
    stub.will_answer(Answer(200, signed(OBJECT, experiment="Digits-Tune")))
    assert jd.jd_get_last_checkpoint() is not None


# ---- what is refused

@pytest.mark.parametrize("content, why", [
    (PROGRAM, "it is not signed"),
    (signed(PROGRAM, OTHER), "its signature is of no key at hand here"),
    (signed(PROGRAM, job_id=1), "it was signed for job 1 of 'digits-tune'"),
    (signed(PROGRAM, experiment="other"), "it was signed for job 42 of 'other'"),
    (signed(PROGRAM, experiment="digits-tun"), "of 'digits-tun'"),
    (signed(PROGRAM).replace(b"'1'", b"'2'"), "or it was changed"),
    (signed(OBJECT) + PROGRAM, "it is not signed"), (PROGRAM + signed(OBJECT), "or it was changed"),
    (signed(PROGRAM)[:-1], "it is not signed"), (signed(PROGRAM)[1:], "or it was changed"),
], ids=["bare", "of another owner", "of another job", "of another experiment", "of a like name", "edited",
        "behind a signed one", "before a signed one", "cut", "without its beginning"])
def test_it_is_not_unpickled(stub: StubServer, job: Path, content: bytes, why: str) -> None:
    stub.will_answer(Answer(200, content))
    with pytest.raises(UntrustedCheckpoint,
                       match="of job 42 is not unpickled, since a checkpoint is a program, "
                                                  "and .*%s" % why) as raised:
        jd.jd_get_last_checkpoint()
    assert not ran()
    told = str(raised.value)
    for part in ("you share the experiment with", "published jd-worker client", "older than this version",
                 "JD_CHECKPOINTS=unsigned in the worker's environment",
                 "jd_server checkpoint trust 42 --expId digits-tune"):
        assert part in told
    assert KEY not in told and "\n" not in told


def test_it_can_be_accepted_all_the_same(stub: StubServer, job: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_CHECKPOINTS", "unsigned")
    for content in (OBJECT, signed(OBJECT, OTHER), signed(OBJECT)):
        stub.will_answer(Answer(200, content))
        assert jd.jd_get_last_checkpoint() == {"epoch": 3}


def test_only_the_bytes_that_were_checked_are_read(stub: StubServer, job: Path) -> None:
    """A pickle that goes on into its signature ends where its bytes end."""
    stub.will_answer(Answer(200, signed(b"\x80\x04B\xff\x00\x00\x00short")))
    with pytest.raises(jd.errors.JdError, match="cannot be unpickled"):
        jd.jd_get_last_checkpoint()


# ---- the keys

def test_the_home_alone_will_do(stub: StubServer, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(checkpointkey.VARIABLE)
    stub.will_answer(Answer(200, SAVED))
    jd.jd_update_checkpoint([1])
    content = sent_pickle(stub)
    stub.will_answer(Answer(200, content))
    assert jd.jd_get_last_checkpoint() == [1]
    monkeypatch.setenv("HOME", str(job))
    stub.will_answer(Answer(200, content))
    with pytest.raises(UntrustedCheckpoint, match="no key at hand here"):
        jd.jd_get_last_checkpoint()


def test_without_any_key_nothing_is_sent(stub: StubServer, job: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(checkpointkey.VARIABLE)
    monkeypatch.setenv("HOME", "/proc/version")
    with pytest.raises(jd.errors.JdError, match="there is no key for it.*Set HOME"):
        jd.jd_update_checkpoint([1])
    assert stub.asked == []
    monkeypatch.setenv("JD_SERVER_TOKEN", "a-token-of-a-server-0123")
    stub.will_answer(Answer(200, SAVED))
    jd.jd_update_checkpoint([1])


# ---- where no experiment is named

def test_a_server_that_is_named_may_have_any_experiment(stub: StubServer, job: Path) -> None:
    """As for the weights of another sweep's job to begin with."""
    stub.will_answer(Answer(200, signed(OBJECT, experiment="pretraining", job_id=8)))
    assert jd.jd_get_last_checkpoint(job_id=8, server=stub.url) == {"epoch": 3}
    for content in (signed(PROGRAM, OTHER, job_id=8), signed(PROGRAM, job_id=9), PROGRAM):
        stub.will_answer(Answer(200, content))
        with pytest.raises(UntrustedCheckpoint):
            jd.jd_get_last_checkpoint(job_id=8, server=stub.url)
        assert not ran()


def test_what_was_saved_there_is_good_for_that_job_in_any(stub: StubServer, job: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    stub.will_answer(Answer(200, SAVED))
    jd.jd_update_checkpoint({"epoch": 3}, job_id=42, server=stub.url)
    content = sent_pickle(stub)
    for experiment in ("digits-tune", "other"):
        monkeypatch.setenv("JD_EXP_ID", experiment)
        stub.will_answer(Answer(200, content))
        assert jd.jd_get_last_checkpoint() == {"epoch": 3}

