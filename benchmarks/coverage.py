"""How often a recommendation's interval holds the score of its bundle on molecules that nobody had seen.

    PYTHONPATH=workflow python benchmarks/coverage.py esol.csv --smiles smiles --target y --labels 80 --out coverage

Draws so many labelled molecules from a CSV, hands them to `snakemake recommend` as a file of their own, predicts all
other molecules with the bundle, and compares its score with what the verdict said, `--runs` times. A draw that is
finished is kept in `--out`, so a run that was stopped goes on. Prints a row a draw and how many lie inside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from roftmol import metrics
from roftmol.files import atomic
from roftmol.seeds import generator

ROOT = Path(__file__).resolve().parents[1]


def one_draw(options: argparse.Namespace, number: int) -> dict[str, Any]:
    """Recommend on a draw, predict the other molecules, score them; or what an earlier run found of it."""
    here = options.out.resolve() / f"draw-{number:02d}"
    result = here / "result.json"
    if result.exists():
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found
    here.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(options.data).dropna(subset=[options.smiles, options.target])
    order = generator("coverage", number).permutation(len(table))
    table.iloc[order[: options.labels]].to_csv(here / "mine.csv", index=False)
    table.iloc[order[options.labels :]].to_csv(here / "others.csv", index=False)
    start = time.perf_counter()
    folder = here / "results" / "recommendation" / "mine"
    # The bundle needs the verdict and every fit; pages and diagnostics take no part in the score.
    wanted = "recommend" if options.pages else (folder / "mine.roftmol").relative_to(here)
    columns = [f"smiles={options.smiles}", f"target={options.target}"]
    _run(
        Path(sys.executable).with_name("snakemake"),
        *("--snakefile", ROOT / "Snakefile", "--directory", here, "--cores", options.cores, wanted),
        *("--config", "data=mine.csv", *columns, "duplicates=average", *options.config),
    )
    seconds = time.perf_counter() - start
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    predicted = here / "predicted.csv"
    paths = (folder / "mine.roftmol", here / "others.csv", "-o", predicted)
    _run(sys.executable, "-m", "roftmol", "predict", *paths, "--smiles", options.smiles)
    told = {**verdict["choice"], **verdict["expected"], "seconds": seconds}
    found = {"draw": number, **told, **_score(pd.read_csv(predicted), options.target, verdict)}
    with atomic(result) as temporary:
        temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


def _score(table: pd.DataFrame, target: str, verdict: dict[str, Any]) -> dict[str, float]:
    """The metric on the molecules that could be predicted, and how many labels lie in their intervals."""
    regression = verdict["task"] == "regression"
    column = f"{target}_{'prediction' if regression else 'probability'}"
    known = table[table[column].notna()]
    truth, predicted = known[[target]].to_numpy(), known[[column]].to_numpy()
    score = metrics.primary(verdict["metric"], truth, predicted)
    inside = known[target].between(known[f"{target}_low"], known[f"{target}_high"]).mean() if regression else np.nan
    return {"score": float(score), "molecules": len(known), "labels_in_intervals": float(inside)}


def _run(*command: object) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def main() -> None:
    """Draw, recommend, predict; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--smiles", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--labels", type=int, default=80)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--cores", default="all")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pages", action="store_true", help="make the pages too")
    parser.add_argument("--config", nargs="*", default=[], help="more of snakemake's --config")
    options = parser.parse_args()
    rows = []
    for number in range(options.runs):
        rows.append(one_draw(options, number))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    in_mean = table["score"].between(table["low"], table["high"])
    in_new = table["score"].between(table["new_low"], table["new_high"])
    print(table.round(3).to_string(index=False))
    print(
        f"{in_mean.sum()} of {len(table)} inside the interval of the mean, {in_new.sum()} inside that of a new test set"
    )


if __name__ == "__main__":
    main()
