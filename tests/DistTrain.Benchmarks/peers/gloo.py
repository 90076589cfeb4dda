"""All-reduces by PyTorch's Gloo: gloo.py RANK WORLD, then commands as DistTrain's own exchange worker has them."""

import sys
import time

import group
import torch
import torch.distributed as dist


def main(rank, world):
    group.join(rank, world)
    vector = torch.empty(0)
    for words in group.commands():
        if words[0] == "link":
            vector = torch.full((1000,), float(rank + 1))
            dist.all_reduce(vector)
            right = bool((vector == world * (world + 1) / 2).all())
            group.answer("linked" if right else "unlinked its sums are wrong")
            continue
        _, _, size, times = words
        if vector.numel() != int(size) // 4:
            # The sum takes the place of what is added: only zeros stay numbers however often.
            vector = torch.zeros(int(size) // 4)
        cpu, started = time.process_time(), time.perf_counter()
        for _ in range(int(times)):
            dist.all_reduce(vector)
        took = time.perf_counter() - started
        group.answer(f"{took * 1e3} {time.process_time() - cpu}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
