"""Which models are one and the same file, or hold the same weights, under several names.

Judged by content alone: by the checksums of the registry, which need no file, and by the tensors of converted files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from safetensors.numpy import load_file

from roftmol.registry import Checkpoint


def content_digest(path: Path) -> str:
    """SHA-256 of a safetensors file's names, types, shapes and values, whatever their order and the metadata.

    BatchNorm's batch counters are left out: nothing reads them, and old files lack them.
    """
    digest = hashlib.sha256()
    for name, array in sorted(load_file(path).items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def same_models(
    checkpoints: Iterable[Checkpoint], digests: Mapping[str, str] = MappingProxyType({})
) -> tuple[tuple[str, ...], ...]:
    """The groups of two or more models that are one: a checksum of their sources is the same, or their digest.

    `digests` holds the :func:`content_digest` of converted files, by model. Only it tells of a file of the user's own,
    which has no checksum, and of the same weights in different files.
    """
    groups: list[tuple[list[str], set[str]]] = []  # names, and what their content is known by
    for checkpoint in checkpoints:
        checksums = [source.sha256 or source.git_blob for source in checkpoint.sources]
        known = set(checksums) if all(checksums) else set()
        if checkpoint.name in digests:
            known.add(f"content {digests[checkpoint.name]}")
        names = [checkpoint.name]
        for group in [group for group in groups if group[1] & known]:
            groups.remove(group)
            names = [*group[0], *names]
            known |= group[1]
        groups.append((names, known))
    return tuple(tuple(names) for names, _ in groups if len(names) > 1)
