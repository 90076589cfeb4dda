"""The same training in plain PyTorch: one pass over the whole batch of a step, the mean loss, a rule of torch.optim.

    reference.py FILE SETTINGS

FILE (safetensors, fp32) holds the weights, the samples ("data/inputs", "data/targets") and which of them each step takes ("data/order", [steps, batch]).
SETTINGS is a JSON object of the run's keys. Standard output is binary, little endian: the state, then for each step the loss and the play of the gradient
(float64), the gradient, and the state after it. A state is the weights and the rule's vectors; every vector is fp32, all tensors of FILE in its order.
"""

import json
import struct
import sys
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F


class Relu(torch.autograd.Function):
    """max(x, 0), whose derivative jumps at an edge that can be moved: between two programs an x that near to 0 may lie on either side."""

    EDGE = 2e-6
    edge = 0.0
    near = False

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        Relu.near |= bool((x.abs() <= Relu.EDGE).any())
        return x.clamp(min=0)

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return gradient * (x > Relu.edge)


relu = Relu.apply


class Mlp(nn.Module):
    def __init__(self, inputs, classes, hidden):
        super().__init__()
        self.hidden1 = nn.Linear(inputs, hidden)
        self.hidden2 = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.output(relu(self.hidden2(relu(self.hidden1(x.flatten(1))))))


class Cnn(nn.Module):
    def __init__(self, side, classes, hidden):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.hidden = nn.Linear(64 * (side // 4) ** 2, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, x):
        x = F.max_pool2d(relu(self.conv1(x)), 2)
        x = F.max_pool2d(relu(self.conv2(x)), 2)
        return self.output(relu(self.hidden(x.flatten(1))))


def norm_of(kind, channels):
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(max(1, channels // 4), channels)


class ResidualBlock(nn.Module):
    def __init__(self, channels_in, channels_out, stride, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = norm_of(norm, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = norm_of(norm, channels_out)
        if channels_in != channels_out:
            self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)

    def forward(self, x):
        y = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(y + (self.shortcut(x) if hasattr(self, "shortcut") else x))


class ResNet(nn.Module):
    def __init__(self, classes, width, norm):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.norm = norm_of(norm, width)
        self.stage0_0 = ResidualBlock(width, width, 1, norm)
        self.stage1_0 = ResidualBlock(width, 2 * width, 2, norm)
        self.stage2_0 = ResidualBlock(2 * width, 4 * width, 2, norm)
        self.output = nn.Linear(4 * width, classes)

    def forward(self, x):
        x = relu(self.norm(self.stem(x)))
        x = self.stage2_0(self.stage1_0(self.stage0_0(x)))
        return self.output(x.mean((2, 3)))


class GptBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.think = nn.Sequential(OrderedDict(
            expand=nn.Linear(width, 4 * width), gelu=nn.GELU(), project=nn.Linear(4 * width, width)))

    def forward(self, x):
        n, t, width = x.shape
        queries, keys, values = (
            part.view(n, t, self.heads, width // self.heads).transpose(1, 2)
            for part in self.attend(self.norm1(x)).chunk(3, dim=2))
        scores = queries @ keys.transpose(2, 3) / (width // self.heads) ** 0.5
        later = torch.ones(t, t, dtype=torch.bool).triu(1)
        attended = scores.masked_fill(later, float("-inf")).softmax(3) @ values
        x = x + self.project(attended.transpose(1, 2).reshape(n, t, width))
        return x + self.think(self.norm2(x))


class Gpt(nn.Module):
    def __init__(self, window, width, layers, heads):
        super().__init__()
        self.tokens = nn.Embedding(256, width)
        self.places = nn.Embedding(window, width)
        self.norm = nn.LayerNorm(width)
        self.layers = layers
        for layer in range(layers):
            self.add_module(f"block{layer}", GptBlock(width, heads))

    def forward(self, x):
        x = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        for layer in range(self.layers):
            x = getattr(self, f"block{layer}")(x)
        return self.norm(x) @ self.tokens.weight.T


def build(settings, inputs):
    name, key = settings["model.name"], lambda k: int(settings["model." + k])
    if name == "mlp":
        return Mlp(inputs[0].numel(), 10, key("hidden"))
    if name == "cnn":
        return Cnn(inputs.shape[2], 10, key("hidden"))
    if name == "resnet":
        return ResNet(10, key("width"), settings["model.norm"])
    return Gpt(key("window"), key("width"), key("layers"), key("heads"))


def rule_of(settings, model):
    """The optimizer, and the names of its vectors in the order in which DistTrain keeps them."""
    number = lambda k: float(settings["optimizer." + k])
    decay = number("weightDecay")
    spared = 0.0 if settings.get("optimizer.decayMatricesOnly") == "true" else decay
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": spared},
    ]
    if settings["optimizer.name"] == "sgd":
        nesterov = settings.get("optimizer.nesterov") == "true"
        return torch.optim.SGD(groups, number("learningRate"), momentum=number("momentum"), nesterov=nesterov), ["momentum_buffer"]
    rule = torch.optim.Adam if settings["optimizer.name"] == "adam" else torch.optim.AdamW
    return rule(groups, number("learningRate"), betas=(number("beta1"), number("beta2")), eps=number("epsilon")), ["exp_avg", "exp_avg_sq"]


def read(path):
    """The tensors of a safetensors file by name, in its order (https://huggingface.co/docs/safetensors)."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=begin)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def vector(names, tensors, shapes):
    """One flat fp32 vector. What has no value is zeros; a whole number is its four 16-bit digits from the lowest, as DistTrain keeps it."""
    parts = []
    for name in names:
        tensor = tensors.get(name)
        if tensor is None:
            tensor = torch.zeros(shapes[name])
        elif tensor.dtype == torch.int64:
            tensor = torch.tensor([tensor.item() >> shift & 0xFFFF for shift in (0, 16, 32, 48)])
        parts.append(tensor.detach().flatten().float())
    return torch.cat(parts).numpy().tobytes()


def gradient_of(loss, parameters, edge):
    Relu.edge = edge
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)))


def play_of(loss, parameters, gradient):
    """How far the gradient moves, relative to its norm, when every ReLU's input next to 0 changes sides; 0 where there is none."""
    if not Relu.near:
        return 0.0
    norm = lambda tensors: torch.cat([t.flatten().double() for t in tensors]).norm().item()
    low, high = (gradient_of(loss, parameters, edge) for edge in (-Relu.EDGE, Relu.EDGE))
    return norm(low[n] - high[n] for n in parameters) / norm(gradient.values())


def main(path, settings):
    torch.set_num_threads(1)
    tensors = read(path)
    inputs, targets, order = (tensors.pop("data/" + name) for name in ("inputs", "targets", "order"))
    inputs, targets, order = (inputs.long() if settings["model.name"] == "gpt" else inputs), targets.long(), order.long()
    shapes = {name: tensor.shape for name, tensor in tensors.items()}

    model = build(settings, inputs)
    counters = {name for name, tensor in model.state_dict().items() if tensor.dtype == torch.int64}
    model.load_state_dict({n: torch.tensor(0) if n in counters else t for n, t in tensors.items()}, strict=True)
    parameters = dict(model.named_parameters())
    optimizer, kept = rule_of(settings, model)

    def write(values):
        sys.stdout.buffer.write(vector(shapes, values, shapes))

    def write_state():
        write(model.state_dict())
        for name in kept:
            write({n: optimizer.state[p].get(name) for n, p in parameters.items() if p in optimizer.state})

    write_state()
    for samples in order:
        Relu.near = False
        logits = model(inputs[samples])
        loss = F.cross_entropy(logits.view(-1, logits.shape[-1]), targets[samples].view(-1))
        gradient = gradient_of(loss, parameters, 0.0)
        sys.stdout.buffer.write(struct.pack("<dd", loss.item(), play_of(loss, parameters, gradient)))
        write(gradient)
        for name, parameter in parameters.items():
            parameter.grad = gradient[name]
        if "clip.globalNorm" in settings:
            nn.utils.clip_grad_norm_(model.parameters(), float(settings["clip.globalNorm"]))
        optimizer.step()
        write_state()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
