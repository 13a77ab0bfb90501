"""One job: all seeds, folds and settings of a cell.

Each fit is saved when it ends, under a name that is a digest of all it depends on. A job that was killed, or that got
another seed or grid value, finds its finished fits and computes the rest; then it collects them into the cell's tables.
"""

from __future__ import annotations

import copy
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from roftmol.core import run_origin, source_code
from roftmol.core.devices import device_of
from roftmol.core.errors import UserError
from roftmol.core.files import atomic, code_digest, digest
from roftmol.core.weights_digest import file_digest
from roftmol.encoders import products
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import graphs
from roftmol.features.graphs import Graphs
from roftmol.methods import METHODS, Method, Settings, setting_text
from roftmol.methods.protocols import PROTOCOLS
from roftmol.scoring import metrics
from roftmol.scoring.representation import Picture
from roftmol.tables import schemas
from roftmol.training.auxiliary import tasks
from roftmol.training.encoder_drift import Change, Reference
from roftmol.training.loop import (
    DivergedError,
    Epoch,
    Fold,
    Model,
    Task,
    TrainSettings,
    best_epoch,
    fit,
    new_model,
    standing,
)
from roftmol.training.mixing import mix

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RunSettings:
    """A cell, its seeds and grid, and how to train; the settings of the stages `finetune` and `interpolate`."""

    protocol: str
    model: str
    dataset: str
    split: str
    budget: str
    method: str
    task: str
    metric: str
    seeds: tuple[int, ...]
    grid: tuple[dict[str, Any], ...]
    training: TrainSettings = field(default_factory=TrainSettings)
    device: str = "auto"
    extensive: bool = False  #: whether the label grows with the molecule
    auxiliary: str = ""  #: what a method with a second task learns there: a name in `auxiliary.tasks.SOURCES`
    pictures: bool = False  #: whether a fit keeps atoms' vectors, before and after

    @property
    def cell(self) -> dict[str, str]:
        """The columns that identify the cell."""
        return {column: getattr(self, column) for column in schemas.CELL}

    @property
    def told(self) -> dict[str, Any]:
        """What a fit is told beside the columns that identify it."""
        told = {"training": asdict(self.training), "task": self.task, "metric": self.metric}
        return told | ({"extensive": True} if self.extensive else {}) | self.second

    @property
    def second(self) -> dict[str, str]:
        """The second task, where the method has one."""
        return {"auxiliary": self.auxiliary} if METHODS[self.method].alternation else {}

    @property
    def about(self) -> Task:
        """What is predicted."""
        return Task(self.task, self.metric, self.extensive)

    def pictured(self, seed: int, number: int) -> bool:
        """Whether the fits of a seed and fold keep atoms' vectors: those of the first ones."""
        return self.pictures and seed == self.seeds[0] and number == 0


@dataclass(frozen=True, eq=False)
class Result:
    """What one fit gives, before it is saved."""

    valid: npt.NDArray[np.float32]  #: predictions, molecules x tasks
    test: npt.NDArray[np.float32]
    test_id: npt.NDArray[np.float32]
    curve: tuple[Epoch, ...] = ()
    coefficients: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    best_epoch: int = 0
    trained_parameters: int = 0
    note: str = ""
    picture: Picture | None = None


#: (setting, seed, fold number, fold) -> its result; raises `DivergedError`.
Compute = Callable[[Settings, int, int, Fold], Result]


def finetune(
    settings: RunSettings, data: Path, splits: Path, checkpoint: Path, out: Path, auxiliary: Path | None = None
) -> None:
    """Train every setting, seed and fold of a cell on the graphs `data`; fits, predictions and curves go to `out`.

    `auxiliary` is the table that a second task learns from, and that a force field is measured on. Raises `UserError`
    if a method with a second task has none.
    """
    method = METHODS[settings.method]
    protocol = PROTOCOLS[settings.protocol]
    molecules = graphs.load(data)
    device = device_of(settings.device)
    encoder = load_encoder(checkpoint, settings.training.dropout).to(device)
    second = tasks.read(auxiliary, settings.auxiliary, encoder, settings.training.batch_size)
    reference = Reference(encoder, molecules, second.probe)
    task = settings.about
    if method.alternation and second.task is None:
        raise UserError(f"{method.name}: model {settings.model} has no second task; see `auxiliary` in config.yaml")
    keep = any(other.mixing and other.mixing.source == method.name for other in METHODS.values())

    def compute(setting: Settings, seed: int, number: int, fold: Fold) -> Result:
        return within_memory(lambda training: fitted(setting, seed, number, fold, training), settings.training)

    def fitted(setting: Settings, seed: int, number: int, fold: Fold, training: TrainSettings) -> Result:
        model = new_model(encoder, method, molecules, fold, task, protocol, seed).to(device)
        drawn = None if method.pretrained else copy.deepcopy(model.encoder)
        curve = fit(model, method, setting, molecules, fold, task, protocol, training, seed, second.task)
        best = best_epoch(curve, task.metric)
        held_out = model.predict_held_out(molecules, fold)
        return Result(
            valid=held_out.valid,
            test=held_out.test,
            test_id=held_out.test_id,
            changes=reference.changes(model.encoder, held_out.vectors, seed, number, fold, drawn),
            curve=tuple(curve),
            weights={name: tensor.cpu() for name, tensor in model.state_dict().items()} if keep else {},
            best_epoch=best.epoch,
            trained_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
            picture=reference.picture(model.encoder, seed, number, fold) if settings.pictured(seed, number) else None,
        )

    identity: dict[str, Any] = {"checkpoint": file_digest(checkpoint), "training": asdict(settings.training)}
    if auxiliary is not None and (method.alternation or second.probe):
        identity["auxiliary"] = {"rows": schemas.content_digest(auxiliary), **settings.second}
    _run(settings, method, molecules, data, splits, out, device, lambda seed, number: identity, compute)


def within_memory(fitted: Callable[[TrainSettings], Result], training: TrainSettings) -> Result:
    """The result of a fit, with batches halved as often as the GPU's memory asks for; its note says so.

    Raises `UserError` if it cannot hold two molecules.
    """
    size = training.batch_size
    while True:
        try:
            result = fitted(replace(training, batch_size=size))
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
            return result
        said = f"out of GPU memory with batches of {training.batch_size}: fitted with batches of {size}"
        return replace(result, note="; ".join(filter(None, [result.note, said])))


def interpolate(
    settings: RunSettings,
    data: Path,
    splits: Path,
    checkpoint: Path,
    tuned: Path,
    out: Path,
    auxiliary: Path | None = None,
) -> None:
    """Mix the pretrained weights with those that the run folder `tuned` holds, for every setting, seed and fold.

    Where that was run with several settings, its best by validation is mixed. `auxiliary`: see :func:`finetune`. Raises
    `UserError` if the fine-tuned weights are not there.
    """
    method = METHODS[settings.method]
    assert method.mixing is not None
    mixing = method.mixing
    protocol = PROTOCOLS[settings.protocol]
    molecules = graphs.load(data)
    device = device_of(settings.device)
    encoder = load_encoder(checkpoint, settings.training.dropout).to(device)
    theta_0 = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    probe = tasks.read(auxiliary, settings.auxiliary, encoder, settings.training.batch_size).probe
    reference = Reference(encoder, molecules, probe)
    task = settings.about
    sources = _sources(schemas.read("fits", tuned / "fits.parquet"), settings.metric)

    def compute(setting: Settings, seed: int, number: int, fold: Fold) -> Result:
        source = sources[seed, number]
        if source["status"] != "ok":
            raise DivergedError(f"{mixing.source} failed: {source['reason']}")
        model = Model(copy.deepcopy(encoder), molecules.labels.shape[1], task).to(device)
        model.load_state_dict(saved_weights(tuned / "parts" / source["part"]))
        mixed = mix(model, theta_0, mixing, setting, molecules, fold, task, protocol, seed)
        return Result(
            valid=mixed.valid,
            test=mixed.test,
            test_id=mixed.test_id,
            changes=reference.changes(model.encoder, mixed.vectors, seed, number, fold),
            coefficients=mixed.coefficients if mixing.learned else {},
            best_epoch=mixed.steps,
            trained_parameters=len(mixed.coefficients) if mixing.learned else 0,
            note=mixed.note,
            picture=reference.picture(model.encoder, seed, number, fold) if settings.pictured(seed, number) else None,
        )

    start: dict[str, Any] = {"checkpoint": file_digest(checkpoint)}
    if auxiliary is not None and probe:
        start["auxiliary"] = {"rows": schemas.content_digest(auxiliary)}

    def identity(seed: int, number: int) -> dict[str, Any]:
        return {**start, "source": sources[seed, number]["part"]}

    _run(settings, method, molecules, data, splits, out, device, identity, compute)


def _sources(fits: pd.DataFrame, metric: str) -> dict[tuple[int, int], dict[str, Any]]:
    """The row of each seed and fold in the table `fits`: the best by validation where there are several settings."""
    found: dict[tuple[int, int], dict[str, Any]] = {}
    best: dict[tuple[int, int], tuple[float, ...]] = {}
    rows: list[dict[str, Any]] = fits.to_dict("records")  # type: ignore[assignment]
    for row in rows:
        where = (row["seed"], row["fold"])
        reached = standing(metric, row["valid_metric"], row["valid_loss"]) if row["status"] == "ok" else (math.inf,)
        if where not in best or reached < best[where]:
            best[where], found[where] = reached, row
    return found


def _run(
    settings: RunSettings,
    method: Method,
    molecules: Graphs,
    data: Path,
    splits: Path,
    out: Path,
    device: torch.device,
    identity: Callable[[int, int], dict[str, Any]],
    compute: Compute,
) -> None:
    """Compute what is not there yet, then collect the cell's tables.

    `identity` says of a seed and fold what its fits start from.
    """
    limit_threads()
    assigned = schemas.read("splits", splits)
    # Other methods do not count, nor their list: adding one keeps all finished fits.
    others = ["roftmol.methods", *(f"roftmol.methods.{name}" for name in METHODS if name != method.name)]
    modules = [
        "roftmol.training.loop",
        "roftmol.training.encoder_drift",
        *(["roftmol.training.mixing"] if method.mixing else []),
    ]
    base = {
        "code": code_digest(source_code.sources([*modules, f"roftmol.methods.{method.name}"], leaves=others)),
        "data": file_digest(data),
        "torch": torch.__version__,
        "device": device.type,
        **{name: getattr(settings, name) for name in ("protocol", "method", "task", "metric")},
        **({"extensive": True} if settings.extensive else {}),
    }
    parsed = [method.parse(setting) for setting in settings.grid]
    work = [
        (seed, setting_text(setting), setting, number, fold)
        for seed in settings.seeds
        for setting in parsed
        for number, fold in folds(assigned, seed)
    ]
    parts: list[dict[str, Any]] = []
    for position, (seed, text, setting, number, fold) in enumerate(work, 1):
        key = digest(
            {
                **base,
                **identity(seed, number),
                "setting": text,
                "seed": seed,
                "fold": number,
                "split": _fold_digest(fold),
                **({"pictures": True} if settings.pictured(seed, number) else {}),
            }
        )
        path = out / "parts" / f"{key}.safetensors"
        row = _finished(path)
        if row is None:
            row = _compute_part(settings, molecules, device, compute, path, seed, text, setting, number, fold)
            print(f"[{position}/{len(work)}] {_line(settings, row)}", file=sys.stderr, flush=True)
        parts.append({**row, "part": path.name})
    _collect(settings, parts, {(seed, number): fold for seed, _, _, number, fold in work}, out)


def folds(assigned: pd.DataFrame, seed: int) -> Iterator[tuple[int, Fold]]:
    """The folds of a seed in the table `splits`.

    Raises `UserError` if the seed is not in it or a role is empty.
    """
    mine = assigned[assigned["seed"] == seed]
    if mine.empty:
        raise UserError(f"the split has no seed {seed}; it has {sorted(assigned['seed'].unique())}")
    for number, rows in mine.groupby("fold"):
        roles = {
            role: rows.loc[rows["role"] == role, "molecule"].to_numpy(np.int64) for role in ("train", "valid", "test")
        }
        for role, chosen in roles.items():
            if not len(chosen):
                raise UserError(
                    f"split seed {seed}, fold {number}: no {role} molecules; enlarge the budget or the data"
                )
        inside = rows.loc[rows["role"] == "test_id", "molecule"].to_numpy(np.int64)
        yield int(str(number)), Fold(**roles, test_id=inside)


def _compute_part(
    settings: RunSettings,
    molecules: Graphs,
    device: torch.device,
    compute: Compute,
    path: Path,
    seed: int,
    text: str,
    setting: Settings,
    number: int,
    fold: Fold,
) -> dict[str, Any]:
    """Run one fit and save it; a loss that is no number is a result too, with its reason."""
    started, wall, cpu = datetime.now(UTC), time.perf_counter(), time.process_time()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        result, reason = compute(setting, seed, number, fold), ""
    except DivergedError as error:
        empty = np.empty((0, molecules.labels.shape[1]), np.float32)
        result, reason = Result(valid=empty, test=empty, test_id=empty), str(error)
    labels = molecules.labels[fold.valid]
    metric = metrics.primary(settings.metric, labels, result.valid) if not reason else float("nan")
    note = result.note
    if not reason and np.isnan(metric):
        note = "; ".join(filter(None, [note, f"{settings.metric} undefined on validation: selected by loss"]))
    row = {
        **settings.cell,
        "setting": text,
        "seed": seed,
        "fold": number,
        "status": "failed" if reason else "ok",
        "reason": reason,
        "note": note,
        "best_epoch": result.best_epoch,
        "epochs": sum(point.epoch > 0 for point in result.curve),
        "valid_metric": metric,
        "valid_loss": metrics.loss(settings.task, labels, result.valid) if not reason else float("nan"),
        "trained_parameters": result.trained_parameters,
        "started": started.isoformat(timespec="seconds"),
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_memory_mb": _peak_memory(device),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        **asdict(_origin(settings, device)),
    }
    metadata = {
        "row": json.dumps(row),
        "curve": json.dumps([asdict(point) for point in result.curve]),
        "coefficients": json.dumps(result.coefficients),
        "changes": json.dumps(result.changes),
    }
    arrays = {"valid": result.valid, "test": result.test}
    if fold.test_id.size:
        arrays["test_id"] = result.test_id
    arrays.update({f"weights.{name}": tensor.numpy() for name, tensor in result.weights.items()})
    if result.picture:
        arrays.update({f"tsne.{name}": array for name, array in result.picture._asdict().items()})
    with atomic(path) as temporary:
        save_file(arrays, temporary, metadata=metadata)
    return row


def _origin(settings: RunSettings, device: torch.device) -> run_origin.Origin:
    """What a fit of this process is made with."""
    threads = f"threads {torch.get_num_threads()}"
    if device.type == "cuda":
        return run_origin.origin(settings.told, [threads], torch.cuda.get_device_name())
    return run_origin.origin(settings.told, [threads, f"products by {products.chosen().name}"])


def _finished(path: Path) -> dict[str, Any] | None:
    """The row of a saved fit, or None if there is none or its file cannot be read."""
    try:
        with safe_open(path, "np") as part:
            return json.loads(part.metadata()["row"])
    except (OSError, SafetensorError):
        return None


def _collect(settings: RunSettings, parts: list[dict[str, Any]], where: dict[tuple[int, int], Fold], out: Path) -> None:
    """Write the cell's tables from the saved fits.

    With several folds, validation predictions are put together and test predictions are the folds' mean.
    """
    predictions, curves, coefficients, changes = [], [], [], []
    fits = pd.DataFrame(parts, columns=schemas.SCHEMAS["fits"].names)
    # A fit that an earlier version finished says less of itself.
    fits = fits.fillna(dict.fromkeys(["started", *schemas.ORIGIN], ""))
    for (seed, text), group in fits[fits["status"] == "ok"].groupby(["seed", "setting"], sort=False):
        run = {**settings.cell, "setting": text, "seed": seed}
        members = group.sort_values("fold")
        contents = [_part(out / "parts" / name) for name in members["part"]]
        mine = [where[int(str(seed)), number] for number in members["fold"]]
        valid = pd.concat(
            _prediction_rows(run, "valid", fold.valid, arrays["valid"][None])
            for fold, (arrays, _) in zip(mine, contents, strict=True)
        )
        predictions.append(valid)
        for partition, tested in (("test", mine[0].test), ("test_id", mine[0].test_id)):
            if tested.size:
                outputs = np.stack([arrays[partition] for arrays, _ in contents])
                predictions.append(_prediction_rows(run, partition, tested, outputs))
        for number, (_, metadata) in zip(members["fold"], contents, strict=True):
            curves += [{**run, "fold": number, **point} for point in json.loads(metadata["curve"])]
            coefficients += [
                {**run, "fold": number, "part": part, "alpha": alpha}
                for part, alpha in json.loads(metadata["coefficients"]).items()
            ]
            changes += [{**run, "fold": number, **Change(*row)._asdict()} for row in json.loads(metadata["changes"])]
    tables = {
        "predictions": pd.concat(predictions) if predictions else schemas.empty("predictions"),
        "curves": pd.DataFrame(curves, columns=schemas.SCHEMAS["curves"].names),
        "changes": pd.DataFrame(changes, columns=schemas.SCHEMAS["changes"].names),
    }
    if METHODS[settings.method].mixing:
        tables["coefficients"] = pd.DataFrame(coefficients, columns=schemas.SCHEMAS["coefficients"].names)
    for name, frame in {**tables, "fits": fits}.items():
        schemas.write(name, frame, out / f"{name}.parquet", settings)


def _prediction_rows(
    run: dict[str, Any], partition: str, molecules: npt.NDArray[np.int64], outputs: Array
) -> pd.DataFrame:
    """The rows of some molecules, from the folds' predictions: folds x molecules x tasks."""
    return pd.DataFrame({**run, "partition": partition, "molecule": molecules, **metrics.together(outputs)})


def _part(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Predictions and metadata of a saved fit, without its weights and picture."""
    with safe_open(path, "np") as part:
        names = [name for name in part.keys() if not name.startswith(("weights.", "tsne."))]  # noqa: SIM118 (no mapping)
        return {name: part.get_tensor(name) for name in names}, part.metadata()


def saved_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a saved fit.

    Raises `UserError` if they are not there.
    """
    try:
        with safe_open(path, "pt") as part:
            return {
                name.removeprefix("weights."): part.get_tensor(name)
                for name in part.keys()  # noqa: SIM118 (not a mapping)
                if name.startswith("weights.")
            }
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: the fine-tuned weights cannot be read ({error}). Delete fits.parquet in the folder above and run "
            "the workflow again; finished fits are kept."
        ) from error


def _fold_digest(fold: Fold) -> str:
    parts = [fold.train, fold.valid, fold.test, *([fold.test_id] if fold.test_id.size else [])]
    return digest([part.tolist() for part in parts])


def limit_threads() -> None:
    """One thread a process, many processes: two threads on one batch gain little. `--set-threads` says otherwise."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def _peak_memory(device: torch.device) -> float:
    """MiB: the process's largest resident size so far, or what the fit took of the GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _line(settings: RunSettings, row: dict[str, Any]) -> str:
    name = (
        f"{settings.dataset} {settings.split}-{settings.budget} {settings.method} {row['setting']} seed {row['seed']}"
    )
    if row["status"] == "failed":
        return f"{name}: failed, {row['reason']}"
    score = f"valid {settings.metric} {row['valid_metric']:.3f}"
    return f"{name}: {score}, epoch {row['best_epoch']}, {row['wall_seconds']:.1f} s"
