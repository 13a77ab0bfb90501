"""How often intervals hold what they are to hold: of bundles, label by label, and of recommendations, score by score.

    PYTHONPATH=workflow python benchmarks/coverage.py bundles --out coverage --jobs 2
    PYTHONPATH=workflow python benchmarks/coverage.py recommendations esol.csv --smiles smiles --target y --out draws

`bundles` draws labelled molecules from registered datasets, fits each method's bundle on them as an estimator does,
and predicts others: drawn from all that are left, or of scaffolds that no labelled molecule has. It reads
results/data/NAME/molecules.parquet, which `snakemake results/data/NAME/molecules.parquet --config 'datasets=[NAME]'`
makes.

`recommendations` draws labelled molecules from a CSV, hands them to `snakemake recommend` as a file of their own,
predicts all other molecules with the bundle, and compares its score with what the verdict said.

`margins` compares how far the ranges of a bundle's domain may reach.

A draw that is finished is kept in `--out`, so a run that was stopped goes on. Rows of Markdown go to the standard
output.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem

from roftmol import RoftMolClassifier, RoftMolRegressor
from roftmol.core.files import atomic
from roftmol.core.seeds import generator
from roftmol.deploy.applicability_domain import Domain, described
from roftmol.methods import CONSTANT
from roftmol.registry import catalog
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.tasks.classification import log_loss, roc_auc
from roftmol.tasks.regression import rmse

ROOT = Path(__file__).resolve().parents[1]
DATASETS = ("esol", "freesolv", "lipo", "malaria", "cep", "bbbp", "bace")
METHODS = ("full_ft", "linear_probing", "surgical_ft", "fingerprint")
#: Settings of methods that have several; the fingerprint chooses among its own.
SETTINGS = {"surgical_ft": {"block": 2}}
SPLITS = ("random", "scaffold")
#: What is shown of each kind of task.
COLUMNS = {
    "regression": [
        *("score", "out_of_sample", "constant", "held", "held_inside", "held_far", "held_narrow", "held_wide"),
        *("inside", "score_outside", "half_tenth", "half_middle", "half_most", "cpu_seconds"),
    ],
    "classification": [
        *("score", "out_of_sample", "log_loss", "log_loss_constant", "brier", "brier_constant"),
        *("mean_probability", "share", "inside", "cpu_seconds"),
    ],
}
#: Molecules that are predicted at most.
TESTED = 1000


@dataclass(frozen=True)
class Draw:
    """A bundle to be fitted on so many labels of a dataset and tested on others."""

    dataset: str
    split: str
    method: str
    number: int
    labels: int
    epochs: int
    patience: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.dataset}-{self.split}-{self.method}-{self.labels}-{self.number}"


def bundle_draw(draw: Draw, data: Path, out: Path) -> dict[str, Any]:
    """Fit a bundle, predict molecules that it has not seen, and score it; or what an earlier run found of it."""
    result = out / f"{draw.name}.json"
    if result.exists():
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found
    task = catalog.datasets()[draw.dataset].task
    molecules = schemas.read("molecules", data / draw.dataset / "molecules.parquet").drop_duplicates("canonical")
    y = np.array([labels[0] for labels in molecules["labels"]], np.float32)
    labelled, tested = parted(molecules, y, draw)
    smiles = molecules["smiles"].to_numpy()
    kind = RoftMolRegressor if task == "regression" else RoftMolClassifier
    model = kind(
        draw.method,
        setting=SETTINGS.get(draw.method),
        epochs=draw.epochs,
        patience=draw.patience,
        random_state=draw.number,
    )
    start = time.process_time()
    model.fit(smiles[labelled].tolist(), y[labelled])
    seconds = time.process_time() - start
    predicted = model.bundle_.predict(smiles[tested].tolist())
    card = model.bundle_.card
    found = {
        **{name: getattr(draw, name) for name in ("dataset", "split", "method", "number", "labels")},
        "task": task,
        "cpu_seconds": seconds,
        "out_of_sample": card["out_of_sample"]["score"],
        "constant_out_of_sample": card["out_of_sample"]["constant"],
        "tested": len(tested),
        **(scored_values if task == "regression" else scored_classes)(predicted, y[tested], float(y[labelled].mean())),
    }
    with atomic(result) as temporary:
        temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def parted(molecules: pd.DataFrame, y: np.ndarray, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """Draw the molecules whose labels are known, and those that are predicted: the same for every method."""
    rng = generator("coverage", draw.dataset, draw.split, draw.number)
    known = np.flatnonzero(np.isfinite(y))
    order = rng.permutation(known)
    if draw.split == "random":
        return order[: draw.labels], order[draw.labels :][:TESTED]
    # Scaffolds in a random order; of the one that is too large for what is left, a part, and none of it is predicted.
    scaffold = molecules["scaffold"].to_numpy()
    labelled: list[int] = []
    for value in rng.permutation(np.unique(scaffold[known])):
        mine = order[scaffold[order] == value]
        labelled += mine[: draw.labels - len(labelled)].tolist()
        if len(labelled) >= draw.labels:
            break
    others = order[~np.isin(scaffold[order], scaffold[labelled])]
    return np.array(labelled), others[:TESTED]


def scored_values(predicted: pd.DataFrame, y: np.ndarray, mean: float) -> dict[str, float]:
    """RMSE beside the constant's, and how many labels the intervals hold: in all, in parts, and how wide they are."""
    error = np.abs(predicted["prediction"] - y).to_numpy()
    half = ((predicted["high"] - predicted["low"]) / 2).to_numpy()
    held, inside = error <= half, predicted["in_domain"].to_numpy(bool)
    far = predicted["similarity"] <= predicted["similarity"].quantile(0.2)
    return {
        "score": rmse(y, predicted["prediction"].to_numpy()),
        "constant": rmse(y, np.full(len(y), mean)),
        "held": held.mean(),
        "held_inside": held[inside].mean() if inside.any() else np.nan,
        "held_far": held[far].mean(),
        "held_narrow": held[half <= np.quantile(half, 0.2)].mean(),
        "held_wide": held[half >= np.quantile(half, 0.8)].mean(),
        "inside": inside.mean(),
        "score_inside": float(np.sqrt((error[inside] ** 2).mean())) if inside.any() else np.nan,
        "score_outside": float(np.sqrt((error[~inside] ** 2).mean())) if not inside.all() else np.nan,
        **{f"half_{name}": float(np.quantile(half, q)) for name, q in (("tenth", 0.1), ("middle", 0.5), ("most", 0.9))},
    }


def scored_classes(predicted: pd.DataFrame, y: np.ndarray, rate: float) -> dict[str, float]:
    """ROC-AUC, and how good the probabilities are beside the share of class 1 among the labels."""
    p = predicted["probability"].to_numpy()
    return {
        "score": roc_auc(y, p),
        "constant": 0.5,
        "log_loss": log_loss(y, p),
        "log_loss_constant": log_loss(y, np.full(len(y), rate)),
        "brier": float(np.mean((p - y) ** 2)),
        "brier_constant": float(np.mean((rate - y) ** 2)),
        "mean_probability": float(p.mean()),
        "share": float(y.mean()),
        "inside": predicted["in_domain"].to_numpy(bool).mean(),
    }


def tables(rows: pd.DataFrame) -> None:
    """Print the means over the draws as Markdown."""
    groups = ["dataset", "split", "method"]
    for task, columns in COLUMNS.items():
        mine = rows[rows["task"] == task]
        if mine.empty:
            continue
        means = mine.groupby(groups, sort=False)[columns].mean()
        spread = mine.groupby(groups, sort=False)["held" if task == "regression" else "score"].agg(["min", "max"])
        print(f"\n{task}, {mine['number'].nunique()} draws of {mine['labels'].iloc[0]} labels\n")
        print("| " + " | ".join([*groups, *columns, "least", "most"]) + " |\n|" + "---|" * (len(columns) + 5))
        for key, row in means.iterrows():
            cells = [f"{value:.3g}" for value in [*row, *spread.loc[key]]]
            print("| " + " | ".join([*key, *cells]) + " |")
    regression = rows[rows["task"] == "regression"]
    if len(regression):
        print("\nshare of labels in 90% intervals, over datasets and draws\n")
        print("| split | method | in all | in the domain | farthest fifth | narrowest fifth | widest fifth |")
        print("|---|---|---|---|---|---|---|")
        names = ["held", "held_inside", "held_far", "held_narrow", "held_wide"]
        for (split, method), row in regression.groupby(["split", "method"], sort=False)[names].mean().iterrows():
            print(f"| {split} | {method} | " + " | ".join(f"{100 * value:.1f}%" for value in row) + " |")


def bundles(options: argparse.Namespace) -> None:
    """Every dataset, split, method and draw."""
    options.out.mkdir(parents=True, exist_ok=True)
    draws = [
        Draw(*asked, options.labels, options.epochs, options.patience)
        for asked in product(options.datasets, options.splits, options.methods, range(options.draws))
    ]
    count = len(draws)
    with ProcessPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(bundle_draw, draws, [options.data] * count, [options.out] * count))
    tables(pd.DataFrame(rows))


def margins(options: argparse.Namespace) -> None:
    """How many molecules lie beyond the domain's ranges, and how wrong the fingerprint is about them."""
    found: dict[float, list[tuple[float, float, float]]] = {margin: [] for margin in (0.0, 0.1, 0.25, 0.5)}
    for name, number in product(options.datasets, range(options.draws)):
        if catalog.datasets()[name].task != "regression":
            continue
        molecules = schemas.read("molecules", options.data / name / "molecules.parquet").drop_duplicates("canonical")
        y = np.array([labels[0] for labels in molecules["labels"]], np.float32)
        draw = Draw(name, "random", "fingerprint", number, options.labels, 1, 1)
        labelled, tested = parted(molecules, y, draw)
        smiles = molecules["smiles"].to_numpy()
        model = RoftMolRegressor("fingerprint", random_state=number).fit(smiles[labelled].tolist(), y[labelled])
        error = (model.predict(smiles[tested].tolist()) - y[tested]) ** 2
        known, others = ([Chem.MolFromSmiles(text) for text in smiles[part]] for part in (labelled, tested))
        for margin, rows in found.items():
            domain = Domain.of(known, np.ones(len(known)), margin)
            beyond = np.array([bool(domain.beyond(described(molecule))) for molecule in others])
            rows.append((beyond.mean(), np.sqrt(error[~beyond].mean()), np.sqrt(error[beyond].mean())))
    print("| margin, in widths of the range | beyond some range | their RMSE over that of the others |\n|---|---|---|")
    for margin, rows in found.items():
        share, inside, outside = np.transpose(rows)
        ratio = np.exp(np.nanmean(np.log(outside / inside)))
        print(f"| {margin} | {100 * share.mean():.1f}% | {ratio:.2f} |")


def recommendation_draw(options: argparse.Namespace, number: int) -> dict[str, Any]:
    """Recommend on a draw, predict the other molecules, score them; or what an earlier run found of it."""
    here = options.out.resolve() / f"draw-{number:02d}"
    result = here / "result.json"
    if result.exists():
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found
    here.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(options.csv).dropna(subset=[options.smiles, options.target])
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
    told = {**verdict["choice"], **verdict["expected"], "constant": verdict["constant"]["mean"], "seconds": seconds}
    found = {"draw": number, **told, **_score(pd.read_csv(predicted), options.target, verdict)}
    with atomic(result) as temporary:
        temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


def _score(table: pd.DataFrame, target: str, verdict: dict[str, Any]) -> dict[str, float]:
    """Return the metric on the molecules that could be predicted, and how many labels lie in their intervals."""
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


def recommendations(options: argparse.Namespace) -> None:
    """Draw, recommend, predict; print the table."""
    rows = []
    for number in range(options.draws):
        rows.append(recommendation_draw(options, number))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    in_mean = table["score"].between(table["low"], table["high"])
    in_new = table["score"].between(table["new_low"], table["new_high"])
    columns = [
        "draw",
        "method",
        "score",
        "mean",
        "low",
        "high",
        "new_low",
        "new_high",
        "constant",
        "labels_in_intervals",
    ]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in table[columns].round(3).to_dict("records"):
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    print(
        f"\n{in_mean.sum()} of {len(table)} inside the interval of the mean, {in_new.sum()} inside that of a new test "
        f"set; {(table['method'] == CONSTANT).sum()} found nothing to take"
    )


def main() -> None:
    """Read the command line and do what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("bundles", help="labels in intervals, on several datasets")
    one.set_defaults(run=bundles)
    one.add_argument("--data", type=Path, default=Path("results/data"))
    one.add_argument("--datasets", nargs="+", default=DATASETS)
    one.add_argument("--splits", nargs="+", default=SPLITS)
    one.add_argument("--methods", nargs="+", default=METHODS)
    one.add_argument("--epochs", type=int, default=100)
    one.add_argument("--patience", type=int, default=10)
    one.add_argument("--jobs", type=int, default=1, help="processes")
    three = commands.add_parser("margins", help="molecules beyond the ranges of the domain, by their margin")
    three.set_defaults(run=margins)
    three.add_argument("--data", type=Path, default=Path("results/data"))
    three.add_argument("--datasets", nargs="+", default=DATASETS)
    three.add_argument("--labels", type=int, default=100)
    three.add_argument("--draws", type=int, default=5)
    two = commands.add_parser("recommendations", help="scores in the intervals of verdicts, on one dataset")
    two.set_defaults(run=recommendations)
    two.add_argument("csv", type=Path)
    two.add_argument("--smiles", required=True)
    two.add_argument("--target", required=True)
    two.add_argument("--cores", default="all")
    two.add_argument("--pages", action="store_true", help="make the pages too")
    two.add_argument("--config", nargs="*", default=[], help="more of snakemake's --config")
    for command, labels, draws in ((one, 100, 5), (two, 80, 20)):
        command.add_argument("--labels", type=int, default=labels)
        command.add_argument("--draws", type=int, default=draws)
        command.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
