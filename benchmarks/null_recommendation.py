"""How often a recommendation says what is not so where no candidate is better than another, or than the constant.

    OMP_NUM_THREADS=1 PYTHONPATH=workflow python benchmarks/null_recommendation.py [--quick]

Made-up scores of exchangeable candidates over the parts of a cross-validation go through `recommendation.judge`, as it
judges a user's own file. Scores of one candidate correlate over the parts by a fifth, the share of the molecules that
are test: what Nadeau and Bengio take for the effect of shared training molecules. Rows of Markdown go to the standard
output; docs/recommend.md has those of the last full run, which `make test-slow` repeats. A rate of r in N experiments
has the standard error sqrt(r (1 - r) / N).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from null_simulation import ALPHA, bound, percent
from roftmol.core.seeds import generator
from roftmol.deploy.verdict import VerdictSettings, judge
from roftmol.methods import METHODS

SHARED = 0.2
#: How candidates' scores vary: alike and independently; from 0.4 to 2.5 times as much; all but one of them together.
KINDS = ("alike", "unlike", "together")

#: Names for all candidates but the first.
NETWORKS = [name for name, method in METHODS.items() if method.fine_tunes]
#: The second candidate is the default.
SETTINGS = VerdictSettings("made up", "y", "regression", "rmse", "cv", prior=(("gin", NETWORKS[0]),))

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Null:
    """Candidates and a constant without a difference, but the first is worse by `worse` deviations of a score."""

    candidates: int
    resamples: int = 5
    kind: str = "alike"
    worse: float = 0.0

    def draw(self, rng: np.random.Generator) -> Array:
        """Errors around 10, resamples x candidates, the constant's last."""
        R, K = self.resamples, self.candidates + 1
        own, each = rng.normal(size=K), rng.normal(size=(R, K))
        if self.kind == "together":
            own[1:] = np.sqrt(0.8) * rng.normal() + np.sqrt(0.2) * own[1:]
            each[:, 1:] = np.sqrt(0.8) * rng.normal(size=(R, 1)) + np.sqrt(0.2) * each[:, 1:]
        scale = np.geomspace(0.4, 2.5, K) if self.kind == "unlike" else np.ones(K)
        values = 10 + rng.normal(size=(R, 1)) + scale * (np.sqrt(SHARED) * own + np.sqrt(1 - SHARED) * each)
        values[:, 0] += self.worse
        return values


def tables(errors: Array, constant: Array) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables "selected" and "timings" of candidates with these errors; the first is the fingerprint baseline."""
    names = [("morgan", "fingerprint"), *(("gin", method) for method in NETWORKS[: errors.shape[1] - 1])]
    rows = [
        {"model": model, "method": method, "setting": "{}", "seed": seed, "test_value": value}
        for (model, method), values in zip([*names, ("none", "constant")], [*errors.T, constant], strict=True)
        for seed, value in enumerate(values)
    ]
    selected = pd.DataFrame(rows)
    return selected, selected[["model", "method", "seed"]].assign(cpu_seconds=1.0)


@dataclass(frozen=True)
class Rates:
    """How often some candidate is called behind, the first one is, and labels are called predictable."""

    behind: float
    first: float
    predictable: float


def rates(null: Null, experiments: int) -> Rates:
    """Return what the verdict says of candidates that are no better than the constant, which varies as they do."""
    rng = generator("null recommendation", null)
    outcomes = []
    for _ in range(experiments):
        errors = null.draw(rng)
        ranking, verdict = judge(*tables(errors[:, :-1], errors[:, -1]), SETTINGS)
        behind = ranking.loc[ranking["behind"], "method"]
        outcomes.append((len(behind) > 0, (behind == "fingerprint").any(), verdict["predictable"]))
    return Rates(*np.mean(outcomes, axis=0).tolist())


def main() -> None:
    """Print the tables; ends with status 1 if a rate of error is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the experiments")
    experiments = 20 if parser.parse_args().quick else 200
    failed = []
    print(f"Errors where there is no difference, {experiments} experiments each\n")
    print("| test parts | candidates | scores vary | some candidate called behind | labels called predictable |")
    print("|---|---|---|---|---|")
    for resamples, candidates, kind in product((5, 10), (4, 6, 11), KINDS):
        null = Null(candidates, resamples, kind)
        observed = rates(null, experiments)
        cells = (resamples, candidates, kind, percent(observed.behind), percent(observed.predictable))
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
        for name, rate in (("behind", observed.behind), ("predictable", observed.predictable)):
            if rate > bound(ALPHA, experiments):
                failed.append(f"{name}, {null}: {rate:.1%}")
    print("\nHow often a candidate that is worse is called behind\n")
    print("| test parts | candidates | by 2 standard deviations of a score | by 3 | by 4 |\n|---|---|---|---|---|")
    for resamples, candidates in product((5, 10), (4, 11)):
        power = [rates(Null(candidates, resamples, worse=worse), experiments).first for worse in (2.0, 3.0, 4.0)]
        print("| " + " | ".join(map(str, (resamples, candidates, *map(percent, power)))) + " |", flush=True)
    if failed:
        raise SystemExit("above 5%: " + "; ".join(failed))


if __name__ == "__main__":
    main()
