"""The jobs of joint fine-tuning: a panel's fits (:func:`train_panel`), and a dataset's share of them (:func:`share`).

A joint fit is kept as one finished fit a dataset, `parts/{dataset}/{key}.safetensors` in the panel's folder: the shared
encoder with the dataset's head, its predictions and its learning curve. A dataset's share is then a run folder like
that of any method, so that whatever reads runs knows of no panels.

The key is a digest of all that the fits of the panel depend on (`saved_fits.py`), so that a job that was killed, or
that got another seed or setting, computes what is missing.

Descriptors that heads read beside vectors are standardised on the rows of the union that train any dataset of the fold,
each once. So a molecule has the same numbers for all heads, as it has one vector; and a dataset of fifty molecules has
the panel's deviations, not those of fifty. No label has a part in it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from roftmol.core.errors import UserError
from roftmol.core.files import atomic, digest
from roftmol.core.records import without_defaults
from roftmol.core.weights_digest import file_digest
from roftmol.features import array_file
from roftmol.features.descriptors import MADE as DESCRIPTORS
from roftmol.features.inputs import GFN2, Inputs
from roftmol.heads.gfn2 import beside_vector
from roftmol.tables import schemas
from roftmol.training import joint_loop, saved_fits
from roftmol.training.cell import RunSettings, folds
from roftmol.training.finished_fit import FinishedFit
from roftmol.training.fit import DivergedError, TrainSettings
from roftmol.training.jobs import Cell, Planned, collect, cost_of, keep, line, started, within_memory
from roftmol.training.panel import Union, joint_fold, union

#: The files of what heads may read beside vectors, by what they hold and how that was made.
DESCRIBED = {"descriptors": DESCRIPTORS, "gfn2": GFN2}


@dataclass(frozen=True)
class JointSettings:
    """The settings of the stage `joint`."""

    featurizer: str
    members: tuple[RunSettings, ...]  #: of the panel's datasets, in the order of their names


@dataclass(frozen=True)
class FinishedJointly:
    """What one joint fit gives: one finished fit a dataset."""

    members: tuple[FinishedFit, ...]

    def noted(self, note: str) -> Self:
        """Return the same with one more note."""
        return replace(self, members=tuple(finished.noted(note) for finished in self.members))


class _Panel:
    """What the fits of a job share: the datasets' cells, their molecules as one, and the plan of the fits."""

    def __init__(self, settings: JointSettings, results: Path, checkpoint: Path):
        structures = []
        self.cells: list[Cell] = []
        self.plans: list[list[Planned]] = []
        for member in settings.members:
            data = results / "data" / member.dataset
            splits = results / "splits" / member.protocol / member.dataset / f"{member.split}-{member.budget}.parquet"
            graphs = data / "graphs" / f"{settings.featurizer}.safetensors"
            molecules = schemas.read("molecules", data / "molecules.parquet", ["canonical"])
            structures.append(molecules["canonical"].tolist())
            self.cells.append(Cell(member, graphs, checkpoint, None))
            self.plans.append(self.cells[-1].planned(splits))
        columns = [[planned.columns for planned in plan] for plan in self.plans]
        for member, of_member in zip(settings.members, columns, strict=True):
            if of_member != columns[0]:
                first = settings.members[0].dataset
                raise UserError(
                    f"panel {member.panel}: the splits of {first} and {member.dataset} have other seeds or folds. "
                    "Delete both files under results/splits and run the workflow again."
                )
        self.molecules: Union = union([cell.molecules for cell in self.cells], structures)
        self.rows = digest([rows.tolist() for rows in self.molecules.rows])
        self.method = self.cells[0].method
        read = frozenset[str]().union(*(self.method.reads_with(one.hyperparameters) for one in self.plans[0]))
        #: Where descriptors lie that a point of the grid reads, dataset by dataset.
        self.described = {
            name: [results / "data" / member.dataset / f"{name}.safetensors" for member in settings.members]
            for name in DESCRIBED
            if name in read
        }
        of_rows = {name: self.of_union(name) for name in self.described}
        self.inputs = Inputs(
            len(self.molecules.graphs), descriptors=of_rows.get("descriptors"), gfn2=of_rows.get("gfn2")
        )
        self.digests = {name: [file_digest(path) for path in paths] for name, paths in self.described.items()}

    def of_union(self, name: str) -> NDArray[np.float32]:
        """Return descriptors of the union's molecules; where several datasets have one, the first one's, as graphs."""
        of_datasets = [array_file.load(name, DESCRIBED[name], path) for path in self.described[name]]
        values = np.empty((len(self.molecules.graphs), of_datasets[0].shape[1]), np.float32)
        for of_dataset, rows in reversed(list(zip(of_datasets, self.molecules.rows, strict=True))):
            values[rows] = of_dataset
        return values

    def beside(self, planned: Sequence[Planned]) -> NDArray[np.float32] | None:
        """Return what the heads of a joint fit read beside the vectors of the union's molecules, n x w, if anything."""
        chosen = self.method.described_by(planned[0].hyperparameters)
        train = joint_fold(self.molecules, [one.fold for one in planned]).train
        values = beside_vector(chosen, self.inputs, train)
        return values if values.shape[1] else None

    def files(self, planned: Sequence[Planned], out: Path) -> list[Path]:
        """Return the file of each dataset's part in a joint fit."""
        identities = [
            cell.identified(replace(cell.identity, training=cell.settings.training), one)
            for cell, one in zip(self.cells, planned, strict=True)
        ]
        read = self.method.reads_with(planned[0].hyperparameters)
        described = [digests for name, digests in self.digests.items() if name in read]
        together = digest([self.rows, *map(without_defaults, identities), *described])
        return [
            out / "parts" / cell.settings.dataset / replace(identity, together=together).file
            for cell, identity in zip(self.cells, identities, strict=True)
        ]

    def trained(self, planned: Sequence[Planned], training: TrainSettings) -> FinishedJointly:
        """Return a joint fit."""
        device = self.cells[0].device
        fits = [cell.fit(one, training) for cell, one in zip(self.cells, planned, strict=True)]
        beside = self.beside(planned)
        width = 0 if beside is None else beside.shape[1]
        models = [model.to(device) for model in joint_loop.new_models(self.cells[0].encoder, fits, width)]
        history = joint_loop.train(models, fits, self.molecules, beside)
        members = []
        for cell, one, model, rows, curve, parameters in zip(
            self.cells, planned, models, self.molecules.rows, history.curves, history.trained_parameters, strict=True
        ):
            of_dataset = None if beside is None else torch.from_numpy(beside[rows]).to(device)
            held_out = model.predict_held_out(cell.molecules, one.fold, of_dataset)
            finished = FinishedFit(
                valid=held_out.valid,
                test=held_out.test,
                test_id=held_out.test_id,
                curve=tuple(curve),
                weights={name: tensor.cpu() for name, tensor in model.state_dict().items()},
                best_epoch=history.best_epoch,
                trained_parameters=parameters,
            )
            members.append(cell.with_changes(finished, one, model.encoder, held_out.vectors))
        return FinishedJointly(tuple(members))

    def compute(self, planned: Sequence[Planned], files: Sequence[Path]) -> list[dict[str, Any]]:
        """Make a joint fit, save each dataset's part of it, and return their rows.

        The time of the fit is divided by the datasets' training molecules, so that the datasets' times sum to it.
        """
        stopwatch = started(self.cells[0].device)
        try:
            finished = within_memory(lambda training: self.trained(planned, training), self.cells[0].settings.training)
        except DivergedError as error:
            finished = FinishedJointly(
                tuple(FinishedFit.failed(str(error), cell.molecules.labels.shape[1]) for cell in self.cells)
            )
        cost = cost_of(stopwatch, self.cells[0].device)
        molecules = np.array([len(one.fold.train) for one in planned])
        return [
            keep(
                cell,
                one,
                of_dataset,
                replace(cost, wall_seconds=share * cost.wall_seconds, cpu_seconds=share * cost.cpu_seconds),
                path,
            )
            for cell, one, of_dataset, share, path in zip(
                self.cells, planned, finished.members, (molecules / molecules.sum()).tolist(), files, strict=True
            )
        ]


def train_panel(settings: JointSettings, results: Path, checkpoint: Path, out: Path) -> None:
    """Train the datasets of a panel together, one fit for each combination of hyperparameters, seed and fold.

    `results` is the folder with the datasets and their splits. Table "fits" of all datasets goes to `out`, the fits
    to `parts` beside it. Raises `UserError` where the datasets' splits do not go together.
    """
    panel = _Panel(settings, results, checkpoint)
    plans = list(zip(*panel.plans, strict=True))
    fits: list[dict[str, Any]] = []
    for position, planned in enumerate(plans, 1):
        files = panel.files(planned, out)
        saved = [saved_fits.saved_row(path, weights=True) for path in files]
        rows = [row for row in saved if row is not None]
        if len(rows) < len(saved):
            rows = panel.compute(planned, files)
            for member, row in zip(settings.members, rows, strict=True):
                print(f"[{position}/{len(plans)}] {line(member, row)}", file=sys.stderr, flush=True)
        fits += [{**row, "part": path.name} for row, path in zip(rows, files, strict=True)]
    frame = pd.DataFrame(fits, columns=schemas.SCHEMAS["fits"].names)
    schemas.write("fits", frame, out / "fits.parquet", settings)


def share(settings: RunSettings, splits: Path, fits: Path, out: Path) -> None:
    """Write a dataset's run folder `out` from the folder `fits` of its panel's joint fits.

    Raises `UserError` if one of them is not there.
    """
    table = schemas.read("fits", fits / "fits.parquet")
    rows: list[dict[str, Any]] = table[table["dataset"] == settings.dataset].to_dict("records")  # type: ignore[assignment]
    for row in rows:
        source = fits / "parts" / settings.dataset / row["part"]
        if saved_fits.saved_row(source, weights=True) is None:
            raise UserError(f"{source}: the finished fit cannot be read. Delete it, and {saved_fits.IN_PANEL}")
        _put(source, out / "parts" / row["part"])
    assigned = schemas.read("splits", splits)
    fold_of = {(seed, number): fold for seed in settings.seeds for number, fold in folds(assigned, seed)}
    collect(settings, rows, fold_of, out)


def _put(source: Path, target: Path) -> None:
    """Have the source at the target too: under a second name, or as a copy where the file system has no such."""
    if saved_fits.saved_row(target, weights=True) is not None:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with suppress(OSError):
        os.link(source, target)
        return
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)
