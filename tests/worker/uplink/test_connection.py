"""How a worker's calls reach its server."""

from pathlib import Path

from jd.protocol import HEARTBEAT, UPDATE_JOB_STATUS
from jd.worker.uplink.callthread import BEAT, REPORT, Call
from jd.worker.uplink.connection import Connection
from tests.net_client.keeper import Keeper
from tests.worker.uplink.test_checkpoint_keys import config


def test_calls_share_a_connection(tmp_path: Path) -> None:
    """To make one takes both sides longer than a call on it."""
    with Keeper() as server:
        connection = Connection(config(tmp_path, server.url), print, lambda: None)
        for _ in range(3):
            connection.deliver(Call(BEAT, HEARTBEAT, {}, 10.0))
            connection.deliver(Call(REPORT, UPDATE_JOB_STATUS, {}, 10.0))
        assert server.asked == [(1, "POST")] * 6
        connection.rest()
        connection.deliver(Call(BEAT, HEARTBEAT, {}, 10.0))
        assert server.asked[6:] == [(2, "POST")]
