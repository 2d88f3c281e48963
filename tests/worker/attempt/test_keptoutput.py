"""What a job has printed, as its worker keeps it until the server has it."""

import os
from pathlib import Path
from typing import Any, Callable, Iterator, List, Tuple

import pytest

from jd import protocol
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.script.context import JobContext
from jd.worker.attempt.output import keptoutput, outputsending
from jd.worker.attempt.output.keptoutput import KeptOutput
from jd.worker.attempt.output.outputsending import OutputSending
from jd.worker.uplink import outputpieces
from jd.worker.uplink.outputpieces import Piece, Told
from jd.worker.uplink.waitingfiles import WaitingFiles

JOB = JobContext("e", 5, "http://127.0.0.1:9", lambda: None, 2)
HEAD, TAIL, PIECE = 1000, 600, 256


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keptoutput, "OUTPUT_HEAD", HEAD)
    monkeypatch.setattr(keptoutput, "OUTPUT_TAIL", TAIL)
    monkeypatch.setattr(keptoutput, "MAX_PIECE_BYTES", PIECE)
    monkeypatch.setattr(keptoutput, "MAX_TAIL_CHARS", 64)
    monkeypatch.setattr(outputpieces, "MAX_PIECE_BYTES", PIECE)


Keep = Callable[..., KeptOutput]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Keep]:
    """Keeps some output, `step` bytes at a time."""
    made: List[KeptOutput] = []

    def keep(data: bytes, step: int = 97) -> KeptOutput:
        made.append(KeptOutput(tmp_path / "cache", _fail))
        for at in range(0, len(data), step):
            made[-1].append(data[at:at + step])
        return made[-1]
    yield keep
    for output in made:
        output.close()


def _fail(text: str) -> None:
    raise AssertionError(text)


def pieces(output: KeptOutput) -> List[Piece]:
    found: List[Piece] = []
    piece = output.piece(0)
    while piece is not None:
        found.append(piece)
        piece = output.piece(piece.end)
    return found


def numbered(size: int) -> bytes:
    return b"".join(b"%07d\n" % at for at in range(0, size, 8))[:size]


@pytest.mark.parametrize("size", [65, 999, 1000, 1001, 1600, 1601, 2199, 9001])
def test_the_beginning_and_the_end_are_there_in_pieces(kept: Keep, tmp_path: Path, size: int) -> None:
    data = numbered(size)
    output = kept(data)
    found = pieces(output)
    assert all(piece.data == data[piece.offset:piece.end] and 0 < len(piece.data) <= PIECE for piece in found)
    assert b"".join(piece.data for piece in found) == (
        data if size <= HEAD + TAIL else data[:HEAD] + data[-TAIL:])
    gaps = [piece.offset for piece in found if piece.after_gap]
    assert gaps == ([] if size <= HEAD + TAIL else [size - TAIL])
    assert os.listdir(str(tmp_path / "cache")) == []  # the file has no name


def test_what_goes_with_the_result_is_in_no_file(kept: Keep, tmp_path: Path) -> None:
    output = kept(b"x" * 64)
    assert not output.is_long and output.piece(0) is None and not (tmp_path / "cache").exists()


def test_pieces_begin_and_end_between_characters(kept: Keep) -> None:
    data = ("€" * 3000).encode()
    for step in (3, 300):
        found = pieces(kept(data, step))
        for piece in found:
            piece.data.decode("utf-8")
        assert sum(piece.after_gap for piece in found) == 1
        assert found[-1].end == len(data)


def test_a_disk_that_takes_nothing_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told: List[str] = []
    output = KeptOutput(tmp_path / "file" / "cache", told.append)
    for _ in range(3):
        output.append(b"x" * 50)
    assert len(told) == 1 and "cannot be kept" in told[0]
    assert not output.is_long and output.piece(0) is None and output.size == 150


class Server:
    """Takes pieces as a server does; `failure` is what the next ones meet."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = b""
        self.failure: Any = None
        self.calls: List[Tuple[int, int, bool]] = []
        monkeypatch.setattr(outputpieces, "send", self.send)

    def send(self, context: JobContext, piece: Piece, final: bool = False) -> Told:
        if self.failure is not None:
            raise self.failure
        self.calls.append((piece.offset, len(piece.data), final))
        if piece.offset <= len(self.data):
            self.data += piece.data[len(self.data) - piece.offset:]
        return Told(len(self.data), 30.0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def sending(output: KeptOutput, told: Callable[[str], None] = _fail) -> OutputSending:
    return OutputSending(output, lambda: JOB, told)


def test_it_goes_now_and_then_and_soon_while_somebody_looks(kept: Keep, server: Server) -> None:
    output = kept(numbered(300))
    one = sending(output)
    one.look(0.0, watched=False)
    assert server.calls == []  # a short job sends all at its end
    one.look(outputsending.FIRST, watched=False)
    assert server.data == numbered(300)
    output.append(b"more\n")
    one.look(outputsending.FIRST + 29.0, watched=False)
    assert len(server.data) == 300
    one.look(outputsending.FIRST + 29.0, watched=True)
    assert server.data == numbered(300) + b"more\n"
    before = len(server.calls)
    one.look(1000.0, watched=True)
    assert len(server.calls) == before  # nothing is new
    output.append(b"last\n")
    one.finish()
    assert server.data.endswith(b"more\nlast\n") and server.calls[-1][2]


def test_what_a_server_has_lost_goes_again(kept: Keep, server: Server) -> None:
    output = kept(numbered(700))
    one = sending(output)
    one.look(0.0, watched=True)
    server.data = server.data[:400]
    output.append(b"x" * 50)
    one.finish()
    assert server.data == numbered(700) + b"x" * 50


def test_a_short_one_and_one_that_is_refused_send_nothing(kept: Keep, server: Server) -> None:
    sending(kept(b"short")).finish()
    assert server.calls == []
    told: List[str] = []
    one = sending(kept(numbered(700)), told.append)
    server.failure = ServerRefused(409, "it is somebody else's")
    one.look(0.0, watched=True)
    server.failure = AssertionError("asked again")
    one.look(100.0, watched=True)
    one.finish()
    assert len(told) == 1 and "somebody else's" in told[0]


@pytest.mark.parametrize("failure", [ServerUnreachable("away"), ServerRefused(503, "busy")])
def test_while_the_server_is_away_the_rest_waits_and_arrives(kept: Keep, tmp_path: Path, server: Server,
                                                             monkeypatch: pytest.MonkeyPatch,
                                                             failure: JdError) -> None:
    data = numbered(9000)
    output = kept(data[:300])
    one = sending(output)
    one.look(0.0, watched=True)
    output.append(data[300:])
    server.failure = failure
    one.look(100.0, watched=True)
    with pytest.raises(type(failure)):
        one.finish()
    waiting = WaitingFiles.new(tmp_path / "outbox", 5, 2)
    one.keep(waiting)
    items = waiting.items()
    assert [(item.route, item.offset) for item in items] == [
        (protocol.OUTPUT, 300), (protocol.OUTPUT, 9000 - TAIL)]
    server.failure = None
    arrived: List[bytes] = []

    def send(context: JobContext, piece: Piece, final: bool = False) -> Told:
        assert piece.after_gap and final
        arrived.append(piece.data)
        return Told(piece.end, 30.0)

    monkeypatch.setattr(outputpieces, "send", send)
    waiting.send(JOB, lambda text: None)
    assert b"".join(arrived) == data[300:HEAD] + data[-TAIL:] and waiting.items() == []


def test_a_server_that_knows_no_output_costs_the_output_and_not_the_result(kept: Keep, tmp_path: Path,
                                                                           server: Server) -> None:
    waiting = WaitingFiles.new(tmp_path / "outbox", 5, 2)
    sending(kept(numbered(700))).keep(waiting)
    gateway = ServerRefused(404, "nginx")
    server.failure = gateway
    with pytest.raises(ServerRefused):
        waiting.send(JOB, _fail)
    assert waiting.items()
    server.failure = ServerRefused(404, "there is nothing at /worker/output")
    server.failure.told = {"success": False, "error": "there is nothing at /worker/output"}
    told: List[str] = []
    waiting.send(JOB, told.append)
    assert len(told) == 1 and "dropped" in told[0] and not waiting.items()
