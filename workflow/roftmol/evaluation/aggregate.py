"""From all runs' tables to the tables of the results: scores, selection, summary, and what they rest on.

Rows are in the order of protocol, model, dataset, split, budget (50 before 100, "all" last) and method; within a cell
by seed, the grid's order of hyperparameters, validation before test, and the macro mean before the tasks. The same
inputs give the same tables, in whatever order the directories are named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from roftmol.core import parquet_footer
from roftmol.core.errors import UserError
from roftmol.core.files import atomic
from roftmol.evaluation import leaderboard
from roftmol.evaluation.contamination import Audit, worst
from roftmol.methods import COMPARED, FULL_FT, WISE_FT, WITHOUT_ENCODER, model_of
from roftmol.scoring import metrics
from roftmol.scoring.selection import RULES, Candidate, select
from roftmol.tables import schemas
from roftmol.tasks import METRICS, TASKS

#: The tables that are written, one file each. Predictions and curves are those of the selected runs.
TABLES = (
    "scores",
    "selected",
    "predictions",
    "alphas",
    "coefficients",
    "loss_weights",
    "changes",
    "paths",
    "planes",
    "curves",
    "timings",
    "summary",
    "leaderboard",
    "models",
    "overlaps",
    "exposure",
    "left_out",
    "rejects",
    "tasks",
    "molecules",
)
DATA_TABLES = ("molecules", "rejects", "tasks")
LANDSCAPES = ("paths", "planes")
#: "test_id" is the test in distribution beside a test out of it; only split "boom" has it.
PARTITIONS = ("valid", "test", "test_id")
CELL = list(schemas.CELL)
#: The identity of a run within its cell.
RUN = ["seed", "setting"]
CONTEXT = list(schemas.CONTEXT)

NOTHING_KNOWN = Audit()

Append = Callable[[pd.DataFrame], None]
MEND = "Delete its directory and run the workflow again."


@dataclass(frozen=True)
class Data:
    """The labels of one dataset, molecules by tasks."""

    name: str
    kind: str
    names: list[str]
    labels: metrics.Array
    official: leaderboard.Official | None = None  #: of a dataset with a public leaderboard


@dataclass(frozen=True)
class Run:
    """One run directory and its fits, ordered by seed and then by the grid."""

    path: Path
    cell: dict[str, str]
    fits: pd.DataFrame


def aggregate(
    runs: Sequence[Path],
    data: Sequence[Path],
    rule: str,
    out: Path,
    audit: Audit = NOTHING_KNOWN,
    leave_out: Collection[str] = (),
    landscapes: Sequence[Path] = (),
    exposures: Sequence[Path] = (),
    leaderboards: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Score, select by `rule` and summarise the run directories `runs` on the dataset directories `data`.

    Cells whose contamination, by the `audit`, is one of `leave_out` are listed in table "left_out" and in no other.
    `landscapes` are the directories with the cells' paths and planes, which are left out with full FT; `exposures` are
    files of that table, `leaderboards` the metrics of public leaderboards, by dataset. Only one run's predictions are
    held at a time. Raises `UserError` for an unknown rule, a missing or damaged table, two directories with the same
    cell, or a run on a dataset that is not in `data`.
    """
    if rule not in RULES:
        raise UserError(f"selection rule {rule!r} is unknown. Choose one of {', '.join(RULES)}.")
    ordered = _ordered([read_run(path) for path in runs])
    settings = {"rule": rule, "leave_out": sorted(leave_out)}
    with ExitStack() as stack:
        append = {name: stack.enter_context(_appending(name, out / f"{name}.parquet", settings)) for name in TABLES}
        datasets: dict[str, Data] = {}
        for directory in sorted(data, key=lambda path: path.name):
            tables = {name: schemas.read(name, directory / f"{name}.parquet") for name in DATA_TABLES}
            for name, frame in tables.items():
                append[name](frame)
            dataset = data_of(tables, leaderboards, directory)
            datasets[dataset.name] = dataset
        append["models"](audit.table())
        append["overlaps"](audit.overlaps({tuple(run.cell[name] for name in ("model", *CONTEXT)) for run in ordered}))
        for path in sorted(exposures):
            append["exposure"](schemas.read("exposure", path))
        selected, timings = [schemas.empty("selected")], [schemas.empty("timings")]
        for run in ordered:
            verdicts = audit.verdicts(run.cell, run.fits["seed"].unique().tolist())
            if (kind := worst(verdicts["contamination"])) in leave_out:
                append["left_out"](pd.DataFrame([{**run.cell, "seen": verdicts["seen"].mean(), "contamination": kind}]))
                continue
            if run.cell["dataset"] not in datasets:
                raise UserError(f"{run.path}: dataset {run.cell['dataset']!r} is in none of the dataset directories.")
            of_run = tables_of(run, datasets[run.cell["dataset"]], rule)
            of_run["selected"] = of_run["selected"].merge(verdicts, on="seed", validate="one_to_one")
            for name, frame in of_run.items():
                append[name](frame)
            selected.append(of_run["selected"])
            timings.append(of_run["timings"])
        _append_landscapes(landscapes, selected, append)
        summary = summarise(_concat(selected), _concat(timings))
        append["summary"](summary)
    with atomic(out / "summary.csv") as temporary:
        summary.to_csv(temporary, index=False)


def summarise(selected: pd.DataFrame, timings: pd.DataFrame) -> pd.DataFrame:
    """Make table "summary": each cell's test metric over its seeds, its rank, and differences paired by seed.

    `seeds` counts the seeds with a defined test metric, which the statistics are over. `failed` counts the runs
    (hyperparameters and seed) that failed. `std` has n - 1 in the denominator, so a single seed has none. A model's
    methods are ranked together with the references without an encoder; these have a rank in the table only if there is
    one model. Differences are method minus reference in the metric's unit: negative is better for RMSE.
    """
    wall = {cell: seconds.sum() for cell, seconds in timings.groupby(CELL)["wall_seconds"]}
    of_cell = ["seed", "metric", "failed", "test_value", "test_r2", "seen", "contamination"]
    cells = dict(iter(selected.groupby(CELL, sort=False)[of_cell]))
    tests = {cell: chosen.set_index("seed")["test_value"] for cell, chosen in cells.items()}
    rows = []
    for cell, chosen in cells.items():
        protocol, model, dataset, split, budget, _ = map(str, cell)
        values = tests[cell].dropna()
        versus = {
            name: values - tests.get((protocol, model_of(name, model), dataset, split, budget, name), np.nan)
            for name in COMPARED
        }
        rows.append(
            {
                **dict(zip(CELL, cell, strict=True)),
                "metric": chosen["metric"].iloc[0],
                "better": METRICS[chosen["metric"].iloc[0]].sign,
                "seeds": len(values),
                "failed": chosen["failed"].sum(),
                "mean": values.mean(),
                "std": values.std(),
                "min": values.min(),
                "max": values.max(),
                "r2": chosen["test_r2"].mean(),
                "r2_std": chosen["test_r2"].std(),
                "rank": np.nan,
                **{f"vs_{name}": differences.mean() for name, differences in versus.items()},
                **{f"vs_{name}_std": differences.std() for name, differences in versus.items()},
                "wall_seconds": wall[cell],
                "seen": chosen["seen"].mean(),
                "contamination": worst(chosen["contamination"]),
            }
        )
    if not rows:
        return schemas.empty("summary")
    summary = pd.DataFrame(rows)[schemas.schema("summary").names]
    return summary.assign(rank=_ranks(summary))


def _ranks(summary: pd.DataFrame) -> pd.Series:
    ranks = pd.Series(np.nan, index=summary.index)
    signed = -summary["better"] * summary["mean"]
    for _, here in summary.groupby(CONTEXT):
        baseline = here["method"].isin(WITHOUT_ENCODER)
        models = here.loc[~baseline, "model"].unique()
        for model in models:
            group = here.index[(here["model"] == model) | baseline]
            ranks[group] = signed[group].rank(method="min")
        if len(models) != 1:
            # with several models, a reference has a rank among each one's methods, and none of its own
            ranks[here.index[baseline]] = np.nan
    return ranks


def tables_of(run: Run, data: Data, rule: str) -> dict[str, pd.DataFrame]:
    """Return one run's rows of the tables, by name; those of "selected" lack the audit's columns.

    Raises `UserError` if a table of its directory is missing, damaged, or does not fit the dataset.
    """
    predictions = _read_predictions(run, data)
    scores, candidates = _score(run, data, predictions)
    metric = TASKS[data.kind].primary.name
    selected = select(run.fits, candidates, metric, rule)
    macro = scores["task"] == metrics.MACRO
    kept = predictions[_chosen(predictions, selected)]
    curves = _read_part("curves", run)
    tables = {
        "selected": selected,
        "timings": run.fits[schemas.schema("timings").names],
        "scores": scores[macro | _chosen(scores, selected)],
        # descending, for "valid" before "test"
        "predictions": kept.sort_values(["seed", "partition", "molecule"], ascending=[True, False, True]),
        "curves": curves[_chosen(curves, selected)].sort_values(["seed", "fold", "stage", "epoch"]),
    }
    if data.official is not None:
        standing = leaderboard.standing(run.cell, data.official, scores, selected)
        if len(standing):
            tables["leaderboard"] = standing
    if run.cell["method"] == WISE_FT:
        tables["alphas"] = _alphas(scores[macro & (scores["metric"] == metric)], run.path)
    if (run.path / "coefficients.parquet").exists():
        tables["coefficients"] = _read_part("coefficients", run).sort_values("seed", kind="stable")
    if (run.path / "loss_weights.parquet").exists():
        tables["loss_weights"] = _read_part("loss_weights", run).sort_values(["seed", "fold"], kind="stable")
    if (run.path / "changes.parquet").exists():  # the fingerprint baseline has no encoder that could change
        changes = _read_part("changes", run)
        tables["changes"] = changes[_chosen(changes, selected)].sort_values(["seed", "fold"], kind="stable")
    return tables


def _append_landscapes(landscapes: Sequence[Path], selected: Sequence[pd.DataFrame], append: dict[str, Append]) -> None:
    """Append the paths and planes of the cells whose full FT is in the tables, in their order."""
    read = {name: [schemas.read(name, path / f"{name}.parquet") for path in landscapes] for name in LANDSCAPES}
    tables = {name: _concat([schemas.empty(name), *frames]) for name, frames in read.items()}
    for rows in selected:
        if len(rows) and rows["method"].iloc[0] == FULL_FT:
            for name, table in tables.items():
                append[name](table.merge(rows[list(schemas.CONDITION)].drop_duplicates()))


def _score(run: Run, data: Data, predictions: pd.DataFrame) -> tuple[pd.DataFrame, dict[tuple[int, str], Candidate]]:
    """Make table "scores", of all tasks of all runs without a failed fold, and the candidates for the selection."""
    metric = TASKS[data.kind].primary.name
    molecules = predictions["molecule"].to_numpy()
    values = np.stack(predictions["prediction"].tolist()) if len(predictions) else np.empty((0, len(data.names)))
    positions = predictions.groupby(["partition", *RUN]).indices
    frames: list[pd.DataFrame] = []
    keys: list[tuple[int, str, str]] = []
    candidates = {}
    broken = set(_runs(run.fits[run.fits["status"] != "ok"]))
    for seed, setting in dict.fromkeys(_runs(run.fits)):
        if (seed, setting) in broken:
            continue
        value, loss, r2 = {}, {}, {}
        for partition in PARTITIONS:
            rows = positions.get((partition, seed, setting))
            if rows is None and partition == "test_id":
                continue
            if rows is None:
                raise UserError(
                    f"{run.path}: setting {setting}, seed {seed} is ok but has no {partition} predictions. {MEND}"
                )
            labels, predicted = data.labels[molecules[rows]], values[rows]
            frames.append(metrics.all_scores(data.kind, labels, predicted, data.names))
            r2[partition] = _macro_r2(frames[-1], data.kind)
            keys.append((seed, setting, partition))
            value[partition] = metrics.primary(metric, labels, predicted)
            loss[partition] = metrics.loss(data.kind, labels, predicted)
        candidates[seed, setting] = Candidate(setting, value["valid"], loss["valid"], value["test"], r2["test"])
    if not frames:
        return schemas.empty("scores"), candidates
    # The identity of runs is added to all frames at once: widening thousands of small frames one by one is slow.
    identity = pd.DataFrame(keys, columns=["seed", "setting", "partition"])
    identity = identity.loc[np.repeat(identity.index, [len(frame) for frame in frames])].reset_index(drop=True)
    return pd.concat([identity.assign(**run.cell), pd.concat(frames, ignore_index=True)], axis=1), candidates


def _macro_r2(scores: pd.DataFrame, kind: str) -> float:
    """Return the macro mean of R2 among one run's scores, NaN for a classification."""
    explained = TASKS[kind].explained
    if explained is None:
        return math.nan
    r2 = scores.loc[(scores["metric"] == explained.name) & (scores["task"] == metrics.MACRO), "value"]
    return float(r2.iloc[0]) if len(r2) else math.nan


def _alphas(scores: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Make table "alphas" from WiSE-FT's macro scores, whose hyperparameters are {"alpha": a}."""
    try:
        alphas = [float(json.loads(setting)["alpha"]) for setting in scores["setting"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: a setting of WiSE-FT has no number as its alpha ({error!r}). {MEND}") from error
    table = scores.assign(alpha=alphas)[schemas.schema("alphas").names]
    return table.sort_values(["seed", "alpha"], kind="stable")


def _runs(frame: pd.DataFrame) -> list[tuple[int, str]]:
    return list(zip(frame["seed"].tolist(), frame["setting"].tolist(), strict=True))


def _chosen(frame: pd.DataFrame, selected: pd.DataFrame) -> pd.Series:
    """Return which rows are of a selected run."""
    chosen = set(_runs(selected))
    return pd.Series([run in chosen for run in _runs(frame)], index=frame.index, dtype=bool)


def data_of(tables: Mapping[str, pd.DataFrame], leaderboards: Mapping[str, str], path: Path) -> Data:
    """Take the labels of a dataset from its tables in the directory `path`, of the names in `DATA_TABLES`.

    `leaderboards` are the metrics of datasets that have one. Raises `UserError` if the tables do not match.
    """
    molecules, tasks = tables["molecules"], tables["tasks"]
    if molecules.empty or tasks.empty or (molecules["labels"].map(len) != len(tasks)).any():
        raise UserError(f"{path}: {len(tasks)} tasks do not match {len(molecules)} molecules' labels. {MEND}")
    first = tasks.iloc[0]
    metric = leaderboards.get(first["dataset"])
    board = leaderboard.official(metric, molecules, tables["rejects"]) if metric else None
    return Data(first["dataset"], first["kind"], tasks["name"].tolist(), np.stack(molecules["labels"].tolist()), board)


def read_run(path: Path) -> Run:
    """Read the fits of a run directory; raise `UserError` if they are not of one cell."""
    file = path / "fits.parquet"
    fits = schemas.read("fits", file)
    cells = fits[CELL].drop_duplicates().to_dict("records")
    if len(cells) != 1:
        raise UserError(f"{file}: holds fits of {len(cells)} cells instead of one. {MEND}")
    cell = {name: str(cells[0][name]) for name in CELL}
    return Run(path, cell, fits.sort_values("seed", kind="stable", ignore_index=True))


def _read_part(name: str, run: Run) -> pd.DataFrame:
    """Read a table of the run's directory; raise `UserError` if a row is not of its cell."""
    file = run.path / f"{name}.parquet"
    frame = schemas.read(name, file)
    of_another_cell = (frame[CELL] != pd.Series(run.cell)).any(axis=1)
    if of_another_cell.any():
        row = int(np.flatnonzero(of_another_cell)[0])
        cell = "/".join(frame[CELL].iloc[row].tolist())
        raise UserError(f"{file}: row {row} is of {cell}, not of the run's fits. {MEND}")
    return frame


def _read_predictions(run: Run, data: Data) -> pd.DataFrame:
    frame = _read_part("predictions", run)
    file = run.path / "predictions.parquet"
    faults = {
        "the partition is none of valid, test and test_id": ~frame["partition"].isin(PARTITIONS),
        f"the dataset has {len(data.labels)} molecules": ~frame["molecule"].between(0, len(data.labels) - 1),
        f"its values are not one for each of {len(data.names)} tasks": frame["prediction"].map(len) != len(data.names),
        "it is there twice": frame.duplicated([*RUN, "partition", "molecule"]),
    }
    for fault, wrong in faults.items():
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            where = f"molecule {frame['molecule'].iloc[row]} of partition {frame['partition'].iloc[row]!r}"
            raise UserError(f"{file}: row {row}, {where}: {fault}. {MEND}")
    return frame


def _ordered(runs: Sequence[Run]) -> list[Run]:
    """Return the runs in the order of the tables; raise `UserError` if two are of the same cell."""
    seen: dict[tuple[str, ...], Path] = {}
    for run in runs:
        cell = tuple(run.cell.values())
        if cell in seen:
            raise UserError(f"{seen[cell]} and {run.path} hold the same cell {'/'.join(cell)}. Name only one of them.")
        seen[cell] = run.path

    def order(run: Run) -> tuple[str | float, ...]:
        budget = run.cell["budget"]
        size = float(budget) if budget.isdecimal() else math.inf
        return *(run.cell[key] for key in schemas.CONDITION if key != "budget"), size, run.cell["method"]

    return sorted(runs, key=order)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)


@contextmanager
def _appending(name: str, path: Path, settings: dict[str, Any]) -> Iterator[Append]:
    """Yield a function that appends rows to table `name`; the file appears when the block ends without an error."""
    schema = schemas.marked(name, settings)
    with atomic(path) as temporary:
        with _writer(temporary, schema) as writer:
            yield lambda frame: writer.write_table(schemas.table(name, frame))
        parquet_footer.seal(temporary)


def _concat(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
