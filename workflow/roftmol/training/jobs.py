"""One job: all seeds, folds and hyperparameters of a cell, trained (:func:`finetune`) or mixed (:func:`interpolate`).

Each fit is saved when it ends, under a name that is a digest of all it depends on (`saved_fits.py`). A job that was
killed, or that got another seed or grid value, finds its finished fits and computes the rest; then it collects them
into the cell's tables.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from roftmol.core import run_origin
from roftmol.core.devices import device_of
from roftmol.core.errors import UserError
from roftmol.core.parallel import threads
from roftmol.core.peak_memory import peak_mib
from roftmol.core.weights_digest import file_digest
from roftmol.encoders import products
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import architecture_of, load_encoder
from roftmol.features import graphs
from roftmol.methods import METHODS, MIXED, Settings, setting_text
from roftmol.methods.protocols import PROTOCOLS
from roftmol.registry.encoder_kinds import encoder_kind
from roftmol.tables import schemas
from roftmol.training import saved_fits
from roftmol.training.auxiliary import tasks
from roftmol.training.cell import RunSettings, folds
from roftmol.training.curve import best_epoch, selection_key
from roftmol.training.encoder_drift import Change, Reference
from roftmol.training.finished_fit import Cost, FinishedFit, Stopwatch, fit_row, prediction_rows
from roftmol.training.fit import DivergedError, Fit, Fold, TrainSettings
from roftmol.training.loop import train
from roftmol.training.mixing import Mixed, mix
from roftmol.training.model import Model, new_model
from roftmol.training.saved_fits import FitIdentity, saved_weights


@dataclass(frozen=True, eq=False)
class Planned:
    """One of a cell's fits."""

    seed: int
    number: int  #: of the fold
    fold: Fold
    hyperparameters: Settings

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that identify it in its cell."""
        return {"setting": setting_text(self.hyperparameters), "seed": self.seed, "fold": self.number}


class Cell:
    """What all fits of a job share: molecules, the pretrained encoder, and what the job measures of them."""

    def __init__(self, settings: RunSettings, data: Path, checkpoint: Path, auxiliary: Path | None):
        limit_threads()  # first: a second task is prepared below, and its last bits hang on the threads
        self.settings = settings
        self.method = METHODS[settings.method]
        self.molecules = graphs.load(data)
        self.device = device_of(settings.device)
        self.encoder = load_encoder(checkpoint, settings.training.dropout, settings.own_code).to(self.device)
        self.auxiliary = tasks.read(auxiliary, settings.auxiliary, self.encoder, settings.training.batch_size)
        self.reference = Reference(self.encoder, self.molecules, self.auxiliary.probe)
        learns = self.method.alternation is not None
        used = auxiliary if learns or self.auxiliary.probe else None
        kind = encoder_kind(architecture_of(checkpoint)["kind"])
        #: What is the same for all fits of the job.
        self.identity = FitIdentity(
            code=saved_fits.code_of_fit(self.method, kind, settings.task, auxiliary=used is not None),
            data=file_digest(data),
            checkpoint=file_digest(checkpoint),
            torch=torch.__version__,
            device=self.device.type,
            protocol=settings.protocol,
            method=settings.method,
            task=settings.task,
            metric=settings.metric,
            auxiliary=settings.second_task if used else "",
            auxiliary_rows=schemas.content_digest(used) if used else "",
            extensive=settings.extensive,
        )

    def planned(self, splits: Path) -> list[Planned]:
        """Return the cell's fits by table "splits": seed by seed, in the order of the grid."""
        assigned = schemas.read("splits", splits)
        hyperparameters = [self.method.parse(text) for text in self.settings.grid]
        return [
            Planned(seed, number, fold, chosen)
            for seed in self.settings.seeds
            for chosen in hyperparameters
            for number, fold in folds(assigned, seed)
        ]

    def identified(self, identity: FitIdentity, planned: Planned) -> FitIdentity:
        """Return what is the same for all fits of the job with what is one fit's own."""
        return replace(
            identity,
            hyperparameters=setting_text(planned.hyperparameters),
            seed=planned.seed,
            fold=planned.number,
            split=saved_fits.fold_digest(planned.fold),
            pictures=self.settings.pictured(planned.seed, planned.number),
        )

    @cached_property
    def theta_0(self) -> dict[str, Tensor]:
        """The pretrained encoder's weights."""
        return {name: tensor.clone() for name, tensor in self.encoder.state_dict().items()}

    def fit(self, planned: Planned, training: TrainSettings) -> Fit:
        """Return one of the fits."""
        return Fit(
            method=self.method,
            hyperparameters=planned.hyperparameters,
            graphs=self.molecules,
            fold=planned.fold,
            task=self.settings.predicted,
            protocol=PROTOCOLS[self.settings.protocol],
            training=training,
            seed=planned.seed,
            auxiliary=self.auxiliary.task,
        )

    def with_changes(
        self, finished: FinishedFit, planned: Planned, encoder: Encoder, vectors: Tensor, drawn: Encoder | None = None
    ) -> FinishedFit:
        """Return a finished fit with what it did to the encoder, which now gives the held-out molecules' `vectors`.

        `drawn` is where the fit started, if not from the pretrained weights.
        """
        seed, number, fold = planned.seed, planned.number, planned.fold
        changes = self.reference.changes(encoder, vectors, seed, number, fold, drawn)
        pictured = self.settings.pictured(seed, number)
        picture = self.reference.picture(encoder, seed, number, fold) if pictured else None
        return replace(finished, changes=changes, picture=picture)


def finetune(
    settings: RunSettings,
    data: Path,
    splits: Path,
    checkpoint: Path,
    out: Path,
    auxiliary: Path | None = None,
    source: Path | None = None,
) -> None:
    """Train a cell's fits on the graphs `data`, one for each combination of hyperparameters, seed and fold.

    Fits, predictions and curves go to `out`. `auxiliary` is the table that a second task learns from, and that a force
    field is measured on; `source` the run folder of the method whose fits the method's own start from: the best by
    validation of each seed and fold. Raises `UserError` if a method with a second task has none, or one that starts
    from another has no such weights.
    """
    cell = Cell(settings, data, checkpoint, auxiliary)
    method = cell.method
    if method.alternation and cell.auxiliary.task is None:
        raise UserError(f"{method.name}: model {settings.model} has no second task; see `auxiliary` in config.yaml")
    keep = settings.keep_weights or method.name in MIXED
    sources = Sources(source, settings.metric) if source else None

    def identity(planned: Planned) -> FitIdentity:
        started = sources.rows[planned.seed, planned.number]["part"] if sources else ""
        return replace(cell.identity, training=settings.training, source=started)

    def trained(planned: Planned, training: TrainSettings) -> FinishedFit:
        fit = cell.fit(planned, training)
        start = sources.part(planned, method.starts_from) if sources else None
        model = saved_model(cell, start) if start else new_model(cell.encoder, fit).to(cell.device)
        drawn = None if method.pretrained else copy.deepcopy(model.encoder)
        history = train(model, fit)
        held_out = model.predict_held_out(cell.molecules, planned.fold)
        finished = FinishedFit(
            valid=held_out.valid,
            test=held_out.test,
            test_id=held_out.test_id,
            curve=tuple(history.curve),
            weights={name: tensor.cpu() for name, tensor in model.state_dict().items()} if keep else {},
            best_epoch=best_epoch(history.curve, settings.metric).epoch,
            trained_parameters=history.trained_parameters,
        )
        return cell.with_changes(finished, planned, model.encoder, held_out.vectors, drawn)

    def compute(planned: Planned) -> FinishedFit:
        return within_memory(lambda training: trained(planned, training), settings.training)

    _run(cell, splits, out, compute, identity, kept=settings.keep_weights)


class Finished(Protocol):
    """What a fit gives, or several that are made as one."""

    def noted(self, note: str) -> Self:
        """Return the same with one more note."""


AnyFinished = TypeVar("AnyFinished", bound=Finished)


def within_memory(trained: Callable[[TrainSettings], AnyFinished], training: TrainSettings) -> AnyFinished:
    """Return what a fit gives, with batches halved as often as the GPU's memory asks for; its note says so.

    Raises `UserError` if it cannot hold two molecules.
    """
    size = training.batch_size
    while True:
        try:
            finished = trained(replace(training, batch_size=size))
        except torch.OutOfMemoryError as error:
            if size < 4:
                raise UserError(
                    f"the GPU's memory ({torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}) does "
                    f"not hold a batch of {size} molecules; say `device: cpu`, or free what else uses it"
                ) from error
            print(f"out of GPU memory with batches of {size} molecules: again with {size // 2}", file=sys.stderr)
            size //= 2
            continue
        if size == training.batch_size:
            return finished
        return finished.noted(f"out of GPU memory with batches of {training.batch_size}: fitted with batches of {size}")


def interpolate(
    settings: RunSettings,
    data: Path,
    splits: Path,
    checkpoint: Path,
    tuned: Path,
    out: Path,
    auxiliary: Path | None = None,
) -> None:
    """Mix the pretrained weights with the fine-tuned ones in the run folder `tuned`.

    Every combination of hyperparameters, seed and fold is a fit. Where the fine-tuning was run with several
    hyperparameters, the best by validation are mixed. `auxiliary`: see :func:`finetune`. Raises `UserError` if the
    fine-tuned weights are not there.
    """
    cell = Cell(settings, data, checkpoint, auxiliary)
    assert cell.method.mixing is not None
    learned = cell.method.mixing.learned
    sources = Sources(tuned, settings.metric)

    def compute(planned: Planned) -> FinishedFit:
        model, mixed = mixture(cell, planned, sources)
        finished = FinishedFit(
            valid=mixed.valid,
            test=mixed.test,
            test_id=mixed.test_id,
            coefficients=mixed.coefficients if learned else {},
            best_epoch=mixed.steps,
            trained_parameters=len(mixed.coefficients) if learned else 0,
            note=mixed.note,
        )
        return cell.with_changes(finished, planned, model.encoder, mixed.vectors)

    def identity(planned: Planned) -> FitIdentity:
        return replace(cell.identity, source=sources.rows[planned.seed, planned.number]["part"])

    _run(cell, splits, out, compute, identity)


class Sources:
    """The fits in a run folder whose weights others mix or start from: of each seed and fold the best by validation."""

    def __init__(self, tuned: Path, metric: str):
        self.parts = tuned / "parts"
        self.rows = _sources(schemas.read("fits", tuned / "fits.parquet"), metric)  #: of table "fits", by seed and fold

    def part(self, planned: Planned, method: str) -> Path:
        """Return the file of the fit that a planned one goes on from, which is the method's.

        Raises `DivergedError` if it failed.
        """
        source = self.rows[planned.seed, planned.number]
        if source["status"] != "ok":
            raise DivergedError(f"{method} failed: {source['reason']}")
        return self.parts / source["part"]


def mixture(cell: Cell, planned: Planned, sources: Sources) -> tuple[Model, Mixed]:
    """Return the model of one of a cell's mixtures, and what it gives: the same each time.

    Raises `DivergedError` if there is nothing to mix, or where learning meets a loss that is not finite, and
    `UserError` if the fine-tuned weights are not there.
    """
    assert cell.method.mixing is not None
    model = saved_model(cell, sources.part(planned, cell.method.mixing.source))
    return model, mix(model, cell.theta_0, cell.fit(planned, cell.settings.training))


def saved_model(cell: Cell, part: Path) -> Model:
    """Return the model of a finished fit, in a file.

    Raises `UserError` if its weights are not there.
    """
    tasks_of_cell = cell.molecules.labels.shape[1]
    model = Model(copy.deepcopy(cell.encoder), tasks_of_cell, cell.settings.predicted).to(cell.device)
    model.load_state_dict(saved_weights(part))
    return model


def saved_encoder(cell: Cell, part: Path) -> Encoder:
    """Return the encoder of a finished fit, in a file, whatever its head reads.

    Raises `UserError` if its weights are not there.
    """
    encoder = copy.deepcopy(cell.encoder)
    prefix = "encoder."
    weights = {name: tensor for name, tensor in saved_weights(part).items() if name.startswith(prefix)}
    encoder.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in weights.items()})
    return encoder


def _sources(fits: pd.DataFrame, metric: str) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the row of each seed and fold in table "fits".

    Where there are several hyperparameters, it is that of the best by validation.
    """
    chosen: dict[tuple[int, int], dict[str, Any]] = {}
    best: dict[tuple[int, int], tuple[float, ...]] = {}
    rows: list[dict[str, Any]] = fits.to_dict("records")  # type: ignore[assignment]
    for row in rows:
        seed_and_fold = (row["seed"], row["fold"])
        key = selection_key(metric, row["valid_metric"], row["valid_loss"]) if row["status"] == "ok" else (math.inf,)
        if seed_and_fold not in best or key < best[seed_and_fold]:
            best[seed_and_fold] = key
            chosen[seed_and_fold] = row
    return chosen


def _run(
    cell: Cell,
    splits: Path,
    out: Path,
    compute: Callable[[Planned], FinishedFit],
    identity_of: Callable[[Planned], FitIdentity],
    *,
    kept: bool = False,
) -> None:
    """Compute the fits that are not there yet, then collect the cell's tables.

    `compute` may raise `DivergedError`; `identity_of` says what a fit starts from, its own columns not yet filled in.
    With `kept`, a fit without its weights is not there.
    """
    work = cell.planned(splits)
    rows: list[dict[str, Any]] = []
    for position, planned in enumerate(work, 1):
        path = out / "parts" / cell.identified(identity_of(planned), planned).file
        row = saved_fits.saved_row(path, weights=kept)
        if row is None:
            row = _compute(cell, planned, compute, path)
            print(f"[{position}/{len(work)}] {line(cell.settings, row)}", file=sys.stderr, flush=True)
        rows.append({**row, "part": path.name})
    collect(cell.settings, rows, {(planned.seed, planned.number): planned.fold for planned in work}, out)


def _compute(cell: Cell, planned: Planned, compute: Callable[[Planned], FinishedFit], path: Path) -> dict[str, Any]:
    """Make one fit, save it and return its row; a loss that is no number is a result too, with its reason."""
    stopwatch = started(cell.device)
    try:
        finished = compute(planned)
    except DivergedError as error:
        finished = FinishedFit.failed(str(error), cell.molecules.labels.shape[1])
    return keep(cell, planned, finished, cost_of(stopwatch, cell.device), path)


def started(device: torch.device) -> Stopwatch:
    """Return a stopwatch for a fit that begins now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    return Stopwatch()


def cost_of(stopwatch: Stopwatch, device: torch.device) -> Cost:
    """Return the cost of a fit that ends now."""
    return stopwatch.cost(_peak_memory(device), torch.cuda.get_device_name() if device.type == "cuda" else "cpu")


def keep(cell: Cell, planned: Planned, finished: FinishedFit, cost: Cost, path: Path) -> dict[str, Any]:
    """Save one of a cell's fits, and return its row of table "fits" but for `part`."""
    row = fit_row(
        {**cell.settings.cell, **planned.columns},
        finished,
        cell.molecules.labels[planned.fold.valid],
        cell.settings.predicted,
        cost,
        _origin(cell.settings, cell.device),
    )
    saved_fits.save(path, row, finished)
    return row


def _origin(settings: RunSettings, device: torch.device) -> run_origin.Origin:
    """Return what a fit of this process is made with."""
    threads = f"threads {torch.get_num_threads()}"
    if device.type == "cuda":
        return run_origin.origin(settings.configuration, [threads], torch.cuda.get_device_name())
    return run_origin.origin(settings.configuration, [threads, f"products by {products.chosen().name}"])


def collect(settings: RunSettings, rows: list[dict[str, Any]], fold_of: dict[tuple[int, int], Fold], out: Path) -> None:
    """Write a cell's tables to its run folder `out` from the rows of its fits, which are saved there.

    With several folds, validation predictions are put together and test predictions are the folds' mean.
    """
    predictions: list[pd.DataFrame] = []
    curves: list[dict[str, Any]] = []
    coefficients: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    fits = pd.DataFrame(rows, columns=schemas.SCHEMAS["fits"].names)
    for (seed, text), group in fits[fits["status"] == "ok"].groupby(["seed", "setting"], sort=False):
        run = {**settings.cell, "setting": text, "seed": seed}
        members = group.sort_values("fold")
        saved = [saved_fits.read(out / "parts" / name) for name in members["part"]]
        parts = [fold_of[int(str(seed)), number] for number in members["fold"]]
        valid = pd.concat(
            prediction_rows(run, "valid", fold.valid, fit.predictions["valid"][None])
            for fold, fit in zip(parts, saved, strict=True)
        )
        predictions.append(valid)
        # The test parts are the same in every fold of a seed.
        for partition, tested in (("test", parts[0].test), ("test_id", parts[0].test_id)):
            if tested.size:
                outputs = np.stack([fit.predictions[partition] for fit in saved])
                predictions.append(prediction_rows(run, partition, tested, outputs))
        for number, fit in zip(members["fold"], saved, strict=True):
            member = {**run, "fold": number}
            curves += [{**member, **point} for point in fit.curve]
            coefficients += [{**member, "part": part, "alpha": alpha} for part, alpha in fit.coefficients.items()]
            changes += [{**member, **Change(*change)._asdict()} for change in fit.changes]
    tables = {
        "predictions": pd.concat(predictions) if predictions else schemas.empty("predictions"),
        "curves": pd.DataFrame(curves, columns=schemas.SCHEMAS["curves"].names),
        "changes": pd.DataFrame(changes, columns=schemas.SCHEMAS["changes"].names),
    }
    method = METHODS[settings.method]
    if method.mixing:
        tables["coefficients"] = pd.DataFrame(coefficients, columns=schemas.SCHEMAS["coefficients"].names)
    if method.joint:
        weights = pd.DataFrame(curves, columns=schemas.SCHEMAS["loss_weights"].names)
        tables["loss_weights"] = weights.assign(panel=settings.panel)
    for name, frame in {**tables, "fits": fits}.items():
        schemas.write(name, frame, out / f"{name}.parquet", settings)


def limit_threads() -> None:
    """Use one thread a process, unless OMP_NUM_THREADS says otherwise: two threads on one batch gain little."""
    torch.set_num_threads(threads(1))


def _peak_memory(device: torch.device) -> float:
    """Return the process's largest resident size so far, or what the fit took of the GPU, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_mib()


def line(settings: RunSettings, row: dict[str, Any]) -> str:
    """Return what is said of a fit that has ended."""
    name = (
        f"{settings.dataset} {settings.split}-{settings.budget} {settings.method} {row['setting']} seed {row['seed']}"
    )
    if row["status"] == "failed":
        return f"{name}: failed, {row['reason']}"
    score = f"valid {settings.metric} {row['valid_metric']:.3f}"
    return f"{name}: {score}, epoch {row['best_epoch']}, {row['wall_seconds']:.1f} s"
