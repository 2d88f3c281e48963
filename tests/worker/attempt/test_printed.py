"""Which lines of a script's output are results."""

import math
import time
from typing import Dict

import pytest

from jd.worker.attempt.output import printed
from jd.worker.attempt.output.printed import Printed, Scalar


def values_of(*chunks: bytes) -> Dict[str, Scalar]:
    made = Printed()
    for chunk in chunks:
        made.feed(chunk)
    return made.values()


@pytest.mark.parametrize("line, values", [
    ("loss=0.031", {"loss": 0.031}),
    ("  loss: 0.031  ", {"loss": 0.031}),
    ("loss = -1e-4", {"loss": -1e-4}),
    ("epochs=3", {"epochs": 3}),
    ("Test accuracy: 93.1%", {"Test accuracy": 93.1}),
    ("loss=0.5 acc=0.9", {"loss": 0.5, "acc": 0.9}),
    ("loss: 0.5, val loss: 0.7 | lr: .1", {"loss": 0.5, "val loss": 0.7, "lr": 0.1}),
    ("val/acc_top-1=1.", {"val/acc_top-1": 1.0}),
    ("big=123456789012345678901", {"big": 123456789012345678901}),
    ('{"epoch": 3, "val": {"acc": 0.5}, "ok": true}', {"epoch": 3, "val.acc": 0.5, "ok": True}),
    ('{"acc": "0.93", "name": "adam", "none": null, "list": [1]}', {"acc": "0.93"}),
    ("\x1b[32mloss=0.5\x1b[0m", {"loss": 0.5}),
])
def test_lines_that_count(line: str, values: Dict[str, Scalar]) -> None:
    assert values_of(line.encode() + b"\n") == values


@pytest.mark.parametrize("line", [
    "loss 0.5", "the loss=0.5 was good", "epoch 3: loss=0.5", "loss=0.5 (best)", "time: 12:30:01", "=5",
    "3=5", "loss=", "loss=abc", "loss=information", "a=1 b", "http://host:5000",
    '{"loss": 0.5', "[1, 2]", '{"a": }',
    "one two three four five: 6", "x=1e", "--lr=0.1", "loss=0x10"])
def test_lines_that_do_not(line: str) -> None:
    assert values_of(line.encode() + b"\n") == {}


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-Infinity"])
def test_numbers_that_are_none(text: str) -> None:
    value = values_of(b"loss=%s\n" % text.encode())["loss"]
    assert isinstance(value, float) and not math.isfinite(value)
    value = values_of(b'{"loss": NaN}\n')["loss"]
    assert isinstance(value, float) and math.isnan(value)


def test_the_last_value_of_each_name_counts() -> None:
    assert values_of(b"loss=3\nacc=0\n", b"loss=2\r\nloss=1\n") == {"loss": 1, "acc": 0}


def test_a_line_may_come_in_pieces_and_the_last_without_an_end() -> None:
    assert values_of(b"lo", b"ss=0.", b"5", b"25\nacc=0.9", b"31") == {"loss": 0.525, "acc": 0.931}


def test_states_of_a_progress_bar_are_lines() -> None:
    assert values_of(b"loss=3\rloss=2\rloss=1\r", b"\n") == {"loss": 1}


def test_a_line_without_end_costs_no_memory_and_hides_nothing_after_it() -> None:
    made = Printed()
    for _ in range(40):
        made.feed(b"x" * 64 * 1024)
        assert len(made._held) <= printed.MAX_LINE
    made.feed(b"loss=1\nacc=2\n")
    assert made.values() == {"acc": 2}


def test_names_are_bounded_and_those_left_out_are_counted() -> None:
    made = Printed()
    made.feed(b"".join(b"n%d=1\n" % number for number in range(printed.MAX_NAMES + 5)) * 2)
    assert (len(made.values()), made.left_out) == (printed.MAX_NAMES, 5)


@pytest.mark.parametrize("line", [b"a" * 60_000, b"a=" * 30_000, b"a " * 30_000, b"a=1 " * 15_000 + b"x",
                                  b"{" + b"}" * 60_000 + b"x", b"{" * 30_000 + b"}" * 30_000])
def test_no_line_takes_long(line: bytes) -> None:
    began = time.process_time()
    values_of(line + b"\n", line)
    assert time.process_time() - began < 1
