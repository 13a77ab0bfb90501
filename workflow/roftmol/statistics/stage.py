"""The stage: aggregated tables -> "comparisons", "mean_ranks" and "pairs"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from roftmol import schemas
from roftmol.layout import CROSS_VALIDATION, TEST_SHARE, model_of
from roftmol.seeds import generator
from roftmol.statistics import TABLES, bootstrap
from roftmol.statistics.blocks import Array, Family, as_shown, effect, families
from roftmol.statistics.bootstrap import Counts, Estimate, Pair
from roftmol.statistics.comparisons import (
    EQUIVALENT,
    mean_ranks,
    pairs,
    references,
    smallest_n,
    verdict,
    wilcoxon,
)
from roftmol.statistics.holm import holm

#: The row of a comparison that is over all data sets of the family.
ALL = "all"


class Cell(NamedTuple):
    """The identity of a cell of the benchmark."""

    protocol: str
    model: str
    dataset: str
    split: str
    budget: str
    method: str


#: A cell's test metric under resampled molecules, B replicates a seed; None where its predictions are not known.
Resample = Callable[[Cell], Mapping[int, Array] | None]


def build(tables: Path, out: Path, replicates: int = bootstrap.REPLICATES) -> None:
    """Read the aggregated `tables` and write those of :data:`TABLES` to `out`; equal tables give equal tables.

    Raises `UserError` if a table is missing or damaged.
    """
    selected = schemas.read("selected", tables / "selected.parquet")
    for name, frame in made(selected, Predictions(tables, replicates).resample, replicates).items():
        schemas.write(name, frame, out / f"{name}.parquet", {"replicates": replicates})


def made(
    selected: pd.DataFrame, resample: Resample = lambda cell: None, replicates: int = bootstrap.REPLICATES
) -> dict[str, pd.DataFrame]:
    """The stage's tables, by name, from the table "selected" and what resampling the molecules does to a cell."""
    found = list(families(selected))
    tables: list[dict[str, pd.DataFrame]] = [{} for _ in found]
    # One split after another, so that the models on it share the resampled molecules.
    for place, family in sorted(enumerate(found), key=lambda f: (f[1].protocol, f[1].split, f[1].budget)):
        tested = pairs(family)
        rows = list(compare(family, resample, replicates))
        tables[place] = {
            "comparisons": pd.DataFrame(rows),
            "mean_ranks": mean_ranks(family, tested),
            "pairs": tested,
        }
    frames = {name: [made[name] for made in tables if len(made[name])] for name in TABLES}
    # pandas takes an empty frame's types for those of the whole
    return {
        name: pd.concat(parts, ignore_index=True) if parts else schemas.empty(name) for name, parts in frames.items()
    }


def compare(family: Family, resample: Resample, replicates: int) -> Iterator[dict[str, object]]:
    """Rows of table "comparisons": by reference and method, the family as a whole and then each data set."""
    for reference, methods in references(family):
        paired = {method: _pairs(family, method, reference, resample) for method in methods}
        whole = {method: _whole(family, method, reference, found, replicates) for method, found in paired.items()}
        tests = {
            method: wilcoxon(np.array([pair.effect(family.relative) for pair in found]))
            for method, found in paired.items()
        }
        corrected = dict(zip(methods, holm(np.array([tests[name] for name in methods])), strict=True))
        single = {
            (method, pair.dataset): bootstrap.one(
                pair, family.relative, _rng(family, method, reference, pair), replicates
            )
            for method, found in paired.items()
            for pair in found
        }
        by_dataset = _corrected_by_dataset(single)
        for method, found in paired.items():
            absent = [name for name in sorted(family.scores) if name not in {pair.dataset for pair in found}]
            yield _row(
                family,
                method,
                reference,
                found,
                whole[method],
                p=tests[method],
                p_holm=corrected[method],
                comparisons=len(methods),
                note=f"without {', '.join(absent)}: no seed in which both have a score" if absent else "",
            )
            for pair in found:
                estimate = single[method, pair.dataset]
                p_holm, tried = by_dataset[method, pair.dataset]
                yield _row(family, method, reference, [pair], estimate, estimate.p, p_holm, tried, dataset=pair.dataset)


def _pairs(family: Family, method: str, reference: str, resample: Resample) -> list[Pair]:
    found, overlap = [], TEST_SHARE if family.split in CROSS_VALIDATION else 0.0
    for dataset, table in family.paired(method, reference).items():
        own, other = (
            _by_seed(resample(_cell(family, dataset, name)), list(table.index)) for name in (method, reference)
        )
        found.append(Pair(dataset, table[method].to_numpy(), table[reference].to_numpy(), own, other, overlap))
    return found


def _cell(family: Family, dataset: str, method: str) -> Cell:
    return Cell(family.protocol, model_of(method, family.model), dataset, family.split, family.budget, method)


def _by_seed(replicates: Mapping[int, Array] | None, seeds: list[int]) -> Array | None:
    """The replicates of these seeds side by side (B x S)."""
    if replicates is None or not set(seeds) <= replicates.keys():
        return None
    return np.stack([replicates[seed] for seed in seeds], axis=1)


def _whole(family: Family, method: str, reference: str, found: list[Pair], replicates: int) -> Estimate:
    return bootstrap.several(found, family.relative, _rng(family, method, reference), replicates)


def _rng(family: Family, method: str, reference: str, pair: Pair | None = None) -> np.random.Generator:
    # the order of the two changes the sign of an effect and nothing else
    return generator("bootstrap", *family.identity.values(), *sorted((method, reference)), pair.dataset if pair else "")


def _corrected_by_dataset(single: Mapping[tuple[str, str], Estimate]) -> dict[tuple[str, str], tuple[float, int]]:
    """Holm's p over the methods that are compared on one data set, and how many those are."""
    corrected = {}
    for dataset in sorted({dataset for _, dataset in single}):
        keys = [key for key in single if key[1] == dataset]
        adjusted = holm(np.array([single[key].p for key in keys]))
        corrected.update({key: (p, len(keys)) for key, p in zip(keys, adjusted, strict=True)})
    return corrected


def _row(
    family: Family,
    method: str,
    reference: str,
    found: list[Pair],
    estimate: Estimate,
    p: float,
    p_holm: float,
    comparisons: int,
    dataset: str = ALL,
    note: str = "",
) -> dict[str, object]:
    region, relative = EQUIVALENT[family.metric], family.relative
    needed = smallest_n(comparisons) if dataset == ALL else 0
    # training's own chance is in no interval of one seed, nor the choice of data sets in one of one data set
    covered = "seeds" in estimate.levels if dataset != ALL else {"datasets", "seeds"} <= set(estimate.levels)
    said = verdict(region, relative, family.better, estimate.low, estimate.high, p_holm) if covered else "undecided"
    low, high = (
        as_shown(end, True) if relative else float(np.clip(end, -1, 1)) for end in (estimate.low, estimate.high)
    )
    means = [(pair.method.mean(), pair.reference.mean()) for pair in found]
    return {
        **family.identity,
        "better": family.better,
        "method": method,
        "reference": reference,
        "dataset": dataset,
        "datasets": len(found),
        "seeds": min(len(pair.method) for pair in found),
        "difference": float(np.mean([own - other for own, other in means])),
        "relative": as_shown(float(np.mean([effect(own, other, True) for own, other in means])), True)
        if relative
        else np.nan,
        "scale": "relative" if relative else "difference",
        "low": low,
        "high": high,
        "levels": ", ".join(estimate.levels),
        "p": p,
        "p_holm": p_holm,
        "comparisons": comparisons,
        "smallest_n": needed,
        "enough": len(found) >= needed,
        "region": region.size,
        "verdict": said,
        "note": note,
    }


class Predictions:
    """The test predictions of aggregated tables under resampled molecules; a cell is read when it is asked for.

    What was computed is kept for the cells of one protocol, split and budget, and forgotten when another is asked for.
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
        self._done: dict[Cell, dict[int, Array]] = {}
        self._kept = ("", "", "")

    def resample(self, cell: Cell) -> Mapping[int, Array] | None:
        """Replicates (B) by seed. Cells of one protocol, data set, split and budget share their molecules' weights."""
        if self._kept != (cell.protocol, cell.split, cell.budget):
            self._kept = (cell.protocol, cell.split, cell.budget)
            self._done.clear()
            self._weights.clear()
        if cell not in self._done:
            self._done[cell] = dict(self._scored(cell))
        return self._done[cell] or None

    def _scored(self, cell: Cell) -> Iterator[tuple[int, Array]]:
        found = self._read(cell._asdict(), ["seed", "molecule", "prediction"])
        if not found.num_rows:
            return
        molecules, weights = self._drawn(cell)
        labels = self._labels[cell.dataset]
        seeds = found["seed"].to_numpy()
        tested = found["molecule"].to_numpy()
        predictions = found["prediction"].combine_chunks().flatten().to_numpy().reshape(len(tested), labels.shape[1])
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
        """The molecules that any seed tests, and how often each replicate draws them."""
        key = {name: getattr(cell, name) for name in ("protocol", "dataset", "split", "budget")}
        words = tuple(key.values())
        if words not in self._weights:
            molecules = np.unique(self._read(key, ["molecule"])["molecule"].to_numpy())
            self._weights[words] = (
                molecules,
                bootstrap.draw(generator("molecules", *words), len(molecules), self._replicates),
            )
        return self._weights[words]

    def _read(self, where: Mapping[str, str], columns: list[str]) -> pa.Table:
        found = self._table.read(where, [*columns, "partition"])
        return found.filter(pa.compute.equal(found["partition"], "test"))
