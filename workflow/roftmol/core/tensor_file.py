"""Files of tensors (safetensors) whose content is checked when it is read.

The format itself has no checksum: a flipped bit in a weight is another weight. So the metadata hold two more keys:

    digests   JSON, the SHA-256 of each tensor: of its type, its shape and its bytes
    digest    the SHA-256 of all other metadata, `digests` among them

A tensor is checked when it is read, the metadata when the file is opened. A file without either key was written before
there were any, and is read as it is.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open

from roftmol.core.errors import UserError
from roftmol.core.files import atomic, canonical_json

#: The keys of the metadata that are ours, and no part of what a file says.
DIGESTS, DIGEST = "digests", "digest"

Framework = Literal["np", "pt"]


class _DamagedError(Exception):
    """What is read is not what was written."""


def save(path: Path | str, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors, all of them NumPy's or all of them torch's, with their digests, atomically.

    The same tensors and metadata give the same bytes.
    """
    of_numpy = all(isinstance(tensor, np.ndarray) for tensor in tensors.values())
    # By its name, for safetensors.torch imports torch.
    framework = import_module(f"safetensors.{'numpy' if of_numpy else 'torch'}")
    with atomic(path) as temporary:
        framework.save_file(dict(tensors), temporary, metadata=with_digests(tensors, metadata or {}))
        _in_order(temporary)


def _in_order(path: Path) -> None:
    """Put the metadata of a file in the order of their keys; safetensors writes them in another one each time."""
    if path.is_file():
        with open(path, "r+b") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
            ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
            if len(ordered) <= length:  # of other escapes it may be longer, and is then left as it is
                stream.seek(8)
                stream.write(ordered.ljust(length))


def with_digests(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata with the digests of these tensors and of themselves."""
    digests = {name: digest_of_tensor(tensor) for name, tensor in tensors.items()}
    described = {**metadata, DIGESTS: canonical_json(digests)}
    return {**described, DIGEST: _digest_of_metadata(described)}


@dataclass(frozen=True, eq=False)
class TensorFile:
    """An open file of tensors."""

    metadata: Mapping[str, str]  #: what the file says, without the digests
    names: tuple[str, ...]
    _file: Any
    _digests: Mapping[str, str] | None  #: None in a file that was written before there were any

    def tensor(self, name: str) -> Any:
        """Return a tensor, checked."""
        tensor = self._file.get_tensor(name)
        if self._digests is not None and self._digests.get(name) != digest_of_tensor(tensor):
            raise _DamagedError(f"tensor {name} is not what was written")
        return tensor

    def tensors(self) -> dict[str, Any]:
        """Return all tensors by their names, checked."""
        if self._digests is not None and (lost := self._digests.keys() - set(self.names)):
            raise _DamagedError(f"tensor {min(lost)} is not there")
        return {name: self.tensor(name) for name in self.names}

    def json(self, key: str) -> Any:
        """Return the JSON under a key of the metadata."""
        if key not in self.metadata:
            raise _DamagedError(f"it has no {key}")
        return json.loads(self.metadata[key])

    def expect(self, format: str) -> None:
        """Let a file that does not say that it is of this format be one that cannot be read."""
        if (written := self.metadata.get("format")) != format:
            raise _DamagedError(f"format {written}, expected {format}")


@contextmanager
def opened(path: Path | str, what: str, mend: str, framework: Framework = "np") -> Iterator[TensorFile]:
    """Yield the file at `path`, whose tensors are NumPy's (np) or torch's (pt).

    Raises `UserError` that says that it is not `what` is expected, why, and how to `mend` that, if the file is missing,
    truncated or damaged, or lacks what is asked for in the block.
    """
    try:
        with safe_open(path, framework) as file:
            written = dict(file.metadata() or {})
            names = tuple(file.keys())
            yield TensorFile(
                {key: text for key, text in written.items() if key not in (DIGESTS, DIGEST)},
                names,
                file,
                _checked_digests(written),
            )
    # What NumPy cannot hold raises TypeError or KeyError; JSON of a damaged header is a ValueError.
    except (OSError, SafetensorError, _DamagedError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path}: {what} ({_words(error)}). {mend}") from error


def fault(path: Path | str) -> str:
    """Return why a file cannot be read as it was written; "" if all of its tensors are as they were."""
    try:
        with opened(path, "", "") as file:
            file.tensors()
    except UserError as error:
        return str(error.__cause__ and _words(error.__cause__))
    return ""


def _checked_digests(written: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the tensors' digests; None if the file has none."""
    if DIGESTS not in written and DIGEST not in written:
        return None
    without = {key: text for key, text in written.items() if key != DIGEST}
    if DIGESTS not in written or written.get(DIGEST) != _digest_of_metadata(without):
        raise _DamagedError("what it says of itself is not what was written")
    digests: Any = json.loads(written[DIGESTS])
    if not isinstance(digests, dict):
        raise _DamagedError("its digests are no object")
    return digests


def _digest_of_metadata(metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(canonical_json(dict(metadata)).encode()).hexdigest()


def digest_of_tensor(tensor: Any) -> str:
    """Return the SHA-256 of a tensor's type, shape and bytes, the same for NumPy's and torch's."""
    kind = str(tensor.dtype).removeprefix("torch.")
    sha256 = hashlib.sha256(f"{kind} {list(tensor.shape)}\n".encode())
    if isinstance(tensor, np.ndarray):
        sha256.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
    else:
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        # Whoever made the tensor has imported torch; tables are read without.
        sha256.update(flat.view(sys.modules["torch"].uint8).numpy())
    return sha256.hexdigest()


def _words(error: BaseException) -> str:
    """Return why a file cannot be read."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0] if error.args else error}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
