#!/usr/bin/env python3
"""Reads checkpoints as a stranger would: from the description of the format (https://huggingface.co/docs/safetensors) and the manifest, with nothing of the program.

    safetensors.py FOLDER...    every file of every checkpoint; exit code 1 and a sentence for the first that is not as it should be
"""
import hashlib
import json
import math
import os
import struct
import sys

MOST_HEAD = 100_000_000


class Wrong(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Wrong(what)


def no_twins(pairs):
    """JSON readers take the last of two equal keys in silence; this one does not."""
    found = dict(pairs)
    need(len(found) == len(pairs), "a key occurs twice")
    return found


def is_size(value):
    return type(value) is int and value >= 0


def read(path):
    """Names, shapes, and the hash of the data."""
    with open(path, "rb") as file:
        start = file.read(8)
        need(len(start) == 8, "no length of a head")
        (length,) = struct.unpack("<Q", start)
        need(2 <= length <= MOST_HEAD, f"a head of {length} bytes")
        head = file.read(length)
        need(len(head) == length, "the head is cut short")
        need(head[:1] == b"{", "the head does not begin with {")
        try:
            tensors = json.loads(head.decode("utf-8"), object_pairs_hook=no_twins)
        except ValueError as error:
            raise Wrong(f"the head is no JSON: {error}") from error
        metadata = tensors.pop("__metadata__", {})
        need(isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values()), "the metadata are not text")
        ranges = []
        for name, tensor in tensors.items():
            need(isinstance(tensor, dict) and set(tensor) == {"dtype", "shape", "data_offsets"}, f"{name} has other fields")
            need(tensor["dtype"] == "F32", f"{name} is {tensor['dtype']}")
            need(isinstance(tensor["shape"], list) and all(map(is_size, tensor["shape"])), f"{name} has the shape {tensor['shape']}")
            offsets = tensor["data_offsets"]
            need(isinstance(offsets, list) and len(offsets) == 2 and all(map(is_size, offsets)), f"{name} lies at {offsets}")
            need(offsets[1] - offsets[0] == 4 * math.prod(tensor["shape"]), f"{name} has {offsets[1] - offsets[0]} bytes for the shape {tensor['shape']}")
            ranges.append((offsets[0], offsets[1], name))
        at = 0
        for begin, end, name in sorted(ranges):
            need(begin == at, f"{name} begins at {begin}, the one before it ends at {at}")
            at = end
        data = os.path.getsize(path) - 8 - length
        need(data == at, f"{data} bytes of data, the tensors take {at}")
        digest, read_so_far = hashlib.sha256(), 0
        while piece := file.read(1 << 20):
            digest.update(piece)
            read_so_far += len(piece)
        need(read_so_far == data, "the file changed while it was read")
        return {name: tensor["shape"] for name, tensor in tensors.items()}, digest.hexdigest()


def check(folder):
    with open(os.path.join(folder, "manifest.json"), "rb") as file:
        manifest = json.load(file, object_pairs_hook=no_twins)
    need(os.path.basename(os.path.normpath(folder)) == f"step-{manifest['step']:08}", "the manifest is of another step")
    slots = {slot["name"]: slot["shape"] for slot in manifest["slots"]}
    need(len(slots) == len(manifest["slots"]) > 0, "the manifest names a slot twice, or none")
    vectors = manifest["vectors"]
    expected = {"model.safetensors": slots}
    if len(vectors) > 1:
        expected["optimizer.safetensors"] = {f"{vector}.{name}": shape for vector in vectors[1:] for name, shape in slots.items()}
    need(sorted(os.listdir(folder)) == sorted([*expected, "manifest.json"]), f"the folder holds {os.listdir(folder)}")
    need([file["name"] for file in manifest["files"]] == list(expected), "the manifest lists other files")
    count = 0
    for file in manifest["files"]:
        path = os.path.join(folder, file["name"])
        try:
            need(os.path.getsize(path) == file["bytes"], f"{os.path.getsize(path)} bytes, {file['bytes']} in the manifest")
            tensors, digest = read(path)
            need(tensors == expected[file["name"]], "tensors of other names or shapes than the manifest's")
            need(digest == file["dataSha256"], f"SHA-256 {digest}, {file['dataSha256']} in the manifest")
        except Wrong as error:
            raise Wrong(f"{path}: {error}") from error
        count += len(tensors)
    print(f"{folder}: {count} tensors in {len(expected)} files, {vectors}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: safetensors.py FOLDER...")
    for each in sys.argv[1:]:
        try:
            check(each)
        except (Wrong, OSError, ValueError, KeyError, TypeError) as error:
            print(f"error: {each}: {error}", file=sys.stderr)
            sys.exit(1)
