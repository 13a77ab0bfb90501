"""The runs of an experiment together: scored, selected and summarised."""

from __future__ import annotations

import pyarrow as pa

from roftmol.tables.base import CELL, COMPARED, ORIGIN, RUN, RUN_KEY, Table

TABLES = (
    Table(
        "summary",
        key=tuple(CELL),
        columns={
            **CELL,
            "metric": pa.string(),
            "better": pa.int32(),
            "seeds": pa.int32(),
            "failed": pa.int32(),
            "mean": pa.float64(),
            "std": pa.float64(),
            "min": pa.float64(),
            "max": pa.float64(),
            "r2": pa.float64(),
            "r2_std": pa.float64(),
            "rank": pa.float64(),
            **{f"vs_{name}{end}": pa.float64() for name in COMPARED for end in ("", "_std")},
            "wall_seconds": pa.float64(),
            "seen": pa.float64(),
            "contamination": pa.string(),
        },
    ),
    Table(
        "leaderboard",
        key=tuple(CELL),
        columns={
            **CELL,
            "metric": pa.string(),
            "better": pa.int32(),
            "seeds": pa.int32(),
            "mean": pa.float64(),
            "sd": pa.float64(),
            "min": pa.float64(),
            "max": pa.float64(),
            "molecules": pa.int64(),
            "records": pa.int64(),
            "official": pa.bool_(),
        },
    ),
    Table(
        "selected",
        key=(*CELL, "seed"),
        columns={
            **RUN,
            "rule": pa.string(),
            "candidates": pa.int32(),
            "failed": pa.int32(),
            "metric": pa.string(),
            "valid_value": pa.float64(),
            "valid_loss": pa.float64(),
            "test_value": pa.float64(),
            "test_r2": pa.float64(),
            "seen": pa.float64(),
            "contamination": pa.string(),
            "note": pa.string(),
        },
    ),
    Table(
        "scores",
        key=(*RUN_KEY, "partition", "metric", "task"),
        columns={
            **RUN,
            "partition": pa.string(),
            "metric": pa.string(),
            "task": pa.string(),
            "value": pa.float64(),
            "molecules": pa.int64(),
            "tasks": pa.int32(),
            "undefined": pa.int32(),
        },
    ),
    Table(
        "alphas",
        key=(*RUN_KEY, "partition", "metric"),
        columns={
            **RUN,
            "alpha": pa.float64(),
            "partition": pa.string(),
            "metric": pa.string(),
            "value": pa.float64(),
        },
    ),
    Table(
        "timings",
        key=(*RUN_KEY, "fold"),
        columns={
            **RUN,
            "fold": pa.int32(),
            "status": pa.string(),
            "reason": pa.string(),
            "epochs": pa.int32(),
            "best_epoch": pa.int32(),
            "trained_parameters": pa.int64(),
            "started": pa.string(),
            "wall_seconds": pa.float64(),
            "cpu_seconds": pa.float64(),
            "peak_memory_mb": pa.float64(),
            "device": pa.string(),
            **ORIGIN,
        },
    ),
)
