"""Finished fits on disk: one safetensors file each, under a name that is a digest of all that the fit depends on.

The row of table "fits", the curve, coefficients and changes are JSON in the file's metadata; predictions are arrays, as
are the weights, where a mixture wants them, and the atoms' vectors of a picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from roftmol.core import source_code, tensor_file
from roftmol.core.errors import UserError
from roftmol.core.files import digest
from roftmol.core.records import without_defaults
from roftmol.core.tensor_file import TensorFile
from roftmol.methods.base import TOLD_TO_READERS, Method
from roftmol.registry.encoder_kinds import EncoderKind
from roftmol.tasks.base import TOLD_TO_READERS as TOLD_OF_TASKS
from roftmol.training.cell import CHOICES
from roftmol.training.finished_fit import FinishedFit
from roftmol.training.fit import Fold, TrainSettings

Array = npt.NDArray[np.float32]

#: The partitions that a fit predicts, each the name of its predictions; and how the names of its weights begin.
PREDICTIONS, WEIGHTS = ("valid", "test", "test_id"), "weights."
#: What helps where one cannot be read.
AGAIN = "fits.parquet in the folder above, and run the workflow again; other finished fits are kept."
IN_PANEL = "fits.parquet in the panel's folder, and run the workflow again; other finished fits are kept."

#: Chooses a featurizer, of which the same holds.
FEATURIZERS = "roftmol.features.featurizers"
#: Tables are only read and written; what is read counts by its rows.
TABLES = ("roftmol.tables.schemas",)
#: What readers are told of methods and task types.
TOLD = ((Method.__name__, TOLD_TO_READERS), *TOLD_OF_TASKS.items())


@dataclass(frozen=True)
class FitIdentity:
    """All that a fit depends on."""

    code: str  #: digest of the code, see :func:`code_of_fit`
    data: str  #: digest of the graphs, labels included
    checkpoint: str  #: digest of the encoder that it starts from
    torch: str  #: version
    device: str
    protocol: str
    method: str
    task: str
    metric: str
    hyperparameters: str = ""  #: as canonical JSON
    seed: int = 0
    fold: int = 0
    split: str = ""  #: digest of the fold's molecules
    training: TrainSettings = field(default_factory=TrainSettings)
    source: str = ""  #: the file of the fit whose weights are mixed, or that it starts from
    auxiliary: str = ""  #: what a second task learns
    auxiliary_rows: str = ""  #: digest of what it learns from, or what a force field is measured on
    extensive: bool = False
    pictures: bool = False  #: whether it keeps atoms' vectors
    together: str = ""  #: digest of what a joint fit is of, all datasets of the panel

    @property
    def file(self) -> str:
        """The name of the fit's file."""
        return f"{digest(without_defaults(self))}.safetensors"


def code_of_fit(method: Method, kind: EncoderKind, task: str, *, auxiliary: bool) -> str:
    """Return the digest of the code that a fit depends on: of methods, encoders and task types, its own alone counts.

    Graphs count by what is in their file. A featurizer's code counts where a fit itself makes graphs: of what a second
    task learns from (`auxiliary`), and to learn the shapes of a user's own module. What readers are told of a method
    or a task type does not count.
    """
    modules = ["roftmol.training.loop", "roftmol.training.encoder_drift", f"roftmol.methods.{method.name}", kind.module]
    modules.append(f"roftmol.tasks.{task}")
    if method.joint:
        modules.append("roftmol.training.joint_loop")
    if method.mixing:
        modules.append("roftmol.training.mixing")
    leaves = [*CHOICES, FEATURIZERS, *TABLES]
    if auxiliary:
        modules.append("roftmol.training.auxiliary.tasks")
        if kind.spatial:  # its second task is a force field; masking of atoms is for encoders of graphs
            leaves.append("roftmol.training.auxiliary.pretraining")
    if auxiliary or kind.featurizer == "own":
        modules.append(f"{FEATURIZERS}.{kind.featurizer}")
    return source_code.code_digest(source_code.sources(modules, leaves), TOLD)


def fold_digest(fold: Fold) -> str:
    """Return a digest of a fold's molecules."""
    return digest([part.tolist() for part in (fold.train, fold.valid, fold.test, fold.test_id)])


def save(path: Path, row: Mapping[str, Any], finished: FinishedFit) -> None:
    """Write a fit and its row to its file, atomically."""
    metadata = {
        "row": json.dumps(row),
        "curve": json.dumps([asdict(point) for point in finished.curve]),
        "coefficients": json.dumps(finished.coefficients),
        "changes": json.dumps(finished.changes),
    }
    arrays = {"valid": finished.valid, "test": finished.test, "test_id": finished.test_id}
    arrays |= {f"{WEIGHTS}{name}": tensor.numpy() for name, tensor in finished.weights.items()}
    if finished.picture:
        arrays |= {f"tsne.{name}": array for name, array in finished.picture._asdict().items()}
    tensor_file.save(path, arrays, metadata)


def _opened(path: Path) -> AbstractContextManager[TensorFile]:
    return tensor_file.opened(path, "the finished fit cannot be read", f"Delete it, and {AGAIN}")


def saved_row(path: Path, *, weights: bool = False) -> dict[str, Any] | None:
    """Return the row of a saved fit, or None if there is none or its file cannot be read.

    With `weights`, None too if the fit ended with predictions and its weights were not kept.
    """
    try:
        with _opened(path) as file:
            row: dict[str, Any] = file.json("row")
            for name in PREDICTIONS:  # what the tables take from it; weights are checked by what reads them
                file.tensor(name)
            kept = row["status"] != "ok" or any(name.startswith(WEIGHTS) for name in file.names)
            return row if kept or not weights else None
    except UserError:
        return None


@dataclass(frozen=True, eq=False)
class SavedFit:
    """What the cell's tables take from a saved fit."""

    predictions: Mapping[str, Array]  #: by partition, molecules x tasks
    curve: list[dict[str, Any]]
    coefficients: dict[str, float]
    changes: list[list[Any]]


def read(path: Path) -> SavedFit:
    """Return a saved fit, without its weights and picture.

    Raises `UserError` if it cannot be read.
    """
    with _opened(path) as file:
        predictions = {name: file.tensor(name) for name in PREDICTIONS}
        return SavedFit(predictions, file.json("curve"), file.json("coefficients"), file.json("changes"))


def saved_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of a saved fit.

    Raises `UserError` if they are not there.
    """
    with tensor_file.opened(path, "the fine-tuned weights cannot be read", f"Delete it, and {AGAIN}", "pt") as file:
        weights = {name.removeprefix(WEIGHTS): file.tensor(name) for name in file.names if name.startswith(WEIGHTS)}
    if not weights:
        raise UserError(
            f"{path}: it holds no weights, for no head was to read them when it was fitted. Delete fits.parquet in the "
            "folder above and run the workflow again; the fit is then made again with them."
        )
    return weights
