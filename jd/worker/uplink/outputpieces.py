"""The output of jobs on its way to the server, in pieces that say where in it they belong.

The server answers how much it has; what it has already it passes over, so a piece may go twice.
"""

from typing import BinaryIO, Iterator, NamedTuple

from jd import protocol
from jd.messages import OutputPiece
from jd.outputtext import to_last_character
from jd.protocol import MAX_PIECE_BYTES
from jd.script.context import JobContext
from jd.worker.uplink import piececall


class Piece(NamedTuple):
    """Bytes of UTF-8 at `offset` of the output; `after_gap`: what comes before is not there any more."""

    offset: int
    data: bytes
    after_gap: bool = False

    @property
    def end(self) -> int:
        """The offset of what comes next."""
        return self.offset + len(self.data)


class Told(NamedTuple):
    """What the server says: how far it has the output, and how often it wants more, in seconds."""

    size: int
    every: float


def send(context: JobContext, piece: Piece, final: bool = False) -> Told:
    """Send one piece. Raises ServerUnreachable, ServerRefused."""
    assert context.attempt is not None  # which every server has that knows the route
    body = OutputPiece(context.job_id, context.attempt, piece.offset, piece.data.decode("utf-8", "replace"),
                       piece.after_gap, final)
    answer = piececall.call(context, protocol.OUTPUT, body.to_json(), "size",
                            protocol.OUTPUT_INTERVAL)
    return Told(piece.end if answer.reach is None else answer.reach, answer.every)


def of_file(file: BinaryIO, offset: int) -> Iterator[Piece]:
    """The pieces of a file that holds output from `offset` on, with nothing known of what comes before."""
    rest = b""
    while True:
        data = rest + file.read(MAX_PIECE_BYTES - len(rest))
        if not data:
            return
        end = to_last_character(data) or len(data)
        yield Piece(offset, data[:end], True)
        offset, rest = offset + end, data[end:]
