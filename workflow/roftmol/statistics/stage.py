"""Make the tables "comparisons", "mean_ranks", "pairs" and "crossed" from aggregated tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from roftmol.core.seeds import generator
from roftmol.methods import CONSTANT, WITHOUT_ENCODER, model_of
from roftmol.registry.splits import CROSS_VALIDATION, JOINT_CROSS_VALIDATION, TEST_SHARE
from roftmol.statistics import TABLES, bootstrap
from roftmol.statistics.blocks import Array, Family, as_shown, effect, families
from roftmol.statistics.bootstrap import Counts, Estimate, Pair
from roftmol.statistics.comparisons import (
    ALL,
    corrected,
    least_p_of_datasets,
    least_p_of_seeds,
    mean_ranks,
    pairs,
    references,
    wilcoxon,
)
from roftmol.statistics.crossed import CROSSED, crossings
from roftmol.tables import schemas
from roftmol.tasks import PRIMARY


class Cell(NamedTuple):
    """The identity of a cell of the benchmark."""

    protocol: str
    model: str
    dataset: str
    split: str
    budget: str
    method: str


class Resampled(NamedTuple):
    """A cell's test metric under resampled molecules, B replicates a seed, and the number of molecules that count."""

    by_seed: Mapping[int, Array]
    molecules: int


#: Returns a cell's metric under resampled molecules; None if its predictions are not known.
Resample = Callable[[Cell], Resampled | None]


def build(tables: Path, out: Path, replicates: int = bootstrap.REPLICATES) -> None:
    """Read the aggregated `tables` and write those of :data:`TABLES` to `out`; equal tables give equal files.

    Raises `UserError` if a table is missing or damaged.
    """
    selected = schemas.read("selected", tables / "selected.parquet")
    indexed = schemas.Indexed("scores", tables / "scores.parquet", ["method"])
    columns = ["partition", "metric", "task", "value", *schemas.RUN]
    scores = pd.concat([indexed.read({"method": name}, columns).to_pandas() for name in CROSSED])
    for name, frame in made(selected, Predictions(tables, replicates).resample, replicates, scores).items():
        schemas.write(name, frame, out / f"{name}.parquet", {"replicates": replicates})


def made(
    selected: pd.DataFrame,
    resample: Resample = lambda cell: None,
    replicates: int = bootstrap.REPLICATES,
    scores: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """Make the tables by name, from the table "selected" and a function that resamples the molecules of a cell.

    `scores` are the rows of that table of methods whose points are compared; without them table "crossed" is empty.
    """
    in_order = list(families(selected))
    tables: list[dict[str, pd.DataFrame]] = [{} for _ in in_order]
    # One split after another, so that its encoders share the resampled molecules.
    for number, family in sorted(enumerate(in_order), key=lambda f: (f[1].protocol, f[1].split, f[1].budget)):
        tested = pairs(family)
        rows = list(compare(family, resample, replicates))
        tables[number] = {
            "comparisons": pd.DataFrame(rows),
            "mean_ranks": mean_ranks(family, tested),
            "pairs": tested,
        }
    names = [name for name in TABLES if name != "crossed"]
    frames = {name: [table[name] for table in tables if len(table[name])] for name in names}
    # pandas takes an empty frame's types for those of the whole
    made = {
        name: pd.concat(parts, ignore_index=True) if parts else schemas.empty(name) for name, parts in frames.items()
    }
    made["comparisons"] = corrected(made["comparisons"])[schemas.schema("comparisons").names]
    metrics = dict(zip(selected["dataset"], selected["metric"], strict=True))
    return made | {"crossed": schemas.empty("crossed") if scores is None else crossed(scores, metrics, replicates)}


def compare(family: Family, resample: Resample, replicates: int) -> Iterator[dict[str, object]]:
    """Yield rows for table "comparisons": by reference and method, the family as a whole and then each dataset.

    They are not corrected yet, because that needs the rows of all families.
    """
    for reference, methods in references(family):
        for method in methods:
            on_datasets = _pairs(family, method, reference, resample)
            yield _over_datasets(family, method, reference, on_datasets, replicates)
            for pair in on_datasets:
                estimate = _on_one(family, method, reference, pair, replicates)
                of_these_fits = estimate.levels == ("molecules",) and reference == CONSTANT
                least_p = 0.0 if of_these_fits else least_p_of_seeds(len(pair.method), pair.overlap)
                yield _row(family, method, reference, [pair], estimate, estimate.p, least_p, dataset=pair.dataset)


def crossed(scores: pd.DataFrame, metrics: Mapping[str, str], replicates: int) -> pd.DataFrame:
    """Make table "crossed" from rows of table "scores"; `metrics` are the datasets' primary ones.

    Its tests are over datasets, and corrected together over all of an experiment.
    """
    rows, methods = [], []
    for crossing in crossings(scores, metrics):
        family, corner = crossing.family, crossing.corner
        for setting in crossing.points:
            on_datasets = _pairs(family, setting, corner, lambda cell: None)
            rows.append(_over_datasets(family, setting, corner, on_datasets, replicates))
            methods.append(crossing.method)
    table = corrected(pd.DataFrame(rows)).rename(columns={"method": "setting"})
    return table.assign(method=pd.Series(methods, dtype=object))[schemas.schema("crossed").names]


def _over_datasets(
    family: Family, method: str, reference: str, on_datasets: list[Pair], replicates: int
) -> dict[str, object]:
    """Make the row of a family as a whole."""
    absent = [name for name in sorted(family.scores) if name not in {pair.dataset for pair in on_datasets}]
    return _row(
        family,
        method,
        reference,
        on_datasets,
        bootstrap.several(on_datasets, family.relative, _rng(family, method, reference), replicates),
        p=wilcoxon(np.array([pair.effect(family.relative) for pair in on_datasets])),
        least_p=least_p_of_datasets(len(on_datasets)),
        note=f"without {', '.join(absent)}: no seed in which both have a score" if absent else "",
    )


def _on_one(family: Family, method: str, reference: str, pair: Pair, replicates: int) -> Estimate:
    """Estimate the effect on one dataset.

    Whether labels can be predicted at all is a question about the fits at hand: one model that predicts them answers
    it, whatever another seed would give. Which method is better is a question about all seeds.
    """
    of_these_fits = bootstrap.of_these_fits(pair, family.relative) if reference == CONSTANT else None
    return of_these_fits or bootstrap.one(pair, family.relative, _rng(family, method, reference, pair), replicates)


def _pairs(family: Family, method: str, reference: str, resample: Resample) -> list[Pair]:
    repeated = {*CROSS_VALIDATION.values(), *JOINT_CROSS_VALIDATION.values()}
    overlap = TEST_SHARE if family.split in repeated else 0.0
    on_datasets = []
    for dataset, table in family.paired(method, reference).items():
        seeds = list(table.index)
        of_method = resample(_cell(family, dataset, method))
        of_reference = resample(_cell(family, dataset, reference))
        on_datasets.append(
            Pair(
                dataset=dataset,
                method=table[method].to_numpy(),
                reference=table[reference].to_numpy(),
                method_resampled=_by_seed(of_method, seeds),
                reference_resampled=_by_seed(of_reference, seeds),
                overlap=overlap,
                molecules=min(of_method.molecules, of_reference.molecules) if of_method and of_reference else 0,
            )
        )
    return on_datasets


def _cell(family: Family, dataset: str, method: str) -> Cell:
    return Cell(family.protocol, model_of(method, family.model), dataset, family.split, family.budget, method)


def _by_seed(resampled: Resampled | None, seeds: list[int]) -> Array | None:
    """Return the replicates of these seeds, B x S; None if one of them has none."""
    if resampled is None or not set(seeds) <= resampled.by_seed.keys():
        return None
    return np.stack([resampled.by_seed[seed] for seed in seeds], axis=1)


def _rng(family: Family, method: str, reference: str, pair: Pair | None = None) -> np.random.Generator:
    # two references without an encoder are one comparison in the families of all encoders
    shared = {method, reference} <= WITHOUT_ENCODER.keys()
    identity = family.identity | ({"model": ""} if shared else {})
    # the order of the two changes only the sign of an effect
    return generator("bootstrap", *identity.values(), *sorted((method, reference)), pair.dataset if pair else "")


def _row(
    family: Family,
    method: str,
    reference: str,
    on_datasets: list[Pair],
    estimate: Estimate,
    p: float,
    least_p: float,
    dataset: str = ALL,
    note: str = "",
) -> dict[str, object]:
    """Make a row of table "comparisons", with further columns that its correction needs."""
    relative = family.relative
    ends = estimate.low, estimate.high
    low, high = (as_shown(end, True) if relative else float(np.clip(end, -1, 1)) for end in ends)
    means = [(pair.method.mean(), pair.reference.mean()) for pair in on_datasets]
    relative_change = np.nan
    if relative:
        relative_change = as_shown(float(np.mean([effect(score, other, True) for score, other in means])), True)
    # an interval over one seed does not cover the chance of training, nor one over one dataset the choice of datasets
    covered = {"seeds"} if dataset != ALL else {"datasets", "seeds"}
    return {
        **family.identity,
        "better": family.better,
        "method": method,
        "reference": reference,
        "dataset": dataset,
        "datasets": len(on_datasets),
        "seeds": min(len(pair.method) for pair in on_datasets),
        "difference": float(np.mean([score - other for score, other in means])),
        "relative": relative_change,
        "scale": "relative" if relative else "difference",
        "low": low,
        "high": high,
        "levels": ", ".join(estimate.levels),
        "p": p,
        "region": PRIMARY[family.metric].region.size,
        "note": note,
        "least_p": least_p,
        "overlap": on_datasets[0].overlap,
        "ends": ends,
        "covered": covered <= set(estimate.levels) or (reference == CONSTANT and dataset != ALL),
    }


class Predictions:
    """The test predictions of aggregated tables under resampled molecules; a cell is read when it is needed.

    Results are kept for the cells of one protocol, split and budget, and dropped when another one is needed.
    """

    def __init__(self, tables: Path, replicates: int = bootstrap.REPLICATES):
        self._table = schemas.Indexed("predictions", tables / "predictions.parquet", Cell._fields)
        molecules = schemas.read("molecules", tables / "molecules.parquet", columns=["dataset", "molecule", "labels"])
        self._labels = {
            str(name): np.array(rows.sort_values("molecule")["labels"].tolist(), np.float64)
            for name, rows in molecules.groupby("dataset")
        }
        self._metric = (
            schemas.read("selected", tables / "selected.parquet", columns=["dataset", "metric"])
            .groupby("dataset")["metric"]
            .first()
            .to_dict()
        )
        self._replicates = replicates
        self._weights: dict[tuple[str, ...], tuple[NDArray[np.int32], Counts]] = {}
        self._done: dict[Cell, Resampled | None] = {}
        self._kept = ("", "", "")

    def resample(self, cell: Cell) -> Resampled | None:
        """Return a cell's replicates (B) by seed.

        Cells of one protocol, dataset, split and budget share the weights of their molecules.
        """
        if self._kept != (cell.protocol, cell.split, cell.budget):
            self._kept = (cell.protocol, cell.split, cell.budget)
            self._done.clear()
            self._weights.clear()
        if cell not in self._done:
            by_seed = dict(self._scored(cell))
            self._done[cell] = Resampled(by_seed, self._members(cell)) if by_seed else None
        return self._done[cell]

    def _members(self, cell: Cell) -> int:
        """Count the molecules tested, as the metric counts them."""
        return PRIMARY[self._metric[cell.dataset]].counted(self._labels[cell.dataset][self._drawn(cell)[0]])

    def _scored(self, cell: Cell) -> Iterator[tuple[int, Array]]:
        rows = self._read(cell._asdict(), ["seed", "molecule", "prediction"])
        if not rows.num_rows:
            return
        molecules, weights = self._drawn(cell)
        labels = self._labels[cell.dataset]
        seeds = rows["seed"].to_numpy()
        tested = rows["molecule"].to_numpy()
        predictions = rows["prediction"].combine_chunks().flatten().to_numpy().reshape(len(tested), labels.shape[1])
        for seed in np.unique(seeds):
            here = seeds == seed
            columns = np.searchsorted(molecules, tested[here])
            yield (
                int(seed),
                bootstrap.resampled(
                    self._metric[cell.dataset],
                    labels[tested[here]],
                    predictions[here].astype(np.float64),
                    weights[:, columns],
                ),
            )

    def _drawn(self, cell: Cell) -> tuple[NDArray[np.int32], Counts]:
        """Return the molecules that any seed tests, and how often each replicate draws them."""
        context = {name: getattr(cell, name) for name in schemas.CONTEXT}
        key = tuple(context.values())
        if key not in self._weights:
            molecules = np.unique(self._read(context, ["molecule"])["molecule"].to_numpy())
            weights = bootstrap.draw(generator("molecules", *key), len(molecules), self._replicates)
            self._weights[key] = (molecules, weights)
        return self._weights[key]

    def _read(self, where: Mapping[str, str], columns: list[str]) -> pa.Table:
        rows = self._table.read(where, [*columns, "partition"])
        return rows.filter(pa.compute.equal(rows["partition"], "test"))
