#!/usr/bin/python3
"""Writes the reference files that `ghostbatch verify` checks the engine against: test/golden/*.safetensors.

    /usr/bin/python3 scripts/make-reference.py [FOLDER]      (default: test/golden; needs Debian's python3-torch)

PyTorch computes everything in float64, from inputs that float32 holds exactly; the files hold float32 (labels int32).
Images are NCHW, convolution weights OIHW, linear weights (out, in). Seeds are fixed, so a second run writes the same files.

  ops.safetensors           single operations, forward and gradients
  train-f1.safetensors      a whole training run of F1, width 23: 22 samples in ghosts of 8, 8 and 6
  train-resnet8.safetensors a whole training run of ResNet8: 6 images in ghosts of 4 and 2

The header's `__metadata__.cases` is a JSON list that describes each case: `op`, `prefix` of its tensors' names, their
names in `tensors`, and the attributes of the operation; for a run `model`, `options` and the settings of the training.

In a run every ghost batch passes the network by itself, in order, which is what makes its statistics its own and updates
the running statistics once per ghost (Hoffer et al. 2017, released code). The gradient is the mean of the ghosts' mean
gradients, so a sample of a shorter last ghost weighs more. To keep the files small, final values of tensors with more than
`largest_final` numbers are left out: losses, distances and evaluation logits depend on all of them anyway.
"""

import json
import math
import pathlib
import struct
import sys

import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)  # one order of summation


def normals(*shape, mean=0.0, deviation=1.0):
    """Random normals, rounded to float32."""
    return (mean + deviation * torch.randn(*shape)).float().double()


def write_safetensors(path, tensors, cases):
    """Length of the header (8 bytes, little-endian), JSON header, then the raw numbers, little-endian."""
    header = {"__metadata__": {"cases": json.dumps(cases)}}
    data = bytearray()
    for name, tensor in tensors.items():
        kind, dtype = ("F32", torch.float32) if tensor.is_floating_point() else ("I32", torch.int32)
        begin = len(data)
        data += tensor.detach().to(dtype).contiguous().numpy().tobytes()
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    print(f"{path}: {len(cases)} cases, {path.stat().st_size:,} bytes")


class OperationFile:
    """Collects the cases of ops.safetensors."""

    def __init__(self):
        self.tensors, self.cases = {}, []

    def add(self, op, attributes, tensors):
        prefix = f"{len(self.cases)}."
        self.cases.append({"op": op, "prefix": prefix, **attributes, "tensors": list(tensors)})
        self.tensors.update({prefix + name: tensor for name, tensor in tensors.items()})

    def differentiate(self, op, function, inputs, **attributes):
        """Adds function(**inputs) as `output`, and for a random `grad_output` the gradient `grad_<input>` of each input."""
        leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
        output = function(**leaves)
        grad_output = normals(*output.shape)
        gradients = torch.autograd.grad(output, list(leaves.values()), grad_output)
        named = {f"grad_{name}": gradient for name, gradient in zip(leaves, gradients)}
        self.add(op, attributes, {**inputs, "output": output, "grad_output": grad_output, **named})


def add_convolutions(file):
    shapes = [(2, 3, 7, 6, 5, 3, 1, 1), (2, 4, 8, 7, 6, 3, 2, 1), (1, 9, 5, 5, 11, 3, 1, 0), (2, 6, 5, 6, 9, 1, 2, 0)]
    shapes += [(1, 5, 9, 8, 4, 5, 1, 2), (1, 3, 15, 19, 4, 11, 4, 2), (1, 1, 1, 1, 1, 3, 1, 1)]
    for n, c, h, w, k, kernel, stride, padding in shapes:
        inputs = {"x": normals(n, c, h, w), "weight": normals(k, c, kernel, kernel, deviation=(c * kernel**2) ** -0.5)}
        convolve = lambda x, weight: F.conv2d(x, weight, stride=stride, padding=padding)
        file.differentiate("conv2d", convolve, inputs, stride=stride, padding=padding)


def add_linears(file):
    for n, inputs, outputs, with_bias in [(1, 1, 1, True), (5, 9, 7, True), (33, 17, 10, True), (6, 65, 3, False)]:
        given = {"x": normals(n, inputs), "weight": normals(outputs, inputs, deviation=inputs**-0.5)}
        if with_bias:
            given["bias"] = normals(outputs)
        file.differentiate("linear", F.linear, given)


def add_poolings(file):
    for shape, kernel, stride, padding in [((2, 3, 8, 6), 2, 2, 0), ((1, 4, 9, 9), 3, 2, 0), ((1, 2, 7, 8), 3, 2, 1)]:
        x = normals(*shape)
        for values in (x, x.round()):  # whole numbers tie: the first in row-major order gets the gradient
            pool = lambda x: F.max_pool2d(x, kernel, stride, padding)
            file.differentiate("max_pool2d", pool, {"x": values}, kernel=kernel, stride=stride, padding=padding)
    for shape, kernel, stride in [((3, 10, 8, 8), 8, 8), ((2, 3, 6, 4), 2, 2)]:
        average = lambda x: F.avg_pool2d(x, kernel, stride)
        file.differentiate("avg_pool2d", average, {"x": normals(*shape)}, kernel=kernel, stride=stride, padding=0)


def add_ghost_batch_norms(file):
    """Training mode, each ghost by itself; the running statistics after all ghosts; evaluation with these."""
    for shape, ghost_size, eps, momentum, mean, deviation in [
        ((12, 5, 3, 4), 4, 1e-5, 0.1, 0.5, 2.0),
        ((16, 7), 16, 1e-5, 0.1, 0.0, 1.0),
        ((22, 6), 8, 1e-5, 0.1, -1.0, 3.0),  # 8, 8 and 6
        ((9, 3, 2, 2), 4, 1e-3, 0.01, 0.0, 1.0),  # 4, 4 and 1
        ((12, 33), 4, 1e-5, 0.1, 10.0, 1.0),
    ]:
        channels = shape[1]
        x = normals(*shape, mean=mean, deviation=deviation).requires_grad_()
        weight = normals(channels, mean=1.0, deviation=0.3).requires_grad_()
        bias = normals(channels, deviation=0.2).requires_grad_()
        running_mean, running_var = torch.zeros(channels), torch.ones(channels)
        settings = (running_mean, running_var, weight, bias, True, momentum, eps)
        output = torch.cat([F.batch_norm(ghost, *settings) for ghost in x.split(ghost_size)])
        grad_output = normals(*shape)
        grad_x, grad_weight, grad_bias = torch.autograd.grad(output, [x, weight, bias], grad_output)
        tensors = {
            "x": x, "weight": weight, "bias": bias, "output": output, "grad_output": grad_output,
            "grad_x": grad_x, "grad_weight": grad_weight, "grad_bias": grad_bias,
            "running_mean_before": torch.zeros(channels), "running_var_before": torch.ones(channels),
            "running_mean": running_mean, "running_var": running_var,
            "output_eval": F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps),
        }  # fmt: skip
        file.add("ghost_batch_norm", {"ghost_size": ghost_size, "eps": eps, "momentum": momentum}, tensors)


def add_cross_entropies(file):
    for n, classes, deviation in [(1, 2, 1.0), (21, 10, 3.0), (17, 100, 30.0)]:
        x = normals(n, classes, deviation=deviation).requires_grad_()
        labels = torch.randint(0, classes, (n,))
        loss = F.cross_entropy(x, labels)
        (grad_x,) = torch.autograd.grad(loss, x)
        before = (x > x.gather(1, labels[:, None])).sum(1)  # classes that rank before the label: no two logits tie
        hits = {f"correct_top{k}": (before < k).sum().reshape(1) for k in (1, 5)}
        file.add("cross_entropy", {}, {"x": x, "labels": labels, "output": loss.reshape(1), "grad_x": grad_x, **hits})


def add_optimizer(file):
    rates, momentum, weight_decay, clip_norm = [0.1, 0.1, 0.02, 0.5], 0.9, 5e-4, 2.0
    parameters = {"w": normals(19, 7).requires_grad_(), "b": normals(5).requires_grad_()}
    tensors = {name: value.detach().clone() for name, value in parameters.items()}
    optimizer = torch.optim.SGD(parameters.values(), lr=1.0, momentum=momentum, weight_decay=weight_decay)
    for t, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        for name, value in parameters.items():
            value.grad = normals(*value.shape, deviation=0.1 * (t + 1))
            tensors[f"grad_{name}.{t}"] = value.grad.clone()
        tensors[f"norm.{t}"] = torch.nn.utils.clip_grad_norm_(parameters.values(), clip_norm).reshape(1)
        optimizer.step()
        tensors.update({f"{name}.{t}": value.detach().clone() for name, value in parameters.items()})
    settings = {"rates": rates, "momentum": momentum, "weight_decay": weight_decay, "clip_norm": clip_norm}
    file.add("sgd", settings, tensors)
    a, b = [normals(31, 9), normals(13)], [normals(31, 9), normals(13)]
    distance = torch.cat([(p - q).flatten() for p, q in zip(a, b)]).norm().reshape(1)
    file.add("l2_distance", {}, {"a0": a[0], "a1": a[1], "b0": b[0], "b1": b[1], "output": distance})


class Network:
    """Parameters and running statistics under PyTorch's names, and the layers that read them."""

    bn_momentum, bn_eps = 0.1, 1e-5

    def __init__(self):
        self.parameters, self.running, self.training = {}, {}, True

    def has_conv(self, name, c, k, kernel):
        self.parameters[f"{name}.weight"] = normals(k, c, kernel, kernel, deviation=math.sqrt(2 / (kernel**2 * k)))

    def has_linear(self, name, inputs, outputs):
        self.parameters[f"{name}.weight"] = normals(outputs, inputs, deviation=inputs**-0.5)
        self.parameters[f"{name}.bias"] = normals(outputs, deviation=inputs**-0.5)

    def has_norm(self, name, channels):
        self.parameters[f"{name}.weight"] = normals(channels, mean=1.0, deviation=0.1)
        self.parameters[f"{name}.bias"] = normals(channels, deviation=0.1)
        self.running[f"{name}.running_mean"] = torch.zeros(channels)
        self.running[f"{name}.running_var"] = torch.ones(channels)

    def conv(self, name, x, stride, padding):
        return F.conv2d(x, self.parameters[f"{name}.weight"], stride=stride, padding=padding)

    def linear(self, name, x):
        return F.linear(x, self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"])

    def norm(self, name, x):
        mean, var = self.running[f"{name}.running_mean"], self.running[f"{name}.running_var"]
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return F.batch_norm(x, mean, var, weight, bias, self.training, self.bn_momentum, self.bn_eps)


class F1(Network):
    """Five hidden layers with batch norm (Keskar et al. 2017, who have width 512)."""

    def __init__(self, width):
        super().__init__()
        for i in range(5):
            self.has_linear(f"layers.{3 * i}", 784 if i == 0 else width, width)
            self.has_norm(f"layers.{3 * i + 1}", width)
        self.has_linear("layers.15", width, 10)

    def forward(self, x):
        x = x.flatten(1)
        for i in range(5):
            x = F.relu(self.norm(f"layers.{3 * i + 1}", self.linear(f"layers.{3 * i}", x)))
        return self.linear("layers.15", x)


class ResNet(Network):
    """Residual network for CIFAR (He et al. 2016) of depth 6n + 2, with 1x1 convolutions as shortcuts between stages."""

    def __init__(self, depth):
        super().__init__()
        self.has_conv("conv1", 3, 16, 3)
        self.has_norm("bn1", 16)
        self.blocks = []
        before = 16
        for stage, width in enumerate((16, 32, 64), 1):
            for i in range((depth - 2) // 6):
                name, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
                for part, c in (("1", before), ("2", width)):
                    self.has_conv(f"{name}.conv{part}", c, width, 3)
                    self.has_norm(f"{name}.bn{part}", width)
                if before != width:
                    self.has_conv(f"{name}.downsample.0", before, width, 1)
                    self.has_norm(f"{name}.downsample.1", width)
                self.blocks.append((name, stride, before != width))
                before = width
        self.has_linear("fc", 64, 10)

    def forward(self, x):
        x = F.relu(self.norm("bn1", self.conv("conv1", x, 1, 1)))
        for name, stride, projects in self.blocks:
            y = F.relu(self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, stride, 1)))
            y = self.norm(f"{name}.bn2", self.conv(f"{name}.conv2", y, 1, 1))
            if projects:
                x = self.norm(f"{name}.downsample.1", self.conv(f"{name}.downsample.0", x, stride, 0))
            x = F.relu(x + y)
        return self.linear("fc", x.mean((2, 3)))


def write_run(path, network, model, options, shape, batch, ghost_size, steps, largest_final):
    lr, momentum, weight_decay, clip_norm = 0.1, 0.9, 1e-4, 5.0
    names = list(network.parameters)
    weights = [network.parameters[name].requires_grad_() for name in names]
    tensors = {f"init.{name}": value.detach().clone() for name, value in {**network.parameters, **network.running}.items()}
    start = torch.cat([weight.detach().flatten() for weight in weights])
    optimizer = torch.optim.SGD(weights, lr=lr, momentum=momentum, weight_decay=weight_decay)
    tracks = {"losses": [], "grad_norms": [], "distances": []}
    for t in range(steps):
        x, labels = normals(batch, *shape), torch.randint(0, 10, (batch,))
        tensors[f"x.{t}"], tensors[f"labels.{t}"] = x, labels
        ghosts = list(zip(x.split(ghost_size), labels.split(ghost_size)))
        loss = sum(F.cross_entropy(network.forward(images), targets) for images, targets in ghosts) / len(ghosts)
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):
            weight.grad = gradient
        if t == 0:
            tensors.update({f"grad0.{name}": weight.grad.clone() for name, weight in zip(names, weights)})
        tracks["losses"].append(loss.item())
        tracks["grad_norms"].append(torch.nn.utils.clip_grad_norm_(weights, clip_norm).item())
        optimizer.step()
        tracks["distances"].append((torch.cat([weight.detach().flatten() for weight in weights]) - start).norm().item())

    final = {**network.parameters, **network.running}
    tensors.update({f"final.{name}": value for name, value in final.items() if value.numel() <= largest_final})
    network.training = False
    tensors["eval_logits"] = network.forward(tensors["x.0"])
    tensors.update({name: torch.tensor(values) for name, values in tracks.items()})
    case = {"model": model, "options": options, "batch": batch, "ghost_size": ghost_size, "steps": steps, "lr": lr}
    case |= {"momentum": momentum, "weight_decay": weight_decay, "clip_norm": clip_norm}
    case |= {"bn_momentum": network.bn_momentum, "bn_eps": network.bn_eps}
    write_safetensors(path, tensors, [case])


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "test" / "golden"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    file = OperationFile()
    for add in (add_convolutions, add_linears, add_poolings, add_ghost_batch_norms, add_cross_entropies, add_optimizer):
        add(file)
    file.differentiate("relu", lambda x: F.relu(x), {"x": torch.cat([normals(97), torch.zeros(4)])})
    file.differentiate("add", lambda a, b: a + b, {"a": normals(3, 5, 7), "b": normals(3, 5, 7)})
    write_safetensors(folder / "ops.safetensors", file.tensors, file.cases)

    torch.manual_seed(2)
    run = {"shape": (1, 28, 28), "batch": 22, "ghost_size": 8, "steps": 3, "largest_final": 20_000}
    write_run(folder / "train-f1.safetensors", F1(23), "f1", {"width": 23}, **run)
    torch.manual_seed(3)
    run = {"shape": (3, 32, 32), "batch": 6, "ghost_size": 4, "steps": 2, "largest_final": 2500}
    write_run(folder / "train-resnet8.safetensors", ResNet(8), "resnet8", {"depth": 8}, **run)


if __name__ == "__main__":
    main()
