"""No error repeats a key or token that was typed in the wrong place."""

import secrets
import subprocess
from pathlib import Path
from typing import List

import pytest

from jd.auth.apikeys import new_key
from jd.errors import JdError, UsageError
from jd.redaction import hidden
from tests.support import free_env, python

KEY = "jd_Zm4Q9xT1bV7cN2kL8sD5fG0hJ3wR6yP1aE4uI7oX"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJqb2IiOiJzd2VlcCJ9.c2lnbmF0dXJlLW9mLWl0"
TOKEN = "q0Qc7Zk_3fWb-1sXyLr9TtVd2NaPmE8uJh5Gi6KoRw4"


@pytest.mark.parametrize("secret", [KEY, JWT, TOKEN, "0123456789abcdef" * 2, "--api_key=" + KEY])
def test_what_looks_like_a_secret(secret: str) -> None:
    for text in ("unexpected word '%s'; see", "%s: not allowed", "give %s"):
        assert secret[-12:] not in hidden(text % secret)
        assert secret[-12:] not in str(JdError(text % secret))


def test_secrets_as_they_are_made() -> None:
    for _ in range(200):
        key = new_key()
        assert hidden("'%s'" % key) == "'jd_...'"
    kept = [word for word in (secrets.token_urlsafe(32) for _ in range(1000)) if hidden(word) == word]
    assert len(kept) < 50


@pytest.mark.parametrize("text", [
    "there is no experiment 'ResNet50_imagenet_long_sweep_2024_final'; see", "jd_worker_cli",
    "jd_update_checkpoint", "unknown command 'jd_something'", "node17.cluster.example.org_abcdef_0",
    "/scratch/0123456789abcdef0123456789abcdef/train.py cannot be read", "JD_SERVER_METRICS_TOKEN_FILE",
    "aborted-job-reset-timeout", "learning_rate_schedule_with_warmup_and_cosine_decay"])
def test_other_words_stay(text: str) -> None:
    assert hidden(text) == text


@pytest.mark.parametrize("words", [
    ["jd.cli", "expId=x", "stop", KEY], ["jd.cli", "expId=x", "worker-status", KEY], ["jd.cli", KEY],
    ["jd.cli", "expId=x", "restart", "a", KEY], ["jd.cli", KEY + "=1"], ["jd.cli", "help", KEY],
    ["jd.cli", "expId=" + KEY + "/", "worker-list"], ["jd.cli", "expId=x", "completion", KEY],
    ["jd.cli", "expId=x", "server-info", "port=" + KEY], ["jd.server", KEY],
    ["jd.server", "--expId", "x", "--port", KEY], ["jd.server", "--api_key", KEY],
    ["jd.server", "pin", KEY], ["jd.server", "--expId", KEY + "/"], ["jd.hub", KEY],
    ["jd.hub", "serve", "--key", KEY], ["jd.hub", "key", "revoke", KEY], ["jd.hub", "user", "add", KEY],
    ["jd.hub", "serve", "--port", TOKEN], ["jd.server", "--expId", "x", TOKEN],
    ["jd.cli", "expId=x", "stop", JWT]])
def test_no_command_repeats_one(tmp_path: Path, words: List[str]) -> None:
    done = subprocess.run(python("-m", *words), env=free_env(tmp_path), cwd=str(tmp_path), timeout=60,
                          capture_output=True)
    assert done.returncode in (1, 2)
    assert b"error: " in done.stderr and b"Traceback" not in done.stderr
    for secret in (KEY, TOKEN, JWT):
        assert secret[-12:].encode() not in done.stderr + done.stdout


def test_errors_stay_what_they_are() -> None:
    assert UsageError("a", "b").args == ("a; b",) and str(JdError("")) == ""
