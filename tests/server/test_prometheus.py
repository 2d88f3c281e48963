"""`GET /metrics`: valid text, right numbers, for whom it is meant."""

import os
import re
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Optional, Tuple, Type, Union

import pytest

from jd import messages
from jd import protocol as p
from jd.errors import StorageError, UsageError
from jd.net.serving.routing import Request, Response
from jd.server.api import prometheus
from jd.server.api.access import Access
from jd.server.app import JobServer
from jd.server.command import cli
from jd.server.creation.batch import from_grid
from jd.server.experiment import Experiment
from jd.server.store.fleet import commands, presence, workers
from jd.server.store.policy import Policy
from jd.server.store.queue import claim, ending
from jd.server.store.transaction import Transaction
from tests.server import scenes
from tests.server.store_support import clock_at

Scenario = Callable[["Bench"], Awaitable[None]]

TOKEN = "a-token-for-prometheus"
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)'
                    r'(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
UNESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


def parse(text: str) -> Tuple[Dict[Tuple[Any, ...], float], Dict[str, str]]:
    """Samples of text format 0.0.4 by name and labels; types by family. Asserts its grammar."""
    assert text.endswith("\n") and not text.endswith("\n\n")
    samples, types, helped = {}, {}, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in helped
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types and kind in ("counter", "gauge")
            assert kind != "counter" or name.endswith("_total")
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert name == list(types)[-1] and name in helped  # families are not interleaved
            key = (name, *sorted((label, re.sub(r"\\.", lambda found: UNESCAPED[found.group()], text))
                                 for label, text in LABEL.findall(labels or "")))
            assert key not in samples
            samples[key] = float(value)
    return samples, types


class Bench:
    def __init__(self, workspace: Path, access: Access, token: Optional[str] = None) -> None:
        self.experiment = Experiment(workspace, "exp", Policy(), clock=clock_at(lambda: 1_000_000.0))
        self.server = JobServer(self.experiment, access, None, token)

    def close(self) -> None:
        self.server.signin.close()
        self.experiment.close()

    async def get(self, **headers: str) -> Response:
        return await self.server.api.dispatch(Request("GET", "/metrics", dict(
            {"host": "127.0.0.1:5000"}, **headers), peer_uid=os.geteuid))


def three_workers(t: Transaction) -> None:
    """One waits, one is told to drain and has taken it, one has left."""
    t.policy = t.policy._replace(paused=True)
    for slot in range(3):
        workers.heartbeat(t, messages.Heartbeat.from_json({"worker_id": "a_b_%d" % slot, "session": "s"}))
    commands.tell(t, p.DRAIN, ["a_b_1"], "dashboard")
    workers.heartbeat(t, messages.Heartbeat.from_json(
        {"worker_id": "a_b_1", "session": "s", "applied_version": 1}))
    presence.mark_left(t, "a_b_2", "stopped", "worker")


def play(tmp_path: Path, scenario: Scenario, access: Optional[Access] = None,
         token: Optional[str] = None) -> None:
    scenes.play(lambda: Bench(tmp_path, access or Access("127.0.0.1", None, False), token), scenario)


def test_the_state_of_the_experiment(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.server.creation.create(from_grid({"x": [1, 2, 3]}))
        for job_id, verdict in ((1, p.VERDICT_DONE), (2, p.VERDICT_OOM)):
            await bench.experiment.write(lambda t: claim.claim(t, "h_abc_0", None))
            await bench.experiment.write(lambda t: ending.end(t, job_id, verdict))
        traffic = bench.server._api_server.traffic
        traffic.count(200)
        traffic.bytes_in, traffic.bytes_out, traffic.connections = 1, 2 ** 60 + 1, 3
        answer = await bench.get()
        assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.body.decode("utf-8")
        assert str(2 ** 60 + 1) in text  # not rounded
        samples, types = parse(text)
        assert types["jd_attempts_total"] == types["jd_http_requests_total"] == "counter"
        assert {status: samples["jd_jobs", ("status", status)] for status in p.JOB_STATUSES_ALL} == {
            "PENDING": 1, "SERVED": 0, "DONE": 1, "ABORTED": 1, "DELETED": 0}
        assert samples["jd_attempts_total", ("verdict", "done")] == 1
        assert samples["jd_attempts_total", ("verdict", "oom")] == 1
        assert samples["jd_attempts_total", ("verdict", "lost")] == 0
        assert samples["jd_http_requests_total", ("class", "2xx"), ("port", "api")] == 1
        assert samples["jd_http_requests_total", ("class", "5xx"), ("port", "dashboard")] == 0
        assert samples["jd_http_bytes_total", ("direction", "in"), ("port", "api")] == 1
        assert samples["jd_http_connections", ("port", "api")] == 3
        assert sum(n for key, n in samples.items() if key[0] == "jd_workers") == 0
        await bench.experiment.write(three_workers)
        samples, _ = parse((await bench.get()).body.decode("utf-8"))
        assert {key[1][1]: n for key, n in samples.items() if key[0] == "jd_workers"} == {
            "idle": 1, "busy": 0, "paused": 0, "leaving": 1, "disabled": 1}
        assert samples["jd_database_bytes",] > 10000 and samples["jd_paused",] == 0
        assert [key for key in samples if key[0] == "jd_build_info" and ("experiment", "exp") in key]
    play(tmp_path, scene)


def test_labels_and_help_are_escaped() -> None:
    hostile = 'a"b\\c\nd{e}=,'
    text = "\n".join(prometheus._family("jd_x", "gauge", "one\ntwo\\", [({"l": hostile}, 1)])) + "\n"
    samples, _ = parse(text)
    assert samples == {("jd_x", ("l", hostile)): 1.0}
    assert text.startswith("# HELP jd_x one\\ntwo\\\\\n")


def test_who_may_ask(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("the-token-of-the-workers")

    async def scene(bench: Bench) -> None:
        assert (await bench.get()).status == 401
        assert (await bench.get(authorization="Bearer wrong")).status == 401
        assert (await bench.get(authorization="Bearer the-token-of-the-workers")).status == 200
        assert (await bench.get(authorization="Bearer " + TOKEN)).status == 200
        # It opens nothing else.
        other = await bench.server.api.dispatch(Request("GET", p.JOB_COUNTS, {
            "host": "127.0.0.1:5000", "authorization": "Bearer " + TOKEN}))
        assert other.status == 401
    play(tmp_path, scene, Access("0.0.0.0", file, False), TOKEN)


def test_without_a_token_of_its_own_it_is_as_the_api(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.get()).status == 200
        assert (await bench.get(host="evil.example")).status == 403
        assert (await bench.get(authorization="Bearer " + TOKEN, host="evil.example")).status == 401
    play(tmp_path, scene)


@pytest.mark.parametrize("content, kind", [(None, StorageError), ("short", UsageError)])
def test_a_token_file_that_cannot_be_used_is_told_at_the_start(
        tmp_path: Path, content: Optional[str], kind: Type[Union[StorageError, UsageError]]) -> None:
    file = tmp_path / "metrics-token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(kind, match="metrics-token"):
        cli.main(["--expId", "exp", "--workspace_path", str(tmp_path), "--metrics-token-file", str(file)])
