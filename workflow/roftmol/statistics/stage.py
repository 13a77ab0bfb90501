"""Make the tables "comparisons", "mean_ranks", "pairs", "crossed" and "exposed" from aggregated tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from roftmol.core.seeds import generator
from roftmol.methods import CONSTANT, WITHOUT_ENCODER, of_panels
from roftmol.statistics import TABLES, bootstrap
from roftmol.statistics.blocks import Array, Family, as_shown, effect, families
from roftmol.statistics.bootstrap import Estimate, Pair
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
from roftmol.statistics.exposed import exposed
from roftmol.statistics.predictions import Cell, Predictions, Resampled, cell_of
from roftmol.tables import schemas
from roftmol.tasks import PRIMARY

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
    predictions = Predictions(tables, replicates)
    frames = made(selected, predictions.resample, replicates, scores)
    exposure = schemas.read("exposure", tables / "exposure.parquet")
    frames["exposed"] = exposed(families(selected), exposure, predictions.parts, replicates)
    for name, frame in frames.items():
        schemas.write(name, frame, out / f"{name}.parquet", {"replicates": replicates})


def made(
    selected: pd.DataFrame,
    resample: Resample = lambda cell: None,
    replicates: int = bootstrap.REPLICATES,
    scores: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """Make the tables by name, from the table "selected" and a function that resamples the molecules of a cell.

    `scores` are the rows of that table of methods whose points are compared; without them table "crossed" is empty.
    Table "exposed" is empty; `build` makes it, by predictions.
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
    names = [name for name in TABLES if name not in ("crossed", "exposed")]
    frames = {name: [table[name] for table in tables if len(table[name])] for name in names}
    # pandas takes an empty frame's types for those of the whole
    made = {
        name: pd.concat(parts, ignore_index=True) if parts else schemas.empty(name) for name, parts in frames.items()
    }
    made["comparisons"] = corrected(made["comparisons"])[schemas.schema("comparisons").names]
    metrics = dict(zip(selected["dataset"], selected["metric"], strict=True))
    made["crossed"] = schemas.empty("crossed") if scores is None else crossed(scores, metrics, replicates)
    return made | {"exposed": schemas.empty("exposed")}


def compare(family: Family, resample: Resample, replicates: int) -> Iterator[dict[str, object]]:
    """Yield rows for table "comparisons": by reference and method, the family as a whole and then each dataset.

    They are not corrected yet, because that needs the rows of all families.
    """
    for reference, methods in references(family):
        for method in methods:
            on_datasets = _pairs(family, method, reference, resample)
            yield _over_datasets(family, method, reference, on_datasets, replicates, of_panels(method))
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
            rows.append(_over_datasets(family, setting, corner, on_datasets, replicates, together=True))
            methods.append(crossing.method)
    table = corrected(pd.DataFrame(rows)).rename(columns={"method": "setting"})
    return table.assign(method=pd.Series(methods, dtype=object))[schemas.schema("crossed").names]


def _over_datasets(
    family: Family, method: str, reference: str, on_datasets: list[Pair], replicates: int, together: bool
) -> dict[str, object]:
    """Make the row of a family as a whole; with `together`, a seed's fit is one of all datasets."""
    absent = [name for name in sorted(family.scores) if name not in {pair.dataset for pair in on_datasets}]
    relative, rng = family.relative, _rng(family, method, reference)
    estimate = bootstrap.several(on_datasets, relative, rng, replicates, together)
    p = wilcoxon(np.array([pair.effect(relative) for pair in on_datasets]))
    return _row(
        family,
        method,
        reference,
        on_datasets,
        estimate,
        # Wilcoxon's test takes datasets for independent, which fits of all of them are not.
        p=float(np.fmax(p, estimate.p)) if together else p,
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
    on_datasets = []
    for dataset, table in family.paired(method, reference).items():
        seeds = list(table.index)
        of_method = resample(cell_of(family, dataset, method))
        of_reference = resample(cell_of(family, dataset, reference))
        on_datasets.append(
            Pair(
                dataset=dataset,
                method=table[method].to_numpy(),
                reference=table[reference].to_numpy(),
                method_resampled=_by_seed(of_method, seeds),
                reference_resampled=_by_seed(of_reference, seeds),
                overlap=family.overlap,
                molecules=min(of_method.molecules, of_reference.molecules) if of_method and of_reference else 0,
                seeds=tuple(seeds),
            )
        )
    return on_datasets


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
