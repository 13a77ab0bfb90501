"""From selected runs to blocks: a family's test scores, datasets x seeds x methods, and what can be compared in it.

The unit of inference is the dataset. Seeds of one dataset share its molecules, so they are averaged before any test.
Taken as blocks of their own, they would give many false differences (docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.methods import CONSTANT, WITHOUT_ENCODER
from roftmol.registry.splits import CROSS_VALIDATION, JOINT_CROSS_VALIDATION, TEST_SHARE
from roftmol.tables import schemas
from roftmol.tasks import METRICS

Array = NDArray[np.float64]

#: Never pooled: protocols, encoders, splits, budgets and metrics, and so kinds of task.
FAMILY = list(schemas.FAMILY)


@dataclass(frozen=True)
class Family:
    """What is compared together: for each dataset the selected runs' test scores, seeds x methods, NaN if missing.

    References without an encoder are in the family of every encoder.
    """

    protocol: str
    model: str
    split: str
    budget: str
    metric: str
    scores: Mapping[str, pd.DataFrame]

    @property
    def identity(self) -> dict[str, str]:
        """The columns that name the family in a table."""
        return {name: getattr(self, name) for name in FAMILY}

    @property
    def better(self) -> int:
        """+1 for a metric to maximise, -1 for one to minimise."""
        return METRICS[self.metric].sign

    @property
    def relative(self) -> bool:
        """Whether methods are compared by ratios."""
        return METRICS[self.metric].in_label_units

    @property
    def overlap(self) -> float:
        """Test / training molecules where seeds are resamples that share training molecules, otherwise 0."""
        return TEST_SHARE if self.split in {*CROSS_VALIDATION.values(), *JOINT_CROSS_VALIDATION.values()} else 0.0

    @cached_property
    def methods(self) -> list[str]:
        """Every method that was run, by name."""
        return sorted({str(name) for table in self.scores.values() for name in table.columns})

    @property
    def rivals(self) -> list[str]:
        """The methods that compete for a rank: all but the constant predictor."""
        return [name for name in self.methods if name != CONSTANT]

    def paired(self, method: str, reference: str) -> dict[str, pd.DataFrame]:
        """Return for each dataset the seeds in which both methods have a score; leave out datasets without any."""
        return {name: table for name in sorted(self.scores) if len(table := self._paired(name, method, reference))}

    def _paired(self, dataset: str, method: str, reference: str) -> pd.DataFrame:
        # looking columns up takes a fraction of the time of `reindex` and `dropna`
        seeds, columns = self._columns[dataset]
        absent = np.full(len(seeds), np.nan)
        values = np.stack([columns.get(name, absent) for name in (method, reference)], axis=1)
        scored = ~np.isnan(values).any(1)
        return pd.DataFrame(values[scored], seeds[scored], [method, reference])

    @cached_property
    def _columns(self) -> dict[str, tuple[pd.Index, dict[str, Array]]]:
        return {
            name: (table.index, dict(zip(table.columns, table.to_numpy(np.float64).T, strict=True)))
            for name, table in self.scores.items()
        }

    @cached_property
    def block(self) -> pd.DataFrame:
        """The complete block: datasets x methods, each the mean over the seeds in which all of them have a score.

        A method that lacks more than half of the datasets is left out; then each dataset that one of the rest lacks.
        The constant predictor is always left out, because its being last says nothing about the others.
        """
        has = pd.DataFrame(
            {name: table.reindex(columns=self.rivals).notna().any() for name, table in self.scores.items()}
        ).T.sort_index()
        kept = [name for name in self.rivals if 2 * has[name].sum() >= len(has) and has[name].any()]
        complete = {name: self.scores[name].reindex(columns=kept).dropna() for name in has.index}
        means = {name: table.mean() for name, table in complete.items() if len(table)}
        return pd.DataFrame(means, index=kept, dtype=float).T

    @property
    def left_out(self) -> str:
        """What the complete block lacks, in words; "" if nothing."""
        methods = [name for name in self.rivals if name not in self.block.columns]
        datasets = [name for name in sorted(self.scores) if name not in self.block.index]
        parts = []
        if methods:
            parts.append(f"without {', '.join(methods)}: no score on more than half of the datasets")
        if datasets:
            parts.append(f"without {', '.join(datasets)}: no seed in which every method has a score")
        return "; ".join(parts)


def families(selected: pd.DataFrame) -> Iterator[Family]:
    """Yield the families of the table "selected", in its order."""
    without_encoder = selected["method"].isin(WITHOUT_ENCODER)
    shared = selected[without_encoder]
    for key, rows in selected[~without_encoder].groupby(FAMILY, sort=False):
        protocol, model, split, budget, metric = (str(part) for part in key)
        beside = shared[
            (shared["protocol"] == protocol)
            & (shared["split"] == split)
            & (shared["budget"] == budget)
            & shared["dataset"].isin(rows["dataset"].unique())
        ]
        everything = pd.concat([rows, beside])
        scores = {
            str(name): table.pivot(index="seed", columns="method", values="test_value")
            for name, table in everything.groupby("dataset")
        }
        yield Family(protocol, model, split, budget, metric, scores)


def effect(method: Array, reference: Array, relative: bool) -> Array:
    """Return what is averaged and tested: the difference of two scores, or the logarithm of their ratio."""
    return np.log(method) - np.log(reference) if relative else method - reference


def as_shown(value: float, relative: bool) -> float:
    """Convert an effect for tables: to the difference, or the relative change (a ratio of 1.03 is 0.03)."""
    return float(np.expm1(value)) if relative else float(value)
