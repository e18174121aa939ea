#!/usr/bin/python3
"""Times a training step in PyTorch and in ghostbatch, in turns, on one machine.

    /usr/bin/python3 scripts/time-pytorch.py --model resnet44 --batch-size 32
    /usr/bin/python3 scripts/time-pytorch.py --model resnet44 --batch-size 4096 --ghost-size 128 --device cuda --amp --channels-last --compile

A step is the same work in both: forward, backward, clipping of the gradient's norm, SGD with momentum and weight decay, on a batch that is
on the device already. In each round PyTorch runs for some seconds, then `ghostbatch bench step`. Prints the median step of each round in ms,
and the median and range over rounds of ghostbatch's time divided by PyTorch's: the machine's other work falls on both.

On a CPU, PyTorch's convolutions and products are oneDNN's. Needs PyTorch (Debian's python3-torch) and a checkout that `npm run setup` has set up.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

import torch
from torch import nn
from torch.nn import functional as F

ROOT = pathlib.Path(__file__).parent.parent
CLIP_NORM, RATE, MOMENTUM, WEIGHT_DECAY = 5.0, 0.1, 0.9, 1e-4  # those of `ghostbatch bench step`
WARMUP_STEPS = 3  # the first steps choose algorithms, compile and allocate
SECONDS_A_ROUND = 3


def batch_norm(dimensions, channels, ghost_size):
    """Batch norm, or one whose statistics are those of each ghost of the batch (Hoffer et al. 2017, section 4)."""
    kind = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm1d

    class GhostBatchNorm(kind):
        def forward(self, x):
            if len(x) <= ghost_size:
                return super().forward(x)
            return torch.cat([super(GhostBatchNorm, self).forward(ghost) for ghost in x.split(ghost_size)])

    return GhostBatchNorm(channels)


def f1(ghost_size):
    """Five hidden layers of 512 with batch norm (Keskar et al. 2017)."""
    layers, inputs = [nn.Flatten()], 784
    for _ in range(5):
        layers += [nn.Linear(inputs, 512), batch_norm(1, 512, ghost_size), nn.ReLU()]
        inputs = 512
    return nn.Sequential(*layers, nn.Linear(512, 10))


class Block(nn.Module):
    def __init__(self, before, width, stride, ghost_size):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = batch_norm(2, width, ghost_size)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = batch_norm(2, width, ghost_size)
        self.downsample = None
        if before != width:
            shortcut = nn.Conv2d(before, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, batch_norm(2, width, ghost_size))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet(depth, ghost_size):
    """Residual network for CIFAR of depth 6n + 2 (He et al. 2016), with 1x1 convolutions as shortcuts between stages."""
    layers, before = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), batch_norm(2, 16, ghost_size), nn.ReLU()], 16
    for stage, width in enumerate((16, 32, 64)):
        for i in range((depth - 2) // 6):
            layers.append(Block(before, width, 2 if stage > 0 and i == 0 else 1, ghost_size))
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class PyTorchStep:
    def __init__(self, options):
        torch.manual_seed(0)
        device = torch.device(options.device)
        ghost_size = options.ghost_size or options.batch_size
        shape, network = ((1, 28, 28), f1(ghost_size)) if options.model == "f1" else ((3, 32, 32), resnet(int(options.model[6:]), ghost_size))
        memory_format = torch.channels_last if options.channels_last else torch.contiguous_format
        self.network = network.to(device, memory_format=memory_format)
        self.images = torch.randn(options.batch_size, *shape).to(device, memory_format=memory_format)
        self.labels = torch.randint(0, 10, (options.batch_size,)).to(device)
        self.forward = torch.compile(self.network) if options.compile else self.network
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        self.device, self.amp = device, options.amp
        self.scaler = torch.cuda.amp.GradScaler(enabled=options.amp and device.type == "cuda")

    def run(self):
        self.optimizer.zero_grad(set_to_none=True)
        low = torch.float16 if self.device.type == "cuda" else torch.bfloat16  # autocast on a CPU knows bfloat16 alone
        with torch.autocast(self.device.type, dtype=low, enabled=self.amp):
            loss = F.cross_entropy(self.forward(self.images), self.labels)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def round_ms(self):
        """Median of the steps of one round."""
        for _ in range(WARMUP_STEPS):
            self.run()
        self.wait()
        times, end = [], time.perf_counter() + SECONDS_A_ROUND
        while time.perf_counter() < end or len(times) < 3:
            begin = time.perf_counter()
            self.run()
            self.wait()
            times.append((time.perf_counter() - begin) * 1e3)
        return statistics.median(times)


def ghostbatch_round_ms(options):
    command = ["npm", "run", "-s", "ghostbatch", "--", "bench", "step", "--json", "--n", str(options.n)]
    command += ["--model", options.model, "--batch-size", str(options.batch_size), "--precision", "mixed" if options.amp else "f32"]
    if options.ghost_size:
        command += ["--ghost-size", str(options.ghost_size)]
    result = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    return result["latencyMs"]["median"], result["adapter"]


def parse_options():
    parser = argparse.ArgumentParser(description="time a training step in PyTorch and in ghostbatch, in turns")
    parser.add_argument("--model", default="resnet44", help="f1, or resnet8, resnet20, resnet44, … (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a batch (default: %(default)s)")
    parser.add_argument("--ghost-size", type=int, help="images in a ghost batch (default: the batch)")
    parser.add_argument("--device", default="cpu", help="PyTorch's device: cpu or cuda (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="PyTorch's threads on a CPU (default: one for each core)")
    parser.add_argument("--amp", action="store_true", help="mixed precision: PyTorch's autocast, ghostbatch's --precision mixed")
    parser.add_argument("--channels-last", action="store_true", help="PyTorch's images as NHWC")
    parser.add_argument("--compile", action="store_true", help="torch.compile (PyTorch 2 and later)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both (default: %(default)s)")
    parser.add_argument("--n", type=int, default=15, help="measurements of ghostbatch in a round (default: %(default)s)")
    options = parser.parse_args()
    depth = options.model[6:] if options.model.startswith("resnet") else ""
    if options.model != "f1" and not (depth.isdecimal() and int(depth) % 6 == 2):
        parser.error(f"--model: expected f1, or resnet and a depth of 6n + 2, got {options.model}")
    if options.compile and not hasattr(torch, "compile"):
        parser.error(f"--compile needs PyTorch 2 or later; this is {torch.__version__}")
    return options


def main():
    options = parse_options()
    torch.set_num_threads(options.threads)
    step = PyTorchStep(options)
    ratios, pytorch, own = [], [], []
    for round_number in range(1, options.rounds + 1):
        pytorch.append(step.round_ms())
        ms, adapter = ghostbatch_round_ms(options)
        own.append(ms)
        ratios.append(ms / pytorch[-1])
        print(f"round {round_number}: PyTorch {pytorch[-1]:.1f} ms, ghostbatch {ms:.1f} ms, ratio {ratios[-1]:.2f}", flush=True)
    print(f"{options.model}, batch {options.batch_size}; PyTorch {torch.__version__} on {options.device}, {options.threads} threads; ghostbatch on {adapter}")
    print(
        f"median of {options.rounds} rounds: PyTorch {statistics.median(pytorch):.1f} ms, ghostbatch {statistics.median(own):.1f} ms, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
