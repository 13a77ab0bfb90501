"""Estimate what an experiment will cost before it runs, from measured costs of the pieces of a fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from roftmol.experiment.config import Experiment
from roftmol.experiment.keys import Training
from roftmol.methods import ALL_METHODS, FULL_FT, METHODS, Method, with_sources
from roftmol.methods.protocols import PROTOCOLS
from roftmol.registry.catalog import Dataset, read_yaml
from roftmol.registry.splits import SPLITS

COSTS = Path(__file__).parents[1] / "registry" / "yaml" / "costs.yaml"
#: Shares of a dataset, as `splits` deals them; TEST is that of a leaderboard.
TRAIN, HELD, TEST = 0.8, 0.1, 0.2
#: How many molecules BatchNorm's statistics are estimated from, as in `batchnorm`.
NORM_MOLECULES = 512
#: How many descents learned mixing makes.
DESCENTS = 4


@dataclass(frozen=True)
class Estimate:
    """Jobs that train, mix or fit a head on what came of it, their fits, and the core-hours that these take at most.

    Fits that stop early take fewer. `seconds` are the core-seconds of the jobs of a model, a dataset and a method; a
    joint method has a panel for a dataset. `gfn2_hours` are the core-hours of GFN2-xTB's descriptors where something
    reads them.
    """

    jobs: int
    fits: int
    core_hours: float
    seconds: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    gfn2_hours: float = 0.0

    def __str__(self) -> str:
        described = f" GFN2-xTB's descriptors: {_hours(self.gfn2_hours)} core-hours at most." if self.gfn2_hours else ""
        if not self.jobs:
            unknown = "references and heads on frozen encoders are not estimated."
            return f"No fine-tuning and interpolation jobs; {unknown}{described}"
        return (
            f"{self.jobs:,} fine-tuning and interpolation jobs with {self.fits:,} fits: at most "
            f"{_hours(self.core_hours)} core-hours by the costs in costs.yaml (fits that stop early, or are finished "
            f"already, take less).{described}"
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
    test: float  #: what is predicted once, beside the validation molecules
    added: float = 0.0  #: what a joint fit's batches have beside the training molecules, an epoch


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
        # What one job trains: a dataset, or all of a panel.
        trained = experiment.panels if method.joint else {dataset: (dataset,) for dataset in sizes}
        for protocol, trains, split, budget in product(cells.protocols, trained, cells.splits, cells.budgets):
            repeats = len(experiment.seeds) * settings * (folds if protocol == "honest" else 1)
            parts = [_parts(experiment, protocol, sizes[dataset], split, budget) for dataset in trained[trains]]
            one = _together(parts, experiment.training.batch_size)
            jobs += 1
            fits += repeats
            of_job = repeats * _fit(method, measured, one, protocol, experiment)
            job = (model, trains, name)
            seconds[job] = seconds.get(job, 0.0) + of_job
    described = sum(sizes.values()) if any("gfn2" in experiment.reads(name) for name in cells.methods) else 0
    gfn2 = costs["descriptors"]["gfn2"] / 1000 * described
    return Estimate(jobs, fits, sum(seconds.values()) / 3600, seconds, gfn2 / 3600)


def _needed(methods: Iterable[str]) -> list[str]:
    """Return the methods that train or mix an encoder or read such a one, with those whose fits they need."""
    needed = dict.fromkeys(name for method in methods for name in with_sources(method))
    return [name for name in needed if ALL_METHODS[name].trains_encoder or ALL_METHODS[name].encoder_of]


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


def _parts(experiment: Experiment, protocol: str, molecules: float, split: str, budget: str) -> _Sizes:
    """Return the molecules of a dataset's fit."""
    official, together = SPLITS[split].official, SPLITS[split].together
    held = TEST if official else HELD
    test = min(held * molecules, 2 * experiment.max_test if experiment.max_test else math.inf)
    if protocol == "paper":
        return _Sizes(min(_number(budget), (1 - HELD - held) * molecules), HELD * molecules, test)
    if (official or together) and budget == "all":  # whose validation part is the split's own
        return _Sizes((1 - HELD - held) * molecules, HELD * molecules, test)
    labels = min(_number(budget), (TRAIN + HELD) * molecules)
    crossfit = experiment.validation.scheme == "crossfit"
    validated = 1 / experiment.validation.folds if crossfit else experiment.validation.fraction
    return _Sizes(labels * (1 - validated), labels * validated, test)


def _together(parts: Sequence[_Sizes], batch_size: int) -> _Sizes:
    """Return the molecules of a fit of one dataset, or at most of several that are trained jointly.

    A molecule that several datasets have counts for each. To a batch that has no label of a dataset one molecule is
    added.
    """
    train = sum(part.train for part in parts)
    lacking = sum((1 - part.train / train) ** min(batch_size, train) for part in parts)
    added = lacking * math.ceil(train / batch_size)
    return _Sizes(train, sum(part.valid for part in parts), sum(part.test for part in parts), added)


def _epochs(training: Training, molecules: float) -> int:
    """Return what `TrainSettings.epochs_of` returns, without importing torch."""
    batches = math.ceil(molecules / training.batch_size)
    return math.ceil(training.steps / batches) if training.steps else training.epochs


def _hours(hours: float) -> str:
    return f"{hours:.3g}" if hours < 100 else f"{hours:,.0f}"


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
        trained = epoch * (sizes.train + sizes.added)
        return _epochs(experiment.training, sizes.train) * (trained + validated) + result
    if not method.mixing.learned:
        return result + predict * min(sizes.train, NORM_MOLECULES)
    rules = PROTOCOLS[protocol]
    step = DESCENTS * full if rules.crossfit_mixing else full + predict
    return result + rules.mixing_steps * step * sizes.valid
