"""What joint training gains on test molecules that train another dataset, on the others, and what that explains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import pytest

import made_up_tables
from roftmol.scoring import metrics
from roftmol.statistics.blocks import families
from roftmol.statistics.bootstrap import draw, resampled
from roftmol.statistics.exposed import LEAST, exposed
from roftmol.statistics.predictions import Cell, Ints, Scored
from roftmol.tables import schemas
from roftmol.tasks import PRIMARY

SEEDS = (0, 1, 2)
MOLECULES = 120
SEEN = 40
PARTS = {"exposed": slice(SEEN), "new": slice(SEEN, None)}


class World:
    """Datasets of which the first 40 of 120 test molecules are exposed, and predictions whose errors are given.

    `errors` are by method the deviation of the errors on exposed molecules and on new ones.
    """

    def __init__(
        self, errors: Mapping[str, tuple[float, float]], datasets: int = 6, metric: str = "roc_auc", seed: int = 0
    ):
        random = np.random.default_rng(seed)
        self.metric = metric
        self.names = [f"set{number}" for number in range(datasets)]
        self.labels: dict[str, np.ndarray] = {}
        self.predictions: dict[tuple[str, str, int], np.ndarray] = {}
        for name in self.names:
            truth = random.normal(size=MOLECULES)
            self.labels[name] = ((truth > 0) if metric == "roc_auc" else truth).astype(float)[:, None]
            for method, (on_seen, on_new) in errors.items():
                for run in SEEDS:
                    noise = np.where(np.arange(MOLECULES) < SEEN, on_seen, on_new) * random.normal(size=MOLECULES)
                    self.predictions[name, method, run] = (truth + noise)[:, None]
        self.weights = draw(random, MOLECULES, 200)

    def selected(self) -> pd.DataFrame:
        return pd.concat([self._selected(name) for name in self.names], ignore_index=True)

    def _selected(self, name: str) -> pd.DataFrame:
        methods = dict.fromkeys(method for _, method, _ in self.predictions)
        scores = {method: self.scores(name, method, slice(None)) for method in methods}
        return made_up_tables.selected_rows(scores, dataset=name, metric=self.metric)

    def scores(self, name: str, method: str, rows: slice) -> list[float]:
        """The metric of each seed on these molecules."""
        labels = self.labels[name][rows]
        return [metrics.primary(self.metric, labels, self.predictions[name, method, run][rows]) for run in SEEDS]

    def gain(self, name: str, rows: slice) -> float:
        """How much better joint FT is than full FT on these molecules, mean over the seeds."""
        return float(np.mean(self.scores(name, "joint_ft", rows)) - np.mean(self.scores(name, "full_ft", rows)))

    def exposure(self) -> pd.DataFrame:
        context = ["protocol", "dataset", "split", "budget", "seed"]
        chosen = self.selected().drop_duplicates(["dataset", "seed"])[context]
        parts = {"test": range(SEEN), "valid": range(SEEN, MOLECULES)}  # what validates does not count
        return pd.concat(
            [chosen.assign(partition=name, records=[list(records)] * len(chosen)) for name, records in parts.items()]
        )

    def parts(self, cell: Cell, records: Mapping[int, Ints]) -> Iterator[tuple[int, Scored, Scored]]:
        for run, seen in records.items():
            mask = np.isin(np.arange(MOLECULES), seen)
            y, p = self.labels[cell.dataset], self.predictions[cell.dataset, cell.method, run]
            yield (
                run,
                *(
                    Scored(
                        int(part.sum()),
                        PRIMARY[self.metric].counted(y[part]),
                        metrics.primary(self.metric, y[part], p[part]),
                        resampled(self.metric, y[part], p[part], self.weights[:, part]),
                    )
                    for part in (mask, ~mask)
                ),
            )

    def table(self) -> pd.DataFrame:
        made = exposed(families(self.selected()), self.exposure(), self.parts, 200)
        schemas.table("exposed", made)
        return made.set_index(["method", "dataset", "part"])


def test_each_part_is_the_metric_s_difference_on_those_molecules_and_the_excess_is_weighted_by_their_share():
    world = World({"full_ft": (1.0, 1.0), "joint_ft": (0.3, 0.9)})
    table = world.table()
    for name in world.names:
        gains = {part: world.gain(name, rows) for part, rows in PARTS.items()}
        rows = table.loc["joint_ft", name]["difference"]
        assert rows["exposed"] == pytest.approx(gains["exposed"])
        assert rows["new"] == pytest.approx(gains["new"])
        assert rows["excess"] == pytest.approx(gains["exposed"] - gains["new"])
        assert rows["explained"] == pytest.approx(rows["excess"] * SEEN / MOLECULES)
    over_all = table.loc["joint_ft", "all"]
    for part, rows in over_all.iterrows():
        of_sets = table.loc["joint_ft"].loc[world.names].xs(part, level="part")["difference"]
        assert rows["difference"] == pytest.approx(of_sets.mean())
        assert rows["low"] < rows["difference"] < rows["high"]
    assert over_all["share"].tolist() == pytest.approx([1 / 3] * 4)
    assert set(over_all["levels"]) == {"datasets, seeds, molecules"}
    assert over_all.loc["excess", "p_holm"] < 0.05
    assert set(table["reference"]) == {"full_ft"}


def test_a_smaller_error_is_a_ratio_below_one_whatever_the_unit():
    world = World({"full_ft": (1.0, 1.0), "joint_ft": (0.5, 1.0)}, metric="rmse")
    table = world.table().loc["joint_ft", "all"]
    assert set(table["better"]) == {-1}
    assert set(table["scale"]) == {"relative"}
    assert table.loc["exposed", "difference"] == pytest.approx(-0.5, abs=0.06)  # half the error
    assert table.loc["new", "difference"] == pytest.approx(0, abs=0.06)
    before = table.loc["excess", "difference"]
    for name in world.names:
        world.labels[name] *= 1000
    world.predictions = {key: 1000 * values for key, values in world.predictions.items()}
    assert world.table().loc["joint_ft", "all"].loc["excess", "difference"] == pytest.approx(before)


def test_equal_gains_on_both_parts_are_no_excess_in_nineteen_of_twenty_panels():
    claims = [
        World({"full_ft": (1.0, 1.0), "joint_ft": (0.8, 0.8)}, seed=seed).table().loc["joint_ft", "all"].loc["excess"]
        for seed in range(20)
    ]
    assert sum(row["p_holm"] <= 0.05 for row in claims) <= 3  # 1 is expected
    assert np.mean([row["difference"] for row in claims]) == pytest.approx(0, abs=0.01)


def test_an_interval_over_two_datasets_ends_where_differences_of_scores_do():
    world = World({"full_ft": (3.0, 3.0), "joint_ft": (0.1, 3.0)}, datasets=2)
    for run in SEEDS:
        world.predictions["set1", "joint_ft", run] *= -1.0  # so that the datasets differ
    table = world.table().loc["joint_ft", "all"]
    assert table.loc["excess", ["low", "high"]].tolist() == [-2, 2]
    assert table.loc["exposed", ["low", "high"]].tolist() == [-1, 1]


def test_what_has_too_few_molecules_of_a_part_or_no_joint_method_is_left_out():
    world = World({"full_ft": (1.0, 1.0), "joint_ft": (0.5, 1.0)}, datasets=2)
    exposure = world.exposure()[lambda rows: rows["partition"] == "test"]
    of_class = {name: np.flatnonzero(world.labels[name][:, 0] == 1)[: LEAST - (name == "set0")] for name in world.names}
    rest = {name: np.flatnonzero(world.labels[name][:, 0] == 0)[:20] for name in world.names}
    exposure["records"] = [[*of_class[name], *rest[name]] for name in exposure["dataset"]]
    made = exposed(families(world.selected()), exposure, world.parts, 50)
    assert set(made["dataset"]) == {"all", "set1"}
    assert set(made["exposed"]) == {LEAST + 20}  # all that have a label, though those of a class count
    assert made["share"].to_numpy() == pytest.approx((LEAST + 20) / MOLECULES)
    older = exposure.assign(records=None)
    assert exposed(families(world.selected()), older, world.parts, 50).empty
    single = World({"full_ft": (1.0, 1.0), "l2_sp": (0.5, 1.0)}, datasets=2)
    assert exposed(families(single.selected()), single.exposure(), single.parts, 50).empty


@pytest.mark.parametrize(("seen", "counts"), [(LEAST - 1, False), (LEAST, True)])
def test_so_many_exposed_molecules_of_measured_values_count(seen: int, counts: bool):
    world = World({"full_ft": (1.0, 1.0), "joint_ft": (0.5, 1.0)}, datasets=2, metric="rmse")
    exposure = world.exposure()
    exposure["records"] = [list(range(seen))] * len(exposure)
    assert exposed(families(world.selected()), exposure, world.parts, 50).empty != counts


def width(lucky: Mapping[str, int], lacks: tuple[str, int] | None = None) -> float:
    """The width of the excess's interval where one fit of each dataset knows its exposed molecules, and others nothing.

    `lacks` is a seed in which one dataset has no exposed molecules.
    """
    world = World({"full_ft": (9.0, 9.0), "joint_ft": (9.0, 9.0)})
    for name, run in lucky.items():
        world.predictions[name, "joint_ft", run][:SEEN] = 2.0 * world.labels[name][:SEEN] - 1.0
    exposure = world.exposure()
    if lacks:
        exposure = exposure[(exposure["dataset"] != lacks[0]) | (exposure["seed"] != lacks[1])]
    made = exposed(families(world.selected()), exposure, world.parts, 200).set_index(["dataset", "part"])
    low, high = made.loc[("all", "excess"), ["low", "high"]]
    return high - low


def test_one_fit_that_knows_the_exposed_molecules_of_all_datasets_is_luck():
    names = [f"set{number}" for number in range(6)]
    of_each = width({name: number % 3 for number, name in enumerate(names)})
    assert width(dict.fromkeys(names, 2)) > 2.5 * of_each
    # by the seeds' numbers: all have two, of which one is lucky or neither
    assert width(dict.fromkeys(names, 2), lacks=("set0", 0)) > 5 * of_each
    assert width(dict.fromkeys(names, 0), lacks=("set0", 0)) < 1.5 * of_each
