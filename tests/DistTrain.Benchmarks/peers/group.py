"""What the peers' processes share: they are told by lines on standard input what to do, and answer by lines on standard output."""

import os
import re
import socket
import sys

# One thread each, as DistTrain's workers have; to be set before torch is loaded.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["GLOO_SOCKET_IFNAME"] = "lo"

import torch
import torch.distributed as dist


def answer(line):
    print(line, flush=True)


def join(rank, world):
    """Finds the other ranks: rank 0 names a port, everybody is told all answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer(free.getsockname()[1])
    port = sys.stdin.readline().split()[0]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)


def about():
    """Versions, and the BLAS library that is loaded, not the one that is hoped for."""
    torch.ones(64, 64) @ torch.ones(64, 64)
    with open("/proc/self/maps") as maps:
        libraries = {os.path.realpath(line.split()[-1]) for line in maps if re.search(r"/lib(open)?blas[^/]*\.so", line)}
    return f"PyTorch {torch.__version__}, BLAS {', '.join(sorted(libraries)) or 'built in'}, {torch.get_num_threads()} thread"


def commands():
    for line in sys.stdin:
        words = line.split()
        if words == ["about"]:
            answer(about())
        else:
            yield words
