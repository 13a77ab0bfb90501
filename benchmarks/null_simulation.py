"""How often statistics and report find a difference where there is none, and how often intervals hold the truth.

    OMP_NUM_THREADS=1 PYTHONPATH=workflow python benchmarks/null_simulation.py [--quick]

The made-up methods are exchangeable: none is better than another over the datasets. On each dataset one may well be
better, by an amount that all seeds of the dataset share; that is why seeds are no blocks. Rows of Markdown go to the
standard output; docs/statistics.md has those of the last full run, which `make test-slow` repeats. A rate of r in N
simulations has the standard error sqrt(r (1 - r) / N).
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from roftmol.core.parallel import each
from roftmol.core.seeds import generator
from roftmol.evaluation.aggregate import summarise
from roftmol.figures.cells import Results
from roftmol.methods import CONSTANT, WITHOUT_ENCODER, model_of
from roftmol.report.answers import answers
from roftmol.report.verdict import answers_table, verdict
from roftmol.scoring import metrics
from roftmol.statistics import bootstrap, stage
from roftmol.statistics.bootstrap import Pair
from roftmol.statistics.resampled import compare
from roftmol.tables import schemas

ALPHA = 0.05
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Scores of exchangeable methods: deviations of dataset, seed, method on the dataset, and the rest."""

    datasets: int
    seeds: int = 5
    methods: int = 11
    dataset: float = 0.1
    seed: float = 0.03
    on_dataset: float = 0.02
    rest: float = 0.02

    def draw(self, rng: np.random.Generator) -> Array:
        """Draw scores, datasets x seeds x methods."""
        D, S, K = self.datasets, self.seeds, self.methods
        return (
            self.dataset * rng.normal(size=(D, 1, 1))
            + self.seed * rng.normal(size=(D, S, 1))
            + self.on_dataset * rng.normal(size=(D, 1, K))
            + self.rest * rng.normal(size=(D, S, K))
        )


def friedman(blocks: Array) -> float:
    """Return the rate at which Friedman's test finds a difference in simulations x blocks x methods."""
    return float(np.mean([stats.friedmanchisquare(*table.T).pvalue <= ALPHA for table in blocks]))


def signed_ranks(blocks: Array) -> float:
    """Return the rate at which any method differs from the first by Wilcoxon's test with Holm's correction.

    All simulations at once; `comparisons.wilcoxon` gives the same p, as no two scores are equal. Any of Holm's tests is
    significant if the first step's is: m times the smallest p.
    """
    p = stats.wilcoxon(blocks[:, :, 1:] - blocks[:, :, :1], axis=1).pvalue
    return float(np.mean(p.shape[1] * p.min(1) <= ALPHA))


def over_datasets(scores: Scores, simulations: int) -> dict[str, float]:
    """Return false-positive rates with the datasets' means as blocks, and with rows of dataset x seed."""
    rng = generator("null", "over datasets", scores)
    values = np.stack([scores.draw(rng) for _ in range(simulations)])
    means, rows = values.mean(2), values.reshape(simulations, -1, scores.methods)
    return {
        "friedman": friedman(means),
        "friedman_rows": friedman(rows),
        "wilcoxon": signed_ranks(means),
        "wilcoxon_rows": signed_ranks(rows),
    }


def over_resamples(overlap: bool, simulations: int, resamples: int = 10, methods: int = 5) -> dict[str, float]:
    """Return the rates at which any pair is told apart on one dataset, resampled in five parts, by default twice.

    With `overlap`, scores of one method correlate over resamples by 0.2, the share of the molecules that are test: what
    Nadeau and Bengio take for the effect of shared training molecules.
    """
    rng = generator("null", "over resamples", overlap)
    shared = 0.2 if overlap else 0.0
    hits: dict[str, list[bool]] = {"tukey": [], "corrected": []}
    for _ in range(simulations):
        values = (
            rng.normal(size=(resamples, 1))
            + np.sqrt(shared) * rng.normal(size=methods)
            + np.sqrt(1 - shared) * rng.normal(size=(resamples, methods))
        )
        pairs = compare(pd.DataFrame(values), 0.25, ALPHA, tukey_p=False)
        hits["tukey"].append(bool((pairs["tukey_low"] * pairs["tukey_high"] > 0).any()))
        hits["corrected"].append(bool((pairs["corrected_p_holm"] <= ALPHA).any()))
    return {name: float(np.mean(of_test)) for name, of_test in hits.items()}


@dataclass(frozen=True)
class Runs:
    """Predictions of two exchangeable methods, molecule by molecule.

    An error has a part that both methods share, one of the method, and one of the run; it is scaled by what the method
    does on this dataset and in this seed. A seed tests `tested` of the `pool` molecules: all, if the two are equal.
    """

    datasets: int
    seeds: int
    metric: str = "rmse"
    tested: int = 100
    pool: int = 200
    molecule: float = 0.5
    method: float = 0.3
    run: float = 0.5
    on_dataset: float = 0.05
    in_seed: float = 0.05

    def draw(self, rng: np.random.Generator, replicates: int) -> tuple[list[Pair], list[float]]:
        """Draw the pair on each dataset, and the true effect there: that of infinitely many molecules and seeds."""
        return tuple(zip(*(self._dataset(rng, replicates) for _ in range(self.datasets)), strict=True))

    def _dataset(self, rng: np.random.Generator, replicates: int) -> tuple[Pair, float]:
        classes = self.metric == "roc_auc"
        y = (rng.random(self.pool) < 0.4).astype(float) if classes else rng.normal(size=self.pool)
        shared = self.molecule * rng.normal(size=self.pool)
        of_method = self.method * rng.normal(size=(2, self.pool))
        skill = self.on_dataset * rng.normal(size=2)
        weights = bootstrap.draw(rng, self.pool, replicates)
        values, resampled = np.empty((2, self.seeds)), np.empty((2, replicates, self.seeds))
        for seed in range(self.seeds):
            part = rng.permutation(self.pool)[: self.tested]
            for k in range(2):
                noise = self.run * rng.normal(size=self.tested)
                scale = np.exp(skill[k] + self.in_seed * rng.normal())
                p = y[part] + scale * (shared[part] + of_method[k, part] + noise)
                once = np.ones((1, self.tested), np.uint16)
                values[k, seed] = bootstrap.resampled(self.metric, y[part, None], p[:, None], once)[0]
                resampled[k, :, seed] = bootstrap.resampled(self.metric, y[part, None], p[:, None], weights[:, part])
        pair = Pair("", values[0], values[1], resampled[0], resampled[1])
        return pair, skill[0] - skill[1]


def redrawn(pair: Pair, relative: bool, rng: np.random.Generator, replicates: int) -> Array:
    """Return a dataset's effect with seeds drawn under resampled molecules: the plain nested bootstrap."""
    seeds = len(pair.method)
    picks = rng.integers(seeds, size=(replicates, seeds))
    rows = np.arange(replicates)[:, None]
    method, reference = (values[rows, picks].mean(1) for values in (pair.method_resampled, pair.reference_resampled))
    return bootstrap.effect(method, reference, relative)


def coverage(runs: Runs, simulations: int, replicates: int = 200) -> dict[str, float]:
    """Measure how often 95% intervals hold the true mean effect: ours, the plain nested bootstrap's, a t-test's.

    The t-test is that of the datasets' effects; for one dataset, of its seeds'. `wide` is our mean width over its.
    """
    rng = generator("null", "coverage", runs)
    relative = runs.metric == "rmse"
    hits: dict[str, list[bool]] = {"interval": [], "nested": [], "t": []}
    widths: list[tuple[float, float]] = []
    for _ in range(simulations):
        pairs, effects = runs.draw(rng, replicates)
        # over datasets the truth is that none is better; on the one at hand, what this method does there
        truth = effects[0] if runs.datasets == 1 else 0.0
        estimate = bootstrap.several(pairs, relative, rng, replicates)
        hits["interval"].append(estimate.low <= truth <= estimate.high)
        picks = rng.integers(len(pairs), size=(replicates, len(pairs)))
        nested = np.stack([redrawn(pair, relative, rng, replicates) for pair in pairs])
        drawn = nested[picks, rng.integers(replicates, size=picks.shape)].mean(1) if len(pairs) > 1 else nested[0]
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        hits["nested"].append(low <= truth <= high)
        if len(pairs) == 1:
            gaps = bootstrap.effect(pairs[0].method, pairs[0].reference, relative)
        else:
            gaps = np.array([pair.effect(relative) for pair in pairs])
        half = np.nan
        if len(gaps) > 1:
            half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
            hits["t"].append(abs(gaps.mean() - truth) <= half)
        widths.append((estimate.high - estimate.low, 2 * half))
    ours, t = np.mean(widths, axis=0)
    return {name: float(np.mean(held)) if held else np.nan for name, held in hits.items()} | {"wide": ours / t}


@dataclass(frozen=True)
class Panel:
    """Scores of full FT of each dataset and of one fit a seed of all: deviations of their difference, none in the mean.

    `luck` is that of a seed, which all datasets share, `on_dataset` that of a dataset, which all its seeds share.
    """

    datasets: int
    seeds: int
    luck: float
    on_dataset: float = 0.02
    rest: float = 0.04

    def draw(self, rng: np.random.Generator) -> Array:
        """Draw differences, datasets x seeds."""
        D, S = self.datasets, self.seeds
        return (
            self.luck * rng.normal(size=S)
            + self.on_dataset * rng.normal(size=(D, 1))
            + self.rest * rng.normal(size=(D, S))
        )


def over_panels(panel: Panel, simulations: int, replicates: int = 100) -> dict[str, float]:
    """Return how often the stage says that the method differs from full FT, as joint FT and as a method of single fits.

    It is the only comparison of the experiment.
    """
    rng, found = generator("null", "panels", panel), {"joint_ft": 0, "l2_sp": 0}
    cell = {"protocol": "honest", "model": "one", "split": "joint", "budget": "all", "metric": "roc_auc"}
    for _ in range(simulations):
        better = panel.draw(rng)
        for method in found:
            values = {"full_ft": np.full_like(better, 0.7), method: 0.7 + better}
            rows = [
                {**cell, "dataset": f"set{d:02}", "method": name, "seed": s, "test_value": value}
                for name, scores in values.items()
                for (d, s), value in np.ndenumerate(scores)
            ]
            table = stage.made(pd.DataFrame(rows), replicates=replicates)["comparisons"]
            found[method] += table.loc[table["dataset"] == "all", "verdict"].isin(["better", "worse"]).any()
    return {method: count / simulations for method, count in found.items()}


def percent(rate: float) -> str:
    """Write a rate for a table."""
    return "–" if np.isnan(rate) else f"{100 * rate:.1f}%"


def bound(rate: float, simulations: int) -> float:
    """Return the bound that an observed rate exceeds in one of a thousand runs, if the true one is `rate`."""
    return float(stats.binom.ppf(0.999, simulations, rate) / simulations)


@dataclass(frozen=True)
class Row:
    """A row of a table, and the rates of error in it that must not be above 5%, by what they are of."""

    cells: list[object]
    held: dict[str, float]


def table(columns: list[str], rows: Iterable[Row], simulations: int) -> list[str]:
    """Print a table of Markdown, each row as soon as it is made; return what erred more often than it may."""
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)
    failed = []
    for row in rows:
        print("| " + " | ".join(map(str, row.cells)) + " |", flush=True)
        failed += [f"{name}: {rate:.1%}" for name, rate in row.held.items() if rate > bound(ALPHA, simulations)]
    print(flush=True)
    return failed


def datasets_row(datasets: int, seeds: int, simulations: int) -> Row:
    """Make the row of false positives over datasets."""
    rates = over_datasets(Scores(datasets, seeds), simulations)
    names = ["friedman", "friedman_rows", "wilcoxon", "wilcoxon_rows"]
    where = f"over {datasets} datasets, {seeds} seeds"
    held = {f"{name} {where}": rates[name] for name in ("friedman", "wilcoxon")}
    return Row([datasets, seeds, *(percent(rates[name]) for name in names)], held)


def resamples_row(words: str, overlap: bool, simulations: int) -> Row:
    """Make the row of false positives on one dataset; both comparisons are widened for the resamples' overlap."""
    rates = over_resamples(overlap, simulations)
    held = {f"{name}, resamples {words}": rate for name, rate in rates.items()}
    return Row([words, percent(rates["tukey"]), percent(rates["corrected"])], held)


def panel_row(panel: Panel, simulations: int) -> Row:
    """Make the row of false positives of fits that datasets share; by single fits' rule they may err as they like."""
    rates = over_panels(panel, simulations)
    cells = [panel.datasets, panel.seeds, panel.luck, percent(rates["l2_sp"]), percent(rates["joint_ft"])]
    return Row(cells, {f"{panel}": rates["joint_ft"]})


def coverage_row(runs: Runs, simulations: int) -> Row:
    """Make the row of intervals' coverage; with one seed on one dataset, they leave out what training varies."""
    rates = coverage(runs, simulations)
    parts = "shared" if runs.tested == runs.pool else "drawn anew"
    cells = [runs.metric, runs.datasets, runs.on_dataset, runs.seeds, parts]
    percents = [percent(rates[name]) for name in ("interval", "nested", "t")]
    wide = "–" if np.isnan(rates["wide"]) else f"{rates['wide']:.2f}"
    one_seed = runs.datasets == runs.seeds == 1
    return Row([*cells, *percents, wide], {} if one_seed else {f"interval of {runs}": 1 - rates["interval"]})


# The report: whole experiments, from made-up predictions through the functions that make its sentences

#: Methods of the made-up experiments; the last three are references.
TUNED = ("full_ft", "linear_probing", "surgical_ft", "lp_ft", "l2_sp", "bss", "feature_map", "wise_ft", "dwise_ft")
METHODS = (*TUNED, "scratch", *WITHOUT_ENCODER)
#: What a sentence has that prefers one method to another.
PREFERS = re.compile(r"Fine-tune|Use |you fine-tune|(?:is|are) (?:better|worse) than (?!predicting|that of)")
CANNOT = "These labels cannot be predicted from these structures"
#: What the table says of a condition in which no method is known to be better.
NO_DIFFERENCE = {"nothing", "too few seeds to tell"}


@dataclass(frozen=True)
class Shape:
    """What an experiment has: the metric of each dataset, models, seeds, and how the seeds' test parts are drawn.

    A prediction's error has a part that all methods share, one of the method and one of the run, molecule by molecule,
    and is scaled by what the method does on the dataset and in the seed (`on_dataset`, `in_seed`, in logarithms).
    """

    name: str
    metrics: tuple[str, ...]
    seeds: int
    models: tuple[str, ...] = ("one",)
    split: str = "scaffold"
    molecules: int = 300
    tested: int = 100
    on_dataset: float = 0.0
    in_seed: float = 0.05
    better: Mapping[str, float] = field(default_factory=dict)  #: methods whose errors are larger by this factor

    def parts(self, rng: np.random.Generator) -> list[NDArray[np.intp]]:
        """Draw the test molecules of each seed, or deal them out by a cross-validation."""
        if self.split != "cv":
            return [np.sort(rng.permutation(self.molecules)[: self.tested]) for _ in range(self.seeds)]
        rounds = [np.array_split(rng.permutation(self.molecules), 5) for _ in range(-(-self.seeds // 5))]
        return [np.sort(part) for dealt in rounds for part in dealt][: self.seeds]


DEFAULT = Shape("three datasets, two models, 3 seeds", ("rmse", "roc_auc", "roc_auc"), 3, ("one", "two"))
#: Scores over the parts of a cross-validation correlate by 0.2, the share of the molecules that are test.
ONE = Shape("one dataset, 10 parts of a cross-validation", ("rmse",), 10, split="cv", on_dataset=0.022, in_seed=0.045)
MANY = Shape("twelve datasets, 5 seeds", ("rmse",) * 12, 5)
#: On each dataset some method may well be better, by an amount that all its seeds share.
VARIED = Shape("the same, methods differ on single datasets", ("rmse",) * 12, 5, on_dataset=0.05)
#: With labels permuted or not.
NULLS = [*((shape, permuted) for shape in (DEFAULT, ONE, MANY) for permuted in (False, True)), (VARIED, False)]


@dataclass(frozen=True)
class Page:
    """What a page says: its first sentences, and what its table says of single conditions."""

    sentences: list[str]
    conditions: list[str]

    @property
    def advises(self) -> bool:
        """Whether the sentences prefer a method to another."""
        return any(PREFERS.search(sentence) for sentence in self.sentences)

    @property
    def prefers(self) -> bool:
        """Whether the page does so anywhere."""
        return self.advises or any(text not in NO_DIFFERENCE for text in self.conditions)

    @property
    def cannot(self) -> bool:
        """Whether the page begins by saying that the labels cannot be predicted."""
        return self.sentences[0].startswith(CANNOT)


def page(shape: Shape, rng: np.random.Generator, permuted: bool = False, replicates: int = 200) -> Page:
    """Make the page of an experiment: tables as the stages make them, and the report's own functions on these.

    With `permuted` labels, no prediction has anything to do with the labels.
    """
    rows: list[dict[str, object]] = []
    resampled: dict[stage.Cell, stage.Resampled] = {}
    for number, metric in enumerate(shape.metrics):
        for cell, by_seed, drawn in _cells(shape, f"set{number:02}", metric, permuted, rng, replicates):
            rows += [{**cell._asdict(), "seed": s, "metric": metric, "test_value": v} for s, v in enumerate(by_seed)]
            resampled[cell] = drawn
    blank = {"setting": "{}", "rule": "validation", "candidates": 1, "failed": 0, "valid_value": 0.0, "valid_loss": 0.0}
    audit = {"test_r2": np.nan, "seen": 0.0, "contamination": "none", "note": ""}
    selected = pd.DataFrame(rows).assign(**blank, **audit)
    timings = selected[list(schemas.RUN)].assign(wall_seconds=1.0)
    empty = [schemas.empty(name) for name in ("alphas", "coefficients")]
    results = Results(summarise(selected, timings), selected, *empty, **stage.made(selected, resampled.get, replicates))
    given = answers(results, schemas.empty("left_out"))
    table = answers_table(given, results.runs)
    column = list(table.columns).index("Known beyond doubt")
    return Page(verdict(results, given), [row[column].text for row in table.rows])


def _cells(
    shape: Shape, dataset: str, metric: str, permuted: bool, rng: np.random.Generator, replicates: int
) -> Iterable[tuple[stage.Cell, Array, stage.Resampled]]:
    """Yield the cells of a dataset, each with its test score by seed and under resampled molecules."""
    n, classes = shape.molecules, metric == "roc_auc"
    y = (rng.random(n) < 0.4).astype(float) if classes else rng.normal(size=n)
    # with permuted labels, something else of the same kind is learnt
    learnt = rng.permutation(y) if permuted else y
    members = int(min(y.sum(), n - y.sum())) if classes else n
    weights = bootstrap.draw(rng, n, replicates)
    parts, shared = shape.parts(rng), 0.7 * rng.normal(size=n)
    # a mean of fifty labels, in which all methods of a seed are wrong alike
    offsets = rng.normal(size=shape.seeds) / np.sqrt(50)
    for model, method in product(shape.models, METHODS):
        if method in WITHOUT_ENCODER and model != shape.models[0]:
            continue
        of_method = 0.4 * rng.normal(size=n)
        skill = shape.on_dataset * rng.normal() + np.log(shape.better.get(method, 1.0))
        amount = rng.uniform(0.05, 0.6) if permuted else 0.55
        values, drawn = [], {}
        for seed, part in enumerate(parts):
            error = shared[part] + of_method[part] + 0.7 * rng.normal(size=len(part))
            error *= np.exp(skill + shape.in_seed * rng.normal())
            guess = offsets[seed] + (0.0 if method == CONSTANT else amount) * (learnt[part] + error)
            values.append(metrics.primary(metric, y[part, None], guess[:, None]))
            drawn[seed] = bootstrap.resampled(metric, y[part, None], guess[:, None], weights[:, part])
        cell = stage.Cell("honest", model_of(method, model), dataset, shape.split, "50", method)
        yield cell, np.array(values), stage.Resampled(drawn, members)


def pages(shape: Shape, experiments: int, permuted: bool = False, processes: int = 1) -> dict[str, float]:
    """Return how often pages of this shape say what; `page` counts their table of conditions too."""
    made = list(each(partial(_numbered, shape, permuted), range(experiments), processes))
    return {
        "sentences": float(np.mean([one.advises for one in made])),
        "page": float(np.mean([one.prefers for one in made])),
        "cannot": float(np.mean([one.cannot for one in made])),
    }


def _numbered(shape: Shape, permuted: bool, number: int) -> Page:
    return page(shape, generator("null", "pages", shape.name, sorted(shape.better.items()), permuted, number), permuted)


def pages_row(shape: Shape, permuted: bool, experiments: int) -> Row:
    """Make the row of how often a page errs: prefers a method if none is better, or errs about predictability."""
    rates = pages(shape, experiments, permuted, os.cpu_count() or 1)
    wrong = 1 - rates["cannot"] if permuted else rates["cannot"]
    words = f"{shape.name}, {'labels permuted' if permuted else 'methods equal'}"
    held = {f"sentences that prefer a method, {words}": rates["sentences"], f"predictability, {words}": wrong}
    if shape is not VARIED:  # there a method is better on a dataset, and the table of conditions may say so
        held[f"the page prefers a method, {words}"] = rates["page"]
    names = ("sentences", "page", "cannot")
    return Row([shape.name, "permuted" if permuted else "equal", *(percent(rates[name]) for name in names)], held)


def power_row(shape: Shape, words: str, experiments: int) -> Row:
    """Make the row of how often a page says that a method is better, if one is; it must in more than half of them."""
    rates = pages(shape, experiments, processes=os.cpu_count() or 1)
    held = {f"missed: {words}": max(0.0, 0.5 - rates["sentences"])}
    return Row([shape.name, words, percent(rates["sentences"])], held)


def main() -> None:
    """Run all simulations and print their tables; exit status 1 if a rate of error is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the simulations")
    divisor = 20 if parser.parse_args().quick else 1
    many, some, few = 2000 // divisor, 500 // divisor, 200 // divisor
    print(f"False positives over datasets, 11 methods, {many} simulations each\n", flush=True)
    failed = table(
        ["datasets", "seeds", "Friedman", "Friedman, rows", "Wilcoxon + Holm", "Wilcoxon + Holm, rows"],
        (datasets_row(datasets, seeds, many) for datasets in (3, 6, 12, 24) for seeds in (3, 10)),
        many,
    )
    print(f"False positives on one dataset, 5 methods, ten resamples, {some} simulations each\n", flush=True)
    failed += table(
        ["scores over resamples", "Tukey", "Nadeau and Bengio + Holm"],
        (resamples_row(*words, some) for words in (("independent", False), ("correlated by 0.2", True))),
        some,
    )
    print(f"False positives over a panel's datasets, one comparison, {few} simulations each\n", flush=True)
    failed += table(
        ["datasets", "seeds", "luck of a seed", "as fits of each dataset", "as fits of all"],
        (
            panel_row(Panel(datasets, seeds, luck), few)
            for datasets, seeds in ((7, 3), (13, 3), (13, 5), (22, 5))
            for luck in (0.0, 0.02, 0.04)
        ),
        few,
    )
    print(f"Coverage of 95% intervals, {few} simulations each, 200 replicates\n", flush=True)
    columns = ["metric", "datasets", "method on dataset", "seeds", "test parts", "interval"]
    failed += table(
        [*columns, "plain nested bootstrap", "t of the outermost level", "width over t's"],
        (
            coverage_row(runs, few)
            for runs in (
                *(Runs(datasets, 5) for datasets in (2, 3, 6, 12)),
                Runs(6, 1),
                Runs(6, 5, on_dataset=0.0),
                Runs(6, 5, on_dataset=0.2),
                Runs(6, 5, pool=100),
                Runs(6, 5, metric="roc_auc"),
                *(Runs(1, seeds) for seeds in (2, 3, 5, 10)),
                Runs(1, 1),
                Runs(1, 5, pool=100),
            )
        ),
        few,
    )
    print(f"What the report says where no method is better, {few} experiments each\n", flush=True)
    failed += table(
        ["experiment", "labels", "its sentences prefer a method", "or its table", "the labels cannot be predicted"],
        (pages_row(shape, permuted, few) for shape, permuted in NULLS),
        few,
    )
    print(f"What it says where one is, {few // 4} experiments each\n", flush=True)
    failed += table(
        ["experiment", "L2-SP is better", "its sentences say so"],
        (power_row(replace(shape, better={"l2_sp": 0.6}), "errors smaller by 40%", few // 4) for shape in (ONE, MANY)),
        few // 4,
    )
    if failed:
        raise SystemExit("more errors than 5% allow: " + "; ".join(failed))
    print(f"No rate that must hold is above what {ALPHA:.0%} give in one of a thousand runs.")


if __name__ == "__main__":
    main()
