"""What published clients are told of their timing in answers to heartbeats."""

from typing import Any, Dict

import pytest

from tests.server.store_support import Desk

TUNED = {"control_chunk": 10, "status_retry_count": 30}
BUSY = {"reported_status": "busy", "current_job_id": 1}


def extras(desk: Desk, **fields: Any) -> Dict[str, Any]:
    told = desk.beat(**fields).reply.to_json()
    return {name: told[name] for name in told if name.startswith(("control_", "status_retry"))}


@pytest.mark.parametrize("version", ["1.23.0", "1.28.0", "1.29.0", "1.30", "2.0.1"])
def test_clients_from_1_23_on_ask_sooner_and_report_longer(desk: Desk, version: str) -> None:
    assert extras(desk, jd_worker_version=version) == TUNED
    desk.create(1)
    assert extras(desk, jd_worker_version=version) == TUNED  # with a job
    assert extras(desk, jd_worker_version=version, **BUSY) == TUNED


@pytest.mark.parametrize("version", ["1.15.0", "1.18.0", "1.20.0", "1.22.9", "", "1", "1.230x", "x1.29.0"])
def test_others_are_told_nothing_of_it(desk: Desk, version: str) -> None:
    assert extras(desk, jd_worker_version=version) == {}


def test_our_own_workers_are_told_nothing_of_it(desk: Desk) -> None:
    assert extras(desk, jd_worker_version="1.29.0", session="s") == {}
