"""Train a small neural network on handwritten digits: the entry script of the digits-tune sweep.

A worker runs it once per job, with the job's parameters as flags. It runs alone as well, and then
keeps its files to itself: `python train.py --lr 0.1 --hidden 24`.

One hidden layer, trained by mini-batch gradient descent with momentum, in plain Python: slow for a
neural network, but nothing needs to be installed and every step can be read.
"""

import argparse
import csv
import gzip
import json
import math
import random
from operator import mul
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import jd

DATA = Path(__file__).resolve().parent / "digits.csv.gz"
CLASSES = 10
HELD_OUT = 360        # of 1,797 samples, never trained on
CHECKPOINT_EVERY = 5  # epochs

Vector = List[float]
Matrix = List[Vector]


class Sample(NamedTuple):
    """The 64 pixels of a digit, 0 to 1, and a constant 1.0 that carries the bias; and its class."""

    pixels: Vector
    label: int


def load(path: Path = DATA) -> Tuple[List[Sample], List[Sample]]:
    """All samples as (training, validation), split the same way every time."""
    with gzip.open(str(path), "rt", newline="") as rows:
        samples = [Sample([int(value) / 16.0 for value in row[:64]] + [1.0], int(row[64]))
                   for row in csv.reader(rows)]
    random.Random(20240501).shuffle(samples)
    return samples[HELD_OUT:], samples[:HELD_OUT]


class Network:
    """Weights and their momentum: plain lists, so that a checkpoint is just this object's dict."""

    def __init__(self, hidden: int, rng: random.Random) -> None:
        self.inner = [[rng.gauss(0.0, 0.15) for _ in range(65)] for _ in range(hidden)]
        self.outer = [[rng.gauss(0.0, 0.15) for _ in range(hidden + 1)] for _ in range(CLASSES)]
        self.inner_speed = zeros(self.inner)
        self.outer_speed = zeros(self.outer)

    def forward(self, pixels: Vector) -> Tuple[Vector, Vector]:
        """What the hidden layer gives for an image, and the probability of each class."""
        hidden = [max(0.0, sum(map(mul, weights, pixels))) for weights in self.inner] + [1.0]
        scores = [sum(map(mul, weights, hidden)) for weights in self.outer]
        top = max(scores)
        powers = [math.exp(score - top) for score in scores]
        whole = sum(powers)
        return hidden, [power / whole for power in powers]

    def train_batch(self, batch: List[Sample], lr: float, momentum: float) -> float:
        """One step down the slope of the mean loss of `batch`; returns the sum of its losses."""
        inner_slope, outer_slope = zeros(self.inner), zeros(self.outer)
        loss = 0.0
        for pixels, label in batch:
            hidden, probabilities = self.forward(pixels)
            loss -= math.log(max(probabilities[label], 1e-12))
            errors = probabilities
            errors[label] -= 1.0
            for slope, error in zip(outer_slope, errors):
                add(slope, hidden, error)
            for unit, slope in enumerate(inner_slope):
                if hidden[unit] > 0.0:  # a unit that gave nothing learns nothing
                    back = sum(error * weights[unit] for error, weights in zip(errors, self.outer))
                    add(slope, pixels, back)
        step(self.inner, self.inner_speed, inner_slope, lr / len(batch), momentum)
        step(self.outer, self.outer_speed, outer_slope, lr / len(batch), momentum)
        return loss

    def accuracy(self, samples: List[Sample]) -> float:
        """The share of `samples` whose class it tells."""
        right = 0
        for pixels, label in samples:
            probabilities = self.forward(pixels)[1]
            right += probabilities.index(max(probabilities)) == label
        return right / len(samples)


def zeros(like: Matrix) -> Matrix:
    return [[0.0] * len(row) for row in like]


def add(row: Vector, other: Vector, factor: float) -> None:
    row[:] = [value + factor * more for value, more in zip(row, other)]


def step(weights: Matrix, speeds: Matrix, slopes: Matrix, rate: float, momentum: float) -> None:
    for row, speed, slope in zip(weights, speeds, slopes):
        speed[:] = [momentum * old - rate * down for old, down in zip(speed, slope)]
        add(row, speed, 1.0)


def train(settings: argparse.Namespace) -> Dict[str, Any]:
    """Train to the end, from the last checkpoint if there is one; returns the result.

    The state of the random numbers is in the checkpoint, so that a run that was interrupted ends
    exactly where one that was not ends.
    """
    training, validation = load()
    rng = random.Random(settings.seed)
    network = Network(settings.hidden, rng)
    history: List[Dict[str, Any]] = []
    checkpoint = jd.jd_get_last_checkpoint()
    if checkpoint is not None:
        network.__dict__.update(checkpoint["network"])
        history = checkpoint["history"]
        rng.setstate(checkpoint["rng"])
        print("resuming after epoch %d" % len(history), flush=True)
        for past in history:  # so that the curve of this attempt is whole
            jd.jd_report(**past)

    for epoch in range(len(history) + 1, settings.epochs + 1):
        order = rng.sample(training, len(training))
        loss = sum(network.train_batch(order[start:start + settings.batch],
                                       settings.lr, settings.momentum)
                   for start in range(0, len(order), settings.batch)) / len(order)
        history.append({"epoch": epoch, "loss": round(loss, 6),
                        "accuracy": network.accuracy(validation)})
        jd.jd_report(**history[-1])
        print("epoch %2d  loss %.4f  accuracy %.4f" % (epoch, loss, history[-1]["accuracy"]),
              flush=True)
        if epoch % CHECKPOINT_EVERY == 0:
            jd.jd_update_checkpoint(
                {"network": network.__dict__, "history": history, "rng": rng.getstate()})

    return {"accuracy": network.accuracy(validation)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a small network on handwritten digits.")
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate (%(default)s)")
    parser.add_argument("--hidden", type=int, default=16, help="hidden units (%(default)s)")
    parser.add_argument("--momentum", type=float, default=0.9, help="0 for none (%(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="samples per step (%(default)s)")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the data (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all random numbers (%(default)s)")
    return parser.parse_args()


def main() -> None:
    result = train(arguments())
    path = jd.jd_job_dir() / "result.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    jd.jd_upload(path)
    print("accuracy %.4f, see %s" % (result["accuracy"], path))


if __name__ == "__main__":
    main()
