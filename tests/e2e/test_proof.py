"""A real server shows that it knows the token, and is given it then."""

from pathlib import Path

import pytest

from jd.errors import ServerRefused
from jd.net.client import Client
from tests.e2e.processes import Server

TOKEN = "a-token-that-both-sides-have"


def test_a_server_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jd.net.peer.socketowner.server_uid", lambda connected: None)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    with Server(tmp_path, "--token-file", tmp_path / "token") as server:
        client = Client(server.url, lambda: TOKEN)
        assert client.call("GET", "/job_counts")["PENDING"] == 0
        source = tmp_path / "file"
        source.write_bytes(b"x" * 300_000)
        with pytest.raises(ServerRefused, match="there is no job 1"):
            client.upload("/upload", {"job_id": "1"}, "file", source, "file", 300_000)
        with pytest.raises(ServerRefused, match="another token than ours") as caught:
            Client(server.url, lambda: TOKEN + "?").call("GET", "/job_counts")
        assert caught.value.status == 401
