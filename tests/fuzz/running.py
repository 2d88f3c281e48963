"""Many inputs: shared out among the properties and among two processes."""

import multiprocessing
import time
from multiprocessing.connection import Connection, wait
from typing import Dict, List, Sequence, Tuple

from tests.fuzz import catalogue
from tests.fuzz.properties import Failure, Property, bounded, resident, try_one

PROCESSES = 2
SLICE = 500  # inputs between two reports
MEASURED = 97  # of so many inputs the memory of one is measured
GROWTH = 96 * 1024 * 1024  # bytes that a process may have at its end beyond what it had when warm
REPORT = 10.0  # seconds


def shares(properties: Sequence[Property], inputs: int) -> Dict[str, int]:
    """How many inputs each property gets; the known ones at least."""
    total = sum(one.weight for one in properties)
    return {one.name: max(len(one.known), -(-inputs * one.weight // total)) for one in properties}


def run(
    names: Sequence[str], counts: Dict[str, int], seed: int, part: int, parts: int, told: Connection
) -> None:
    """A process: every `parts`-th input of each property, a slice of each in turn. `told` gets (inputs done,
    text of a failure)."""
    properties = [one for one in catalogue.PROPERTIES if one.name in names]
    places = {one.name: part for one in properties}
    warm = None
    with bounded():
        while places:
            for one in properties:
                place = places.get(one.name)
                if place is None:
                    continue
                end = min(counts[one.name], place + SLICE * parts)
                try:
                    for number in range(place, end, parts):
                        try_one(one, seed, number, measured=number % MEASURED == 0)
                except Failure as failure:
                    told.send((0, str(failure)))
                    end = counts[one.name]
                told.send((len(range(place, end, parts)), ""))
                if end >= counts[one.name]:
                    del places[one.name]
                else:
                    places[one.name] = end + (part - end) % parts
            warm = resident() if warm is None else warm
    now = resident()
    if warm is not None and now is not None and now > warm + GROWTH:
        told.send(
            (
                0,
                "a process has grown from %d to %d MB: something is kept of each input"
                % (warm >> 20, now >> 20),
            )
        )
    told.close()


def together(names: Sequence[str], counts: Dict[str, int], seed: int, total: int) -> Tuple[List[str], float]:
    """The failures of all processes, one for each property, and how many seconds it took."""
    context = multiprocessing.get_context("spawn")
    running = []
    listening: List[Connection] = []
    began = last = time.monotonic()
    for part in range(PROCESSES):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=run, args=(names, counts, seed, part, PROCESSES, there), daemon=True)
        process.start()
        there.close()  # so that its end is seen
        running.append(process)
        listening.append(here)
    failures: Dict[str, str] = {}
    done = 0
    while listening:
        for one in wait(listening, timeout=REPORT):
            assert isinstance(one, Connection)
            try:
                count, text = one.recv()
            except EOFError:
                listening.remove(one)
                continue
            done += count
            if text and failures.setdefault(text.split(":")[0], text) == text:
                print("FAILED: " + text, flush=True)
        now = time.monotonic()
        if now - last >= REPORT:
            last = now
            print(
                "[%3d s] %d of %d inputs, %d failures, about %d s left"
                % (now - began, done, total, len(failures), (now - began) * (total - done) / max(1, done)),
                flush=True,
            )
    for process in running:
        process.join()
        if process.exitcode:
            failures["process"] = "a process has ended with status %d" % process.exitcode
    return list(failures.values()), time.monotonic() - began
