"""Training by PyTorch's DistributedDataParallel over Gloo: ddp.py RANK WORLD SETTINGS, then commands as gloo.py has them.

SETTINGS is a JSON object of a run's keys, with "micro" (samples of a forward pass) and "accumulation" (passes of a step). The models are those of
tests/DistTrain.PyTorch, with torch's own ReLU, which is quicker than the one that is used there to look at edges.
"""

import contextlib
import gzip
import json
import sys
import time

import group
import reference
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

DATA = "/usr/share/datasets/fashion-mnist/train-"


class Cnn(reference.Cnn):
    """ReLU after pooling, on a quarter of the values, as DistTrain's model has it."""

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        return self.output(F.relu(self.hidden(x.flatten(1))))


def idx(name, skip):
    with gzip.open(DATA + name) as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8, offset=skip)


class Images:
    def __init__(self, micro):
        self.micro = micro
        self.images, self.labels = idx("images-idx3-ubyte.gz", 16).view(-1, 1, 28, 28), idx("labels-idx1-ubyte.gz", 8).long()

    def load(self):
        chosen = torch.randint(len(self.labels), (self.micro,))
        return self.images[chosen].float().div_(255), self.labels[chosen]


class Windows:
    """Bytes that mean nothing: what they are does not change what they cost."""

    def __init__(self, micro, length):
        self.micro, self.length = micro, length
        self.text = torch.randint(256, (340_000,))

    def load(self):
        starts = torch.randint(len(self.text) - self.length, (self.micro, 1)) + torch.arange(self.length + 1)
        window = self.text[starts]
        return window[:, :-1], window[:, 1:]


class Training:
    def __init__(self, settings):
        self.accumulation = int(settings["accumulation"])
        is_text = settings["model.name"] == "gpt"
        self.data = Windows(int(settings["micro"]), int(settings["model.window"])) if is_text else Images(int(settings["micro"]))
        inputs = self.data.load()[0]
        reference.relu, reference.Cnn = F.relu, Cnn
        model = reference.build(settings, inputs)
        self.optimizer, _ = reference.rule_of(settings, model)
        self.clip = float(settings["clip.globalNorm"]) if "clip.globalNorm" in settings else None
        self.model = DistributedDataParallel(model, gradient_as_bucket_view=True)

    def step(self):
        for micro in range(self.accumulation):
            inputs, targets = self.data.load()
            with self.model.no_sync() if micro < self.accumulation - 1 else contextlib.nullcontext():
                logits = self.model(inputs)
                (F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1)) / self.accumulation).backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)


def main(rank, world, settings):
    group.join(rank, world)
    training = Training(settings)
    for words in group.commands():
        if words[0] == "link":
            group.answer("linked")
            continue
        # What was cold when somebody else was measured is warm again after one.
        training.step()
        dist.barrier()
        cpu, started = time.process_time(), time.perf_counter()
        for _ in range(int(words[3])):
            training.step()
        took = time.perf_counter() - started
        group.answer(f"{took * 1e3} {time.process_time() - cpu}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
