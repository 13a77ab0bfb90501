"""Tables of a made-up experiment: the shapes and the accidents of a real one, no results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from roftmol.evaluation import atom_embeddings, diagnostics
from roftmol.evaluation.contamination import worst
from roftmol.features.atom_kinds import CLASSES
from roftmol.methods import COMPARED, WITHOUT_ENCODER, WITHOUT_PRETRAINING
from roftmol.statistics import stage as statistics
from roftmol.tables import schemas

METHODS = (
    "full_ft", "linear_probing", "surgical_ft", "lp_ft", "l2_sp", "bss", "feature_map", "wise_ft", "dwise_ft",
    "scratch", "fingerprint", "constant",
)  # fmt: skip
METRIC = {"bbbp": "roc_auc", "bace": "roc_auc", "esol": "rmse"}
GRID = {
    "surgical_ft": [{"block": block} for block in range(5)],
    "l2_sp": [{"lam": lam} for lam in (0.1, 0.01)],
    "bss": [{"lam": lam} for lam in (0.1, 0.01)],
    "feature_map": [{"lam": lam} for lam in (0.1, 0.01)],
    "wise_ft": [{"alpha": alpha} for alpha in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)],
    "dwise_ft": [{"granularity": "block", "start": start} for start in (0.5, 0.9)],
    "fingerprint": [{"learner": "linear"}, {"learner": "forest"}],
}
SEEN = {"bbbp": (0.0147, "structures"), "bace": (0.033, "labels"), "esol": (np.nan, "unknown")}
SMILES = ("CCO", "c1ccccc1", "CC(=O)O", "C1CCCCC1", "CCN", "[Na+].[Cl-]", "CC(C)O", "Clc1ccccc1", "C#N", "O=C=O")
#: When and with what a fit was made.
ORIGIN = {
    "started": "2026-11-25T09:30:00+00:00",
    "code": "0.1.0, commit 0123456789ab",
    "configuration": "0123456789abcdef",
    "environment": "fedcba9876543210",
    "software": "Python 3.11.9, torch 2.13.0, threads 1",
    "host": "A processor",
}
CONDITION = tuple(schemas.CONDITION)
PARTS = ("embed", *(f"blocks.{block}" for block in range(5)))


def _with_model(selected: pd.DataFrame) -> pd.Series:
    return ~selected["method"].isin(WITHOUT_ENCODER)


def text(setting: dict[str, object]) -> str:
    return json.dumps(setting, sort_keys=True, separators=(",", ":"))


def audited(method: str, seen: tuple[float, str]) -> dict[str, object]:
    """What the audit says of a method: the reference points have seen nothing."""
    share, kind = (0.0, "none") if method in WITHOUT_PRETRAINING else seen
    return {"seen": share, "contamination": kind}


def selected_rows(
    values: dict[str, list[float]],
    *,
    dataset: str = "bbbp",
    budget: str = "all",
    metric: str | None = None,
    seen: tuple[float, str] = (0.0, "none"),
    **cell: str,
) -> pd.DataFrame:
    """The table `selected` for one condition, from each method's test values by seed (NaN for a failed run).

    `seen` is the share of the test molecules that the model's pretraining has seen, and the verdict on it.
    """
    random = np.random.default_rng(len(dataset) + len(budget))
    cell = {"protocol": "honest", "model": "gin_masking", "split": "scaffold", "rule": "validation", **cell}
    rows, scored = [], metric or METRIC.get(dataset, "roc_auc")
    for method, scores in values.items():
        grid = GRID.get(method, [{}])
        for seed, value in enumerate(scores):
            rows.append(
                {
                    **cell,
                    "model": WITHOUT_ENCODER.get(method, cell["model"]),
                    "dataset": dataset,
                    "budget": budget,
                    "method": method,
                    "setting": "" if np.isnan(value) else text(grid[random.integers(len(grid))]),
                    "seed": seed,
                    "candidates": len(grid),
                    "failed": len(grid) if np.isnan(value) else 0,
                    "metric": scored,
                    "valid_value": value,
                    "valid_loss": 0.5,
                    "test_value": value,
                    "test_r2": np.nan if scored == "roc_auc" else 1 - value**2 / 4,
                    **audited(method, seen),
                    "note": "every setting failed" if np.isnan(value) else "",
                }
            )
    return pd.DataFrame(rows)


def leaderboard_of(selected: pd.DataFrame) -> pd.DataFrame:
    """The table `leaderboard`, as if the classifications of `selected` had one by PR-AUC."""
    cells = summarise(selected[selected["metric"] == "roc_auc"])
    rows = cells[[*schemas.CELL, "better", "seeds", "mean", "min", "max"]]
    return rows.assign(metric="pr_auc", sd=0.01, molecules=95, records=96, official=False)


def summarise(selected: pd.DataFrame) -> pd.DataFrame:
    """The table `summary` of `selected`, differences left undefined."""
    cell = list(schemas.CELL)
    groups = selected.groupby(cell, sort=False)
    values = groups["test_value"]
    summary = pd.DataFrame(
        {
            "metric": groups["metric"].first(),
            "better": groups["metric"].first().map({"roc_auc": 1, "rmse": -1}),
            "seeds": values.count(),
            "failed": values.size() - values.count(),
            "mean": values.mean(),
            "std": values.std(),
            "min": values.min(),
            "max": values.max(),
            "r2": groups["test_r2"].mean(),
            "r2_std": groups["test_r2"].std(),
        }
    ).reset_index()
    summary["rank"] = (
        (summary["mean"] * summary["better"]).groupby([summary[name] for name in cell[:-1]]).rank(ascending=False)
    )
    for name in COMPARED:
        summary[f"vs_{name}"] = summary[f"vs_{name}_std"] = np.nan
    place = summary["method"].map({name: place for place, name in enumerate(METHODS)}).fillna(3)
    summary["wall_seconds"] = 3.0 * (place + 1) ** 2
    audit = [audited_cell(rows) for _, rows in groups]
    return summary.assign(seen=[row[0] for row in audit], contamination=[row[1] for row in audit])


def audited_cell(rows: pd.DataFrame) -> tuple[float, str]:
    return rows["seen"].mean(), worst(rows["contamination"])


def experiment_rows(seeds: int = 5, budgets: tuple[str, ...] = ("50", "all")) -> pd.DataFrame:
    """The table `selected` of three datasets, all methods, one of them failing, one diverging.

    Pretraining has seen a little of bbbp's test molecules without labels, and of bace's with labels.
    """
    random = np.random.default_rng(7)
    base = {"bbbp": 0.68, "bace": 0.75, "esol": 1.1}
    frames = []
    for dataset, level in base.items():
        sign = -1 if METRIC[dataset] == "rmse" else 1
        for budget in budgets:
            shared = random.normal(0, 0.02, seeds)
            gain = {method: random.normal(0, 0.02) - (0.05 if method == "scratch" else 0) for method in METHODS}
            values = {
                method: level
                + sign * (gain[method] + shared + random.normal(0, 0.012, seeds) - 0.06 * (budget == "50"))
                for method in METHODS
            }
            if (dataset, budget) == ("esol", "50"):
                values["bss"][1] = np.nan
                values["scratch"][:] = np.nan
                values["feature_map"][:] = 14.0 + random.random(seeds)
            frames.append(
                selected_rows(
                    {name: list(row) for name, row in values.items()},
                    dataset=dataset,
                    budget=budget,
                    seen=SEEN[dataset],
                )
            )
    selected = pd.concat(frames, ignore_index=True)
    one_class = (selected["dataset"] == "bace") & (selected["budget"] == "50") & (selected["seed"] == 0)
    selected.loc[one_class, "note"] = "validation metric undefined: selected by loss"
    return selected


def alphas_of(selected: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for run in selected[(selected["method"] == "wise_ft") & selected["test_value"].notna()].to_dict("records"):
        for alpha in np.linspace(0, 1, 11):
            bend = 0.15 * (alpha - 0.7) ** 2 * (-1 if run["metric"] == "roc_auc" else 1)
            for partition, shift in (("valid", 0.02), ("test", 0.0)):
                rows.append(
                    {
                        **{name: run[name] for name in schemas.RUN},
                        "setting": text({"alpha": round(float(alpha), 2)}),
                        "alpha": round(float(alpha), 2),
                        "partition": partition,
                        "metric": run["metric"],
                        "value": run["test_value"] + bend + shift + 0.004 * np.sin(9 * alpha + run["seed"]),
                    }
                )
    return pd.DataFrame(rows) if rows else schemas.empty("alphas")


def coefficients_of(selected: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(3)
    rows = [
        {
            **{name: run[name] for name in schemas.RUN},
            "fold": 0,
            "part": part,
            "alpha": float(np.clip(0.4 + 0.1 * place + random.normal(0, 0.08), 0, 1)),
        }
        for run in selected[(selected["method"] == "dwise_ft") & selected["test_value"].notna()].to_dict("records")
        for place, part in enumerate(PARTS)
    ]
    return pd.DataFrame(rows) if rows else schemas.empty("coefficients")


def changes_of(selected: pd.DataFrame) -> pd.DataFrame:
    """The table `changes`: linear probing moves nothing, the others every part a little more."""
    random = np.random.default_rng(5)
    rows = []
    for run in selected[_with_model(selected) & selected["test_value"].notna()].to_dict("records"):
        still = run["method"] == "linear_probing"
        more = 0.01 * METHODS.index(run["method"]) if run["method"] in METHODS else 0.0
        distances = {part: 0.0 if still else 0.02 * (place + 1) + more for place, part in enumerate((*PARTS, "all"))}
        ranks = {"effective_rank": 55.0 - 30 * (not still) + random.normal(), "effective_rank_pretrained": 55.0}
        vectors = {"cka": 1.0 if still else random.uniform(0.3, 0.9), **ranks}
        named = [(part, "distance", value, 0) for part, value in distances.items()]
        named += [("vectors", quantity, value, 100) for quantity, value in vectors.items()]
        identity = {**{name: run[name] for name in schemas.RUN}, "fold": 0}
        columns = ("part", "quantity", "value", "molecules")
        rows += [{**identity, **dict(zip(columns, row, strict=True))} for row in named]
    return pd.DataFrame(rows) if rows else schemas.empty("changes")


def paths_of(selected: pd.DataFrame) -> pd.DataFrame:
    """The table `paths` of full FT's runs: a valley."""
    rows = [
        {
            **{name: run[name] for name in (*CONDITION, "seed", "metric")},
            "fold": 0,
            "alpha": alpha,
            "partition": partition,
            "molecules": 40,
            "value": 0.7 + 0.1 * alpha,
            "loss": 0.4 + (alpha - 0.8) ** 2 + 0.1 * place,
        }
        for run in selected[(selected["method"] == "full_ft") & selected["test_value"].notna()].to_dict("records")
        for alpha in np.linspace(-0.5, 1.5, 9)
        for place, partition in enumerate(("train", "valid", "test"))
    ]
    return pd.DataFrame(rows) if rows else schemas.empty("paths")


def planes_of(selected: pd.DataFrame) -> pd.DataFrame:
    """The table `planes` of the first seed where DWiSE-FT ran: a bowl, with a point that is no number."""
    points = {"pretrained": (0.0, 0.0), "full_ft": (5.0, 0.0), "dwise_ft": (3.0, 1.0)}
    grid = [("", x, y) for y in np.linspace(-2, 3, 5) for x in np.linspace(-1, 6, 5)]
    mixed = selected[(selected["method"] == "dwise_ft") & selected["test_value"].notna()]
    rows = [
        {
            **{name: run[name] for name in (*CONDITION, "seed")},
            "fold": 0,
            "partition": partition,
            "molecules": 32,
            "point": point,
            "x": x,
            "y": y,
            "loss": np.nan if (point, x, y) == grid[0] else 0.3 + 0.1 * ((x - 4) ** 2 + y**2) + 0.2 * place,
        }
        for run in mixed.drop_duplicates(list(CONDITION)).to_dict("records")
        for place, partition in enumerate(("train", "test"))
        for point, x, y in [*((point, *at) for point, at in points.items()), *grid]
    ]
    return pd.DataFrame(rows) if rows else schemas.empty("planes")


def pictures_of(selected: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables `embeddings` and `tsne` of the first seed: three atoms of a kind, one plane that is no number."""
    random = np.random.default_rng(11)
    runs = selected[_with_model(selected) & (selected["seed"] == 0) & selected["test_value"].notna()]
    cells = runs[[*schemas.CELL, "seed"]]
    planes = cells.assign(davies_bouldin_before=1.5, davies_bouldin_after=3.0, ratio=2.0)
    planes.loc[planes["method"] == "scratch", ["davies_bouldin_after", "ratio"]] = np.nan
    points = cells.merge(pd.DataFrame({"kind": CLASSES * 3}), how="cross")
    for column in ("before_x", "before_y", "after_x", "after_y"):
        points[column] = random.normal(size=len(points)).astype(np.float32)
    points.loc[points["method"] == "scratch", ["after_x", "after_y"]] = np.nan
    return {"embeddings": points, "tsne": planes}


def quickly_drawn() -> dict[str, pd.DataFrame]:
    """Tables of an experiment of which every figure is drawn, and not more than that takes.

    Pictures of atoms have four settings, one more than a page holds; bbbp and bace have both marks of pretraining.
    """
    rows = experiment_rows(seeds=3)
    esol = rows["dataset"] == "esol"
    gone = rows["method"].isin(("surgical_ft", "lp_ft", "l2_sp", "feature_map")) | (esol & (rows["budget"] == "all"))
    rows, esol = (one[~gone].reset_index(drop=True) for one in (rows, esol))
    two = rows[~esol & (rows["budget"] == "50")]
    pictured = rows["method"].isin(("full_ft", "scratch")) & ~esol
    return {
        "selected": rows,
        "leaderboard": leaderboard_of(rows),
        "alphas": alphas_of(two),
        "paths": paths_of(two),
        "changes": changes_of(two),
        "planes": planes_of(two),
        **pictures_of(rows[pictured]),
    }


def timings_of(selected: pd.DataFrame) -> pd.DataFrame:
    runs = selected[list(schemas.RUN)].assign(fold=0, epochs=20, best_epoch=12, trained_parameters=1_800_000)
    ok = selected["test_value"].notna()
    return runs.assign(
        status=np.where(ok, "ok", "failed"),
        setting=np.where(ok, runs["setting"], "{}"),
        reason=np.where(ok, "", "the training loss was NaN in epoch 3"),
        wall_seconds=8.5,
        cpu_seconds=8.1,
        peak_memory_mb=510.0,
        device="cpu",
        **ORIGIN,
    )


def scores_of(selected: pd.DataFrame) -> pd.DataFrame:
    return selected[list(schemas.RUN)].assign(
        partition="test",
        metric=selected["metric"],
        task="macro",
        value=selected["test_value"],
        molecules=204,
        tasks=2,
        undefined=np.where(selected["dataset"] == "bace", 1, 0),
    )


def models_of(selected: pd.DataFrame) -> pd.DataFrame:
    """The table `models`: each was pretrained on a set without labels and on one with, the second not to be had."""
    names = sorted(set(selected["model"]) - {*WITHOUT_ENCODER.values()})
    lists = {"same_as": [], "corpora": ["zinc250k", "chembl"], "learnt": ["chembl"], "checkable": ["zinc250k"]}
    rows = [{"model": name, "pretraining": "both", "content": "0", **lists, "suspected": []} for name in names]
    return pd.DataFrame(rows) if rows else schemas.empty("models")


def overlaps_of(selected: pd.DataFrame) -> pd.DataFrame:
    """The table `overlaps` of `models_of`, with one more hit a seed."""
    cell = ["protocol", "model", "dataset", "split", "budget", "seed"]
    runs = selected.loc[_with_model(selected), cell].drop_duplicates().assign(test_molecules=204)
    checked = runs.assign(corpus="zinc250k", learnt=False, checked=True, seen=runs["seed"] + 1)
    other = runs.assign(corpus="chembl", learnt=True, checked=False, seen=None)
    return pd.concat([checked.astype({"seen": "Int32"}), other.astype({"seen": "Int32"})], ignore_index=True)


def data_tables(dataset: str, kind: str, rejects: int = 12, name: str = "label") -> dict[str, pd.DataFrame]:
    """The tables `molecules`, `rejects` and `tasks` of a dataset."""
    count = len(SMILES)
    values = np.arange(count) % 2 if kind == "classification" else np.linspace(-3, 2, count)
    molecules = pd.DataFrame(
        {
            "dataset": dataset,
            "molecule": range(count),
            "row": range(count),
            "smiles": SMILES,
            "canonical": SMILES,
            "scaffold": "",
            "atoms": 5,
            "parent": SMILES,
            "group": "",
            "labels": [[float(value)] for value in values],
        }
    )
    reasons = [("invalid SMILES", "dropped"), ("duplicate", "kept"), ("unsupported atom", "dropped")]
    rows = [
        {
            "dataset": dataset,
            "row": count + place,
            "smiles": "C1CC(" if place % 3 == 0 else "CCO" if place % 3 == 1 else "*CC",
            "reason": reasons[place % 3][0],
            "detail": "same molecule as line 2" if place % 3 == 1 else "not read by RDKit",
            "action": reasons[place % 3][1],
            "position": f"line {count + place + 2}",
            "group": "",
        }
        for place in range(rejects)
    ]
    tasks = pd.DataFrame(
        {
            "dataset": [dataset],
            "task": [0],
            "name": [name],
            "kind": [kind],
            "labelled": [count],
            "positives": pd.array([int(values.sum()) if kind == "classification" else None], dtype="Int64"),
            "mean": [float(values.mean())],
            "std": [float(values.std())],
            "lower_limits": [0],
            "upper_limits": [0],
        }
    )
    return {"molecules": molecules, "rejects": pd.DataFrame(rows) if rows else schemas.empty("rejects"), "tasks": tasks}


def write_tables(out: Path, selected: pd.DataFrame | None = None, **replaced: pd.DataFrame) -> Path:
    """Write every aggregated table that figures and report read; returns `out`."""
    selected = experiment_rows() if selected is None else selected
    kinds = selected.groupby("dataset")["metric"].first().map({"roc_auc": "classification", "rmse": "regression"})
    data = [data_tables(dataset, kind) for dataset, kind in kinds.items()]
    tables = {
        "selected": selected,
        "summary": summarise(selected),
        "alphas": alphas_of(selected),
        "coefficients": coefficients_of(selected),
        "changes": changes_of(selected),
        "paths": paths_of(selected),
        "planes": planes_of(selected),
        "timings": timings_of(selected),
        "scores": scores_of(selected),
        "models": models_of(selected),
        "overlaps": overlaps_of(selected),
        **{name: schemas.empty(name) for name in ("left_out", "exposure", "loss_weights", "leaderboard")},
        **statistics.made(selected, replicates=100),
        **{
            name: pd.concat([part[name] for part in data], ignore_index=True)
            for name in ("molecules", "rejects", "tasks")
        },
        **{name: schemas.empty(name) for name in (*diagnostics.TABLES, *atom_embeddings.TABLES)},
        **replaced,
    }
    for name, frame in tables.items():
        schemas.write(name, frame, out / f"{name}.parquet")
    return out
