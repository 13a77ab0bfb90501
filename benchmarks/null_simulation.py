"""How often the statistics find a difference where there is none, and how often their intervals hold the truth.

    OMP_NUM_THREADS=1 PYTHONPATH=workflow python benchmarks/null_simulation.py [--quick]

The made-up methods are exchangeable: none is better than another over the data sets. On each data set one may well be
better, by an amount that all seeds of the data set share; that is why seeds are no blocks. Rows of Markdown go to the
standard output; docs/statistics.md has those of the last full run, which `make test-slow` repeats. A rate of r in N
simulations has the standard error sqrt(r (1 - r) / N).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from roftmol.seeds import generator
from roftmol.statistics import bootstrap
from roftmol.statistics.bootstrap import Pair
from roftmol.statistics.resampled import compare

ALPHA = 0.05
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Scores of exchangeable methods: deviations of data set, seed, method on the data set, and the rest."""

    datasets: int
    seeds: int = 5
    methods: int = 11
    dataset: float = 0.1
    seed: float = 0.03
    on_dataset: float = 0.02
    rest: float = 0.02

    def draw(self, rng: np.random.Generator) -> Array:
        """Scores, data sets x seeds x methods."""
        D, S, K = self.datasets, self.seeds, self.methods
        return (
            self.dataset * rng.normal(size=(D, 1, 1))
            + self.seed * rng.normal(size=(D, S, 1))
            + self.on_dataset * rng.normal(size=(D, 1, K))
            + self.rest * rng.normal(size=(D, S, K))
        )


def friedman(blocks: Array) -> float:
    """The rate at which Friedman's test finds a difference: simulations x blocks x methods."""
    return float(np.mean([stats.friedmanchisquare(*table.T).pvalue <= ALPHA for table in blocks]))


def signed_ranks(blocks: Array) -> float:
    """The rate at which any method differs from the first by Wilcoxon's test with Holm's correction.

    All simulations at once; `comparisons.wilcoxon` gives the same p, as no two scores are equal. Any of Holm's tests is
    significant if the first step's is: m times the smallest p.
    """
    p = stats.wilcoxon(blocks[:, :, 1:] - blocks[:, :, :1], axis=1).pvalue
    return float(np.mean(p.shape[1] * p.min(1) <= ALPHA))


def over_datasets(scores: Scores, simulations: int) -> dict[str, float]:
    """False-positive rates with the data sets' means as blocks, and with rows of data set x seed."""
    rng = generator("null", "over data sets", scores)
    values = np.stack([scores.draw(rng) for _ in range(simulations)])
    means, rows = values.mean(2), values.reshape(simulations, -1, scores.methods)
    return {
        "friedman": friedman(means),
        "friedman_rows": friedman(rows),
        "wilcoxon": signed_ranks(means),
        "wilcoxon_rows": signed_ranks(rows),
    }


def over_resamples(overlap: bool, simulations: int, resamples: int = 10, methods: int = 5) -> dict[str, float]:
    """Rates at which any pair is told apart on one data set, resampled in five parts; twice, unless told otherwise.

    With `overlap`, scores of one method correlate over resamples by 0.2, the share of the molecules that are test: what
    Nadeau and Bengio take for the effect of shared training molecules.
    """
    rng = generator("null", "over resamples", overlap)
    shared = 0.2 if overlap else 0.0
    found: dict[str, list[bool]] = {"tukey": [], "corrected": []}
    for _ in range(simulations):
        values = (
            rng.normal(size=(resamples, 1))
            + np.sqrt(shared) * rng.normal(size=methods)
            + np.sqrt(1 - shared) * rng.normal(size=(resamples, methods))
        )
        pairs = compare(pd.DataFrame(values), 0.25)
        found["tukey"].append(bool((pairs["tukey_p"] <= ALPHA).any()))
        found["corrected"].append(bool((pairs["corrected_p_holm"] <= ALPHA).any()))
    return {name: float(np.mean(hits)) for name, hits in found.items()}


@dataclass(frozen=True)
class Runs:
    """Predictions of two exchangeable methods, molecule by molecule.

    An error has a part that both methods share, one of the method, and one of the run; it is scaled by what the method
    does on this data set and in this seed. A seed tests `tested` of the `pool` molecules: all, if the two are equal.
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
        """The pair on each data set, and the true effect there: that of infinitely many molecules and seeds."""
        return tuple(zip(*(self._dataset(rng, replicates) for _ in range(self.datasets)), strict=True))

    def _dataset(self, rng: np.random.Generator, replicates: int) -> tuple[Pair, float]:
        classes = self.metric == "roc_auc"
        y = (rng.random(self.pool) < 0.4).astype(float) if classes else rng.normal(size=self.pool)
        shared = self.molecule * rng.normal(size=self.pool)
        own = self.method * rng.normal(size=(2, self.pool))
        skill = self.on_dataset * rng.normal(size=2)
        weights = bootstrap.draw(rng, self.pool, replicates)
        values, resampled = np.empty((2, self.seeds)), np.empty((2, replicates, self.seeds))
        for seed in range(self.seeds):
            part = rng.permutation(self.pool)[: self.tested]
            for k in range(2):
                noise = self.run * rng.normal(size=self.tested)
                scale = np.exp(skill[k] + self.in_seed * rng.normal())
                p = y[part] + scale * (shared[part] + own[k, part] + noise)
                once = np.ones((1, self.tested), np.uint16)
                values[k, seed] = bootstrap.resampled(self.metric, y[part, None], p[:, None], once)[0]
                resampled[k, :, seed] = bootstrap.resampled(self.metric, y[part, None], p[:, None], weights[:, part])
        pair = Pair("", values[0], values[1], resampled[0], resampled[1])
        return pair, skill[0] - skill[1]


def redrawn(pair: Pair, relative: bool, rng: np.random.Generator, replicates: int) -> Array:
    """A data set's effect with seeds drawn from those under resampled molecules: the plain nested bootstrap."""
    seeds = len(pair.method)
    picks = rng.integers(seeds, size=(replicates, seeds))
    rows = np.arange(replicates)[:, None]
    own, other = (values[rows, picks].mean(1) for values in (pair.method_resampled, pair.reference_resampled))
    return bootstrap.effect(own, other, relative)


def coverage(runs: Runs, simulations: int, replicates: int = 200) -> dict[str, float]:
    """How often 95% intervals hold the true mean effect: ours, the plain nested bootstrap's, and a t-test's.

    The t-test is that of the data sets' effects; for one data set, of its seeds'. `wide` is our mean width over its.
    """
    rng = generator("null", "coverage", runs)
    relative = runs.metric == "rmse"
    hits: dict[str, list[bool]] = {"interval": [], "nested": [], "t": []}
    widths: list[tuple[float, float]] = []
    for _ in range(simulations):
        pairs, effects = runs.draw(rng, replicates)
        # over data sets the truth is that none is better; on the one at hand, what this method does there
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
    own, other = np.mean(widths, axis=0)
    return {name: float(np.mean(held)) if held else np.nan for name, held in hits.items()} | {"wide": own / other}


def percent(rate: float) -> str:
    """A rate as a table has it."""
    return "–" if np.isnan(rate) else f"{100 * rate:.1f}%"


def bound(rate: float, simulations: int) -> float:
    """What an observed rate exceeds in one of a thousand runs, if the true one is `rate`."""
    return float(stats.binom.ppf(0.999, simulations, rate) / simulations)


@dataclass(frozen=True)
class Row:
    """A row of a table, and the rates of error in it that must not be above 5%, by what they are of."""

    cells: list[object]
    held: dict[str, float]


def table(columns: list[str], rows: Iterable[Row], simulations: int) -> list[str]:
    """Print a table of Markdown, a row as soon as it is known; returns what erred more often than it may."""
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)
    failed = []
    for row in rows:
        print("| " + " | ".join(map(str, row.cells)) + " |", flush=True)
        failed += [f"{name}: {rate:.1%}" for name, rate in row.held.items() if rate > bound(ALPHA, simulations)]
    print(flush=True)
    return failed


def datasets_row(datasets: int, seeds: int, simulations: int) -> Row:
    """False positives over data sets."""
    rates = over_datasets(Scores(datasets, seeds), simulations)
    names = ["friedman", "friedman_rows", "wilcoxon", "wilcoxon_rows"]
    where = f"over {datasets} data sets, {seeds} seeds"
    held = {f"{name} {where}": rates[name] for name in ("friedman", "wilcoxon")}
    return Row([datasets, seeds, *(percent(rates[name]) for name in names)], held)


def resamples_row(words: str, overlap: bool, simulations: int) -> Row:
    """False positives on one data set; Tukey's comparison is known to err where the resamples are correlated."""
    rates = over_resamples(overlap, simulations)
    held = {f"{name}, resamples {words}": rates[name] for name in (["corrected"] if overlap else rates)}
    return Row([words, percent(rates["tukey"]), percent(rates["corrected"])], held)


def coverage_row(runs: Runs, simulations: int) -> Row:
    """Coverage of intervals; one seed on one data set is known to leave out what training varies."""
    rates = coverage(runs, simulations)
    parts = "shared" if runs.tested == runs.pool else "drawn anew"
    cells = [runs.metric, runs.datasets, runs.on_dataset, runs.seeds, parts]
    percents = [percent(rates[name]) for name in ("interval", "nested", "t")]
    wide = "–" if np.isnan(rates["wide"]) else f"{rates['wide']:.2f}"
    known = runs.datasets == runs.seeds == 1
    return Row([*cells, *percents, wide], {} if known else {f"interval of {runs}": 1 - rates["interval"]})


def main() -> None:
    """Run all simulations and print their tables; exit status 1 if a rate of error is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the simulations")
    divisor = 20 if parser.parse_args().quick else 1
    many, some, few = 2000 // divisor, 500 // divisor, 200 // divisor
    print(f"False positives over data sets, 11 methods, {many} simulations each\n", flush=True)
    failed = table(
        ["data sets", "seeds", "Friedman", "Friedman, rows", "Wilcoxon + Holm", "Wilcoxon + Holm, rows"],
        (datasets_row(datasets, seeds, many) for datasets in (3, 6, 12, 24) for seeds in (3, 10)),
        many,
    )
    print(f"False positives on one data set, 5 methods, ten resamples, {some} simulations each\n", flush=True)
    failed += table(
        ["scores over resamples", "Tukey", "Nadeau and Bengio + Holm"],
        (resamples_row(*words, some) for words in (("independent", False), ("correlated by 0.2", True))),
        some,
    )
    print(f"Coverage of 95% intervals, {few} simulations each, 200 replicates\n", flush=True)
    columns = ["metric", "data sets", "method on data set", "seeds", "test parts", "interval"]
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
    if failed:
        raise SystemExit("more errors than 5% allow: " + "; ".join(failed))
    print(f"No rate that must hold is above what {ALPHA:.0%} give in one of a thousand runs.")


if __name__ == "__main__":
    main()
