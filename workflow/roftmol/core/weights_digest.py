"""What identifies a safetensors file: what is in it and not its bytes; metadata are written in no fixed order."""

from __future__ import annotations

import hashlib
from pathlib import Path

from roftmol.core import tensor_file
from roftmol.core.files import digest

#: What helps where a file cannot be read.
ANEW = "Delete it and run the workflow again."


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a safetensors file's names, types, shapes and values.

    Neither their order nor the metadata count.

    BatchNorm's batch counters are left out: nothing reads them, and old files lack them. Raises `UserError` if the file
    cannot be read, or is not what was written.
    """
    sha256 = hashlib.sha256()
    with tensor_file.opened(path, "cannot be read as tensors", ANEW) as file:
        for name in sorted(file.names):
            if not name.endswith("num_batches_tracked"):
                array = file.tensor(name)
                sha256.update(f"{name} {array.dtype} {array.shape}\n".encode())
                sha256.update(array.tobytes())
    return sha256.hexdigest()


def file_digest(path: Path) -> str:
    """Return a digest of all that a safetensors file says, its metadata included, in whatever order.

    Raises `UserError` as :func:`content_digest` does.
    """
    with tensor_file.opened(path, "cannot be read as tensors", ANEW) as file:
        metadata = dict(file.metadata)
    return digest({"tensors": content_digest(path), "metadata": metadata})
