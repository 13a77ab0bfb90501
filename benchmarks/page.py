"""Print an experiment's tables as Markdown, for the dated pages in docs/.

    PYTHONPATH=workflow python benchmarks/page.py results/paper_small/results/tables

A number is the mean over the seeds of the test metric, with the hyperparameters chosen on validation; ± is the standard
deviation over the seeds. Then, over groups of cells, follows how often a method's mean beats full FT's, and how often
it is worse than the constant predictor's. Last comes what the fits did to the representation, next to the scores on
both tests if a split has two.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from roftmol.evaluation.diagnostics.collapse import CONDITION, MEASURES, points
from roftmol.methods import METHODS, WITHOUT_ENCODER
from roftmol.tables import schemas
from roftmol.tasks import TASK_OF


def main(tables: Path) -> None:
    """Print scores by model, mean ranks, and differences from full FT."""
    summary = schemas.read("summary", tables / "summary.parquet")
    pretraining = schemas.read("models", tables / "models.parquet").set_index("model")["pretraining"]
    kinds = {metric: task.name for metric, task in TASK_OF.items()}
    without_encoder = summary["method"].isin(WITHOUT_ENCODER)
    reference = summary[without_encoder].drop_duplicates(["method", "protocol", "dataset", "budget"])
    runs = summary[~without_encoder].copy()
    runs["method"] = pd.Categorical(runs["method"], [name for name in METHODS if name not in WITHOUT_ENCODER])
    runs["task"] = runs["metric"].map(kinds)
    runs["pretraining"] = runs["model"].map(pretraining)
    for (protocol, budget, model), of_model in runs.groupby(["protocol", "budget", "model"], sort=False):
        print(f"\n### {model}, {protocol}, {budget} labels\n")
        scores(of_model, reference[(reference["protocol"] == protocol) & (reference["budget"] == budget)])
    print("\n### Mean rank of the methods\n")
    ranks(runs)
    print("\n### Against full FT\n")
    against_full_ft(runs)
    print("\n### Worse than the constant predictor\n")
    below_constant(runs)
    print("\n### Overfitting of full FT\n")
    overfitting(schemas.read("curves", tables / "curves.parquet"))
    print("\n### What fine-tuning did to the representation\n")
    representation(tables)


def scores(of_model: pd.DataFrame, references: pd.DataFrame) -> None:
    """Print a row a method, a column a dataset; the best of the pretrained encoder's methods is in bold."""
    names = list(dict.fromkeys(of_model["dataset"]))
    print("| method | " + " | ".join(f"{name} {_metric(of_model, name)}" for name in names) + " |")
    print("|---" * (len(names) + 1) + "|")
    best = {}
    for name in names:
        column = of_model[(of_model["dataset"] == name) & (of_model["method"] != "scratch")]
        best[name] = column.loc[(column["mean"] * column["better"]).idxmax(), "method"]
    for method in sorted(set(of_model["method"]), key=list(METHODS).index):
        cells = [_cell(of_model, name, method, bold=best[name] == method) for name in names]
        print(f"| {METHODS[method].title} | " + " | ".join(cells) + " |")
    for method in [name for name in METHODS if name in set(references["method"])]:
        print(f"| {METHODS[method].title} | " + " | ".join(_cell(references, name, method) for name in names) + " |")


def _metric(table: pd.DataFrame, dataset: str) -> str:
    row = table[table["dataset"] == dataset].iloc[0]
    return f"{row['metric'].upper().replace('_', '-')} {'↑' if row['better'] > 0 else '↓'}"


def _cell(table: pd.DataFrame, dataset: str, method: str, *, bold: bool = False) -> str:
    rows = table[(table["dataset"] == dataset) & (table["method"] == method)]
    if rows.empty:
        return "–"
    text = f"{rows.iloc[0]['mean']:.3f} ± {rows.iloc[0]['std']:.3f}"
    return f"**{text}**" if bold else text


def ranks(runs: pd.DataFrame) -> None:
    """Print a row a method: its rank among the pretrained encoder's methods, averaged over the datasets of a kind."""
    runs = runs[runs["method"] != "scratch"].copy()
    cell = ["protocol", "budget", "model", "dataset"]
    runs["rank"] = (-runs["mean"] * runs["better"]).groupby([runs[name] for name in cell]).rank()
    groups = [runs["protocol"], runs["budget"], runs["pretraining"], runs["task"]]
    table = runs.groupby([runs["method"], *groups], observed=True)["rank"].mean().unstack([1, 2, 3, 4])
    _print(table, "{:.1f}")


def against_full_ft(runs: pd.DataFrame) -> None:
    """Print a row a method: in how many cells (model x dataset) its mean over the seeds is better than full FT's."""
    others = runs[runs["method"] != "full_ft"].copy()
    others["wins"] = others["vs_full_ft"] * others["better"] > 0
    groups = [others["protocol"], others["budget"], others["pretraining"], others["task"]]
    counted = others.groupby([others["method"], *groups], observed=True)["wins"].agg(["sum", "count"])
    table = (counted["sum"].astype(str) + " of " + counted["count"].astype(str)).unstack([1, 2, 3, 4])
    _print(table, "{}")


def below_constant(runs: pd.DataFrame) -> None:
    """Print a row a method: in how many cells its mean over the seeds is worse than that of predicting the mean."""
    compared = runs[runs["vs_constant"].notna()].copy()
    if compared.empty:
        print("The constant predictor was not run.")
        return
    compared["below"] = compared["vs_constant"] * compared["better"] < 0
    groups = [compared["protocol"], compared["budget"], compared["pretraining"], compared["task"]]
    counted = compared.groupby([compared["method"], *groups], observed=True)["below"].agg(["sum", "count"])
    _print((counted["sum"].astype(str) + " of " + counted["count"].astype(str)).unstack([1, 2, 3, 4]), "{}")


def overfitting(curves: pd.DataFrame) -> None:
    """Print the ratio of full FT's losses in the last epoch to those in its best epoch, as the median over the fits.

    The best epoch has the lowest validation loss; training stops some epochs later. If by then the training loss has
    fallen and the validation loss risen, the fit has overfitted.
    """
    full_ft = curves[curves["method"] == "full_ft"]
    fit = ["protocol", "budget", "dataset", "model", "seed", "fold"]
    lowest = full_ft.loc[full_ft.groupby(fit)["valid_loss"].idxmin()].set_index(fit)
    last = full_ft.loc[full_ft.groupby(fit)["epoch"].idxmax()].set_index(fit)
    ratios = (last[["train_loss", "valid_loss"]] / lowest[["train_loss", "valid_loss"]]).groupby(fit[:3]).median()
    print("| protocol, labels | dataset | training loss, last over best epoch | validation loss |\n|---|---|---|---|")
    for (protocol, budget, dataset), row in ratios.iterrows():
        print(f"| {protocol}, {budget} | {dataset} | {row['train_loss']:.2f} | {row['valid_loss']:.2f} |")


def representation(tables: Path) -> None:
    """Print by condition a row a method: what its fits changed, and both errors if there are two tests.

    Rank correlations with the loss of score follow.
    """
    selected = schemas.read("selected", tables / "selected.parquet")
    changed = points(schemas.read("changes", tables / "changes.parquet"), selected)
    shift = schemas.read("shift", tables / "shift.parquet").set_index(list(schemas.CELL))
    related = schemas.read("collapse", tables / "collapse.parquet")
    for condition, here in changed.groupby(CONDITION, sort=False):
        print(f"\n{', '.join(map(str, condition))}\n")
        wide = here.pivot_table(index="method", columns="measure", values="value")
        wide = wide[[measure for measure in MEASURES if measure in wide]]
        titles = ["1 - CKA" if measure == "cka" else measure for measure in wide]
        twice = any((*condition, method) in shift.index for method in wide.index)
        columns = ["method", *(["test_id", "test", "ratio"] if twice else []), *titles]
        print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
        for method in sorted(wide.index, key=list(METHODS).index):
            scores = _two_tests(shift, (*condition, method)) if twice else []
            values = [f"{value:.2f}" for value in wide.loc[method]]
            print(f"| {METHODS[method].title} | " + " | ".join([*scores, *values]) + " |")
        of_condition = (related[CONDITION] == list(condition)).all(axis=1)
        for row in related[of_condition].itertuples():
            interval = f"{row.low:.2f} to {row.high:.2f}"
            print(f"\n{row.measure}: rho {row.rho:.2f} ({interval}) over {row.methods} methods {row.note}")


def _two_tests(shift: pd.DataFrame, cell: tuple[str, ...]) -> list[str]:
    if cell not in shift.index:
        return ["–"] * 3
    row = shift.loc[[cell]].iloc[0]
    both = [f"{row[f'{side}_mean']:.4f} ± {row[f'{side}_std']:.4f}" for side in ("reference", "shifted")]
    return [*both, f"{row['ratio']:.2f}"]


def _print(table: pd.DataFrame, form: str) -> None:
    print("| method | " + " | ".join(", ".join(column) for column in table.columns) + " |")
    print("|---" * (len(table.columns) + 1) + "|")
    for method, row in table.iterrows():
        cells = ["–" if pd.isna(value) else form.format(value) for value in row]
        print(f"| {METHODS[str(method)].title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
