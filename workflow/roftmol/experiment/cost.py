"""Estimate what an experiment will cost before it runs, from measured costs of the pieces of a fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path

from roftmol.experiment.config import Experiment
from roftmol.experiment.keys import Training
from roftmol.methods import ALL_METHODS, FULL_FT, METHODS, Method, with_sources
from roftmol.methods.protocols import PROTOCOLS
from roftmol.registry.catalog import Dataset, read_yaml
from roftmol.registry.splits import SPLITS

REGISTRY = Path(__file__).parents[1] / "registry" / "yaml"
COSTS = REGISTRY / "costs.yaml"
#: How many molecules two registered datasets share, by the name of one and of the other.
SHARED = REGISTRY / "shared.yaml"
#: Shares of a dataset, as `splits` deals them; TEST is that of a leaderboard.
TRAIN, HELD, TEST = 0.8, 0.1, 0.2
#: How many molecules BatchNorm's statistics are estimated from, as in `batchnorm`.
NORM_MOLECULES = 512
#: How many descents learned mixing makes.
DESCENTS = 4


@dataclass(frozen=True)
class Estimate:
    """Jobs that train, mix or fit a head on what came of it, their fits, and the core-hours that these take at most.

    Fits that stop early take fewer. `seconds` are the core-seconds of the jobs of a model and a method, `gfn2_hours`
    the core-hours of GFN2-xTB's descriptors where something reads them.
    """

    jobs: int
    fits: int
    core_hours: float
    seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)
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

    def steps(self, cores: int | None) -> str:
        """Say what the two steps of a recommendation take, in minutes on so many cores."""
        minutes = 60 * self.core_hours / (cores or 1)
        where = "one core" if cores in (None, 1) else f"{cores} cores"
        return (
            "Step 1, heads and references: a first verdict in about 20 seconds.\n"
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
    seconds: dict[tuple[str, str], float] = {}
    for model, name in product(cells.models, _needed(cells.methods)):
        if not cells.meet(model, name):
            continue
        checkpoint, method = experiment.checkpoints[model], ALL_METHODS[name]
        settings = len(experiment.grid(name, checkpoint.layers))
        measured = costs.get(checkpoint.architecture["kind"], costs["gin"])
        # What one job trains: a dataset, or all of a panel.
        trained = list(experiment.panels.values()) if method.joint else [(dataset,) for dataset in sizes]
        for protocol, members, split, budget in product(cells.protocols, trained, cells.splits, cells.budgets):
            repeats = len(experiment.seeds) * settings * (folds if protocol == "honest" else 1)
            molecules = {dataset: sizes[dataset] for dataset in members}
            parts = [_parts(experiment, protocol, count, split, budget) for count in molecules.values()]
            if method.joint:
                together = _union(molecules)
                one = _together(parts, list(molecules.values()), together, split, experiment.training.batch_size)
            else:
                (one,) = parts
            jobs += 1
            fits += repeats
            of_job = repeats * _fit(method, measured, one, protocol, experiment)
            seconds[model, name] = seconds.get((model, name), 0.0) + of_job
    described = _union(sizes) if any("gfn2" in experiment.reads(name) for name in cells.methods) else 0.0
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


def _union(molecules: Mapping[str, int]) -> float:
    """Return how many different molecules some datasets have at most.

    That is the sum less what is shared along a spanning tree of the datasets, the one that shares most (Hunter 1976, J.
    Appl. Probab. 13, 597). Of a dataset that is not registered nothing is known to be shared.
    """
    shared = read_yaml(SHARED)
    common = {
        pair: max(shared.get(one, {}).get(other, 0), shared.get(other, {}).get(one, 0))
        for pair in combinations(molecules, 2)
        for one, other in [pair]
    }
    tree_of = {name: name for name in molecules}
    total = sum(molecules.values())
    for (one, other), count in sorted(common.items(), key=lambda item: -item[1]):
        if (first := tree_of[one]) != (second := tree_of[other]):
            tree_of = {name: first if tree == second else tree for name, tree in tree_of.items()}
            total -= count
    return total


def _together(parts: Sequence[_Sizes], molecules: Sequence[int], union: float, split: str, batch_size: int) -> _Sizes:
    """Return the molecules of a joint fit from those of each dataset's, of which there are `union` different ones.

    A molecule that is in k datasets trains the encoder if it trains one of them. Where each dataset is dealt alone the
    parts are as good as independent; k is the mean. To a batch that has no label of a dataset one molecule is added.
    """
    several = 1.0 if SPLITS[split].together else sum(molecules) / union

    def rows(counts: Sequence[float]) -> float:
        return union * (1 - (1 - min(1.0, sum(counts) / sum(molecules))) ** several)

    train = rows([part.train for part in parts])
    valid = rows([part.valid for part in parts])
    lacking = sum((1 - min(1.0, part.train / train)) ** min(batch_size, train) for part in parts)
    held_out = sum(part.valid + part.test for part in parts)
    return _Sizes(train, valid, held_out - valid, lacking * math.ceil(train / batch_size))


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
