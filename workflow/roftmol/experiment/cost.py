"""Estimate what an experiment will cost before it runs, from measured costs of the pieces of a fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from roftmol.experiment.config import Experiment
from roftmol.experiment.keys import Training
from roftmol.methods import ALL_METHODS, FULL_FT, METHODS, Method
from roftmol.methods.protocols import PROTOCOLS
from roftmol.registry.catalog import Dataset, read_yaml

COSTS = Path(__file__).parents[1] / "registry" / "yaml" / "costs.yaml"
#: Shares of a dataset, as `splits` deals them.
TRAIN, HELD = 0.8, 0.1
#: How many molecules BatchNorm's statistics are estimated from, as in `batchnorm`.
NORM_MOLECULES = 512
#: How many descents learned mixing makes.
DESCENTS = 4


@dataclass(frozen=True)
class Estimate:
    """Jobs that train, mix or fit a head on what came of it, their fits, and the core-hours that these take at most.

    Fits that stop early take fewer. `seconds` are the core-seconds of the jobs of a model, a dataset and a method; a
    joint method has a panel for a dataset.
    """

    jobs: int
    fits: int
    core_hours: float
    seconds: Mapping[tuple[str, str, str], float] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.jobs:
            return "No fine-tuning and interpolation jobs; references and heads on frozen encoders are not estimated."
        hours = f"{self.core_hours:.3g}" if self.core_hours < 100 else f"{self.core_hours:,.0f}"
        return (
            f"{self.jobs:,} fine-tuning and interpolation jobs with {self.fits:,} fits: at most {hours} "
            "core-hours by the costs in costs.yaml (fits that stop early, or are finished already, take less)."
        )

    def steps(self, cores: int | None, targets: int = 1) -> str:
        """Say what the two steps of a recommendation for so many targets take, in minutes on so many cores."""
        minutes = 60 * self.core_hours / (cores or 1)
        where = "one core" if cores in (None, 1) else f"{cores} cores"
        each = f" for each of {targets} targets" if targets > 1 else ""
        return (
            f"Step 1, heads and references: a first verdict in about 20 seconds{each}.\n"
            f"Step 2, methods that fine-tune, {self.fits:,} fits: at most {max(1, round(minutes)):,} min on {where} by "
            "the costs in costs.yaml, less where fits stop early."
        )


@dataclass(frozen=True)
class _Sizes:
    """Molecules of one fit."""

    train: float
    valid: float
    test: float


def estimate(experiment: Experiment) -> Estimate:
    """Estimate the cost of all cells of an experiment, except those of references and of heads on frozen encoders."""
    costs = read_yaml(COSTS)
    sizes = {name: _molecules(dataset) for name, dataset in experiment.datasets.items()}
    cells = experiment.cells
    folds = experiment.validation.folds if experiment.validation.scheme == "crossfit" else 1
    jobs = fits = 0
    seconds: dict[tuple[str, str, str], float] = {}
    for model, name in product(cells.models, _needed(cells.methods)):
        if not cells.meet(model, name):
            continue
        checkpoint, method = experiment.checkpoints[model], ALL_METHODS[name]
        settings = len(experiment.grid(name, checkpoint.layers))
        measured = costs.get(checkpoint.architecture["kind"], costs["gin"])
        for protocol, dataset, _split, budget in product(cells.protocols, sizes, cells.splits, cells.budgets):
            repeats = len(experiment.seeds) * settings * (folds if protocol == "honest" else 1)
            parts = _parts(experiment, protocol, sizes[dataset], budget)
            jobs += 1
            fits += repeats
            one = repeats * _fit(method, measured, parts, protocol, experiment)
            job = (model, experiment.panel_of(dataset) if method.joint else dataset, name)
            seconds[job] = seconds.get(job, 0.0) + one
    return Estimate(jobs, fits, sum(seconds.values()) / 3600, seconds)


def _needed(methods: Iterable[str]) -> list[str]:
    """Return the methods that train or mix an encoder or read such a one, with those whose fits they need."""
    needed: dict[str, None] = {}

    def add(name: str) -> None:
        method = ALL_METHODS[name]
        mixed = method.mixing.source if method.mixing else ""
        for other in filter(None, (method.encoder_of, mixed, method.starts_from)):
            add(other)
        if method.trains_encoder or method.encoder_of:
            needed[name] = None

    for name in methods:
        add(name)
    return list(needed)


def _molecules(dataset: Dataset) -> int:
    """Return how many molecules a dataset has: by the registry, or about as many as a user's own file has records."""
    registered = next((source.rows for source in dataset.sources if source.rows), None)
    if registered is not None:
        return registered
    path = Path(dataset.sources[0].file)
    if path.suffix.lower() == ".xlsx":  # whose lines are no records
        from roftmol.data.delimited import Reading, load

        return len(load(path, Reading(dataset.smiles, dataset.sheet)).records)
    with open(path, "rb") as stream:
        if dataset.format == "sdf":
            return sum(line.startswith(b"$$$$") for line in stream)
        if dataset.format == "xyz":  # each structure begins with a line that is its number of atoms
            return sum(line.strip().isdigit() for line in stream)
        return sum(1 for _ in stream) - 1


def _parts(experiment: Experiment, protocol: str, molecules: int, budget: str) -> _Sizes:
    test = min(HELD * molecules, 2 * experiment.max_test if experiment.max_test else math.inf)
    if protocol == "paper":
        return _Sizes(min(_number(budget), TRAIN * molecules), HELD * molecules, test)
    labels = min(_number(budget), (TRAIN + HELD) * molecules)
    crossfit = experiment.validation.scheme == "crossfit"
    held = 1 / experiment.validation.folds if crossfit else experiment.validation.fraction
    return _Sizes(labels * (1 - held), labels * held, test)


def _epochs(training: Training, molecules: float) -> int:
    """Return what `TrainSettings.epochs_of` returns, without importing torch."""
    batches = math.ceil(molecules / training.batch_size)
    return math.ceil(training.steps / batches) if training.steps else training.epochs


def _number(budget: str) -> float:
    return float("inf") if budget == "all" else float(budget)


def _fit(method: Method, costs: Mapping[str, float], sizes: _Sizes, protocol: str, experiment: Experiment) -> float:
    """Return the seconds of one fit; of a head on a method's encoder, those of the vectors, and of mixing once more."""
    predict = costs["predict"] / 1000
    full = costs[FULL_FT] / 1000
    if method.encoder_of:
        encoder = METHODS[method.encoder_of]
        again = _fit(encoder, costs, sizes, protocol, experiment) if encoder.mixing else 0.0
        return again + predict * (sizes.train + sizes.valid + sizes.test)
    result = predict * (sizes.valid + sizes.test)
    if method.mixing is None:
        # A method that was not measured costs as much as full FT, one with a second task twice that.
        epoch = costs.get(method.name, costs[FULL_FT] * (2 if method.alternation else 1)) / 1000
        for_norm = min(sizes.train, NORM_MOLECULES) if PROTOCOLS[protocol].estimate_norm else 0
        validated = predict * epoch / full * (sizes.valid + for_norm)
        return _epochs(experiment.training, sizes.train) * (epoch * sizes.train + validated) + result
    if not method.mixing.learned:
        return result + predict * min(sizes.train, NORM_MOLECULES)
    rules = PROTOCOLS[protocol]
    step = DESCENTS * full if rules.crossfit_mixing else full + predict
    return result + rules.mixing_steps * step * sizes.valid
