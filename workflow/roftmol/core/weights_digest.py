"""What identifies a safetensors file: what is in it and not its bytes; metadata are written in no fixed order."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import load_file

from roftmol.core.files import digest


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a safetensors file's names, types, shapes and values.

    Neither their order nor the metadata count.

    BatchNorm's batch counters are left out: nothing reads them, and old files lack them.
    """
    sha256 = hashlib.sha256()
    for name, array in sorted(load_file(path).items()):
        if not name.endswith("num_batches_tracked"):
            sha256.update(f"{name} {array.dtype} {array.shape}\n".encode())
            sha256.update(array.tobytes())
    return sha256.hexdigest()


def file_digest(path: Path) -> str:
    """Return a digest of all that a safetensors file says, its metadata included, in whatever order."""
    with safe_open(path, "np") as file:
        metadata = dict(file.metadata() or {})
    return digest({"tensors": content_digest(path), "metadata": metadata})
