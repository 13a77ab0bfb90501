"""Learning curves for TensorBoard: a folder a fit, with a file of events in it.

The format is written here, so that no package is needed for it: records of a length, its checksum, the bytes and their
checksum (https://www.tensorflow.org/tutorials/load_data/tfrecord), each an `Event` with a `Summary` in the encoding of
protocol buffers (https://github.com/tensorflow/tensorboard, compat/proto).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from roftmol.core.errors import UserError
from roftmol.core.files import atomic_folder
from roftmol.tables import schemas

FIT = ["protocol", "model", "dataset", "split", "budget", "method", "seed", "fold"]
CURVES = ["train_loss", "valid_loss", "valid_metric"]
LARGEST = 3.4e38  # of numbers of 32 bits, as TensorBoard has them


def export(results: Path, out: Path) -> int:
    """Write the curves of the selected hyperparameters, which are in `tables/`, and return how many fits they are of.

    A step is an epoch; those of a method's further stages follow the first one's. Raises `UserError` where there are no
    curves, or `out` is there.
    """
    table = results / "tables" / "curves.parquet"
    if not table.is_file():
        raise UserError(f"there is no file {table}. Name the folder that holds a run's `tables`.")
    if out.exists():
        raise UserError(f"{out}: it is there already. Name a folder that is not.")
    fits = list(schemas.read("curves", table).sort_values([*FIT, "stage", "epoch"]).groupby(FIT, sort=False))
    with atomic_folder(out) as folder:
        for (protocol, model, dataset, split, budget, method, seed, fold), curve in fits:
            cell = f"{protocol}/{model}/{dataset}/{split}-{budget}"
            place = folder / cell / str(method) / f"seed-{seed}-fold-{fold}"
            place.mkdir(parents=True)
            content = b"".join(map(record, events(curve[CURVES].to_numpy().tolist())))
            (place / "events.out.tfevents.0.roftmol").write_bytes(content)
    return len(fits)


def events(points: Sequence[Sequence[float]]) -> Iterator[bytes]:
    """Yield the event that names the format, and one a point, whose time is its step; what is NaN is left out."""
    yield struct.pack("<Bd", 0x09, 0) + _field(3, b"brain.Event:2")
    for step, point in enumerate(points):
        values = [(name, value) for name, value in zip(CURVES, point, strict=True) if not math.isnan(value)]
        summary = b"".join(_field(1, _field(1, name.encode()) + _float(value)) for name, value in values)
        yield struct.pack("<BdB", 0x09, step, 0x10) + _varint(step) + _field(5, summary)


def record(content: bytes) -> bytes:
    """Return bytes as a record."""
    length = struct.pack("<Q", len(content))
    return length + _masked_crc32c(length) + content + _masked_crc32c(content)


def _masked_crc32c(content: bytes) -> bytes:
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    checksum = register ^ 0xFFFFFFFF
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _float(value: float) -> bytes:
    return struct.pack("<Bf", 0x15, value if abs(value) < LARGEST else math.copysign(math.inf, value))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)
