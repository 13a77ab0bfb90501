"""What the mean score hides: other distributions, activity cliffs, calibration, distance, a model that collapses."""

from __future__ import annotations

import pyarrow as pa

from roftmol.tables.base import CELL, CONDITION, Table

TABLES = (
    Table(
        "shift",
        key=tuple(CELL),
        columns={
            **CELL,
            "reference": pa.string(),
            "metric": pa.string(),
            "better": pa.int32(),
            "reference_mean": pa.float64(),
            "reference_std": pa.float64(),
            "shifted_mean": pa.float64(),
            "shifted_std": pa.float64(),
            "reference_seeds": pa.int32(),
            "shifted_seeds": pa.int32(),
            "drop": pa.float64(),
            "drop_error": pa.float64(),
            "ratio": pa.float64(),
            "ratio_error": pa.float64(),
        },
    ),
    Table(
        "cliffs",
        key=tuple(CELL),
        columns={
            **CELL,
            "origin": pa.string(),
            "seeds": pa.int32(),
            "cliff_molecules": pa.float64(),
            "other_molecules": pa.float64(),
            "cliff_rmse": pa.float64(),
            "cliff_std": pa.float64(),
            "other_rmse": pa.float64(),
            "other_std": pa.float64(),
            "gap": pa.float64(),
            "gap_std": pa.float64(),
        },
    ),
    Table(
        "calibration",
        key=(*CELL, "measure"),
        columns={
            **CELL,
            "measure": pa.string(),
            "value": pa.float64(),
            "seed_mean": pa.float64(),
            "seed_std": pa.float64(),
            "seeds": pa.int32(),
            "molecules": pa.int64(),
            "note": pa.string(),
        },
    ),
    Table(
        "reliability",
        key=(*CELL, "bin"),
        columns={
            **CELL,
            "kind": pa.string(),
            "bin": pa.int32(),
            "predicted": pa.float64(),
            "observed": pa.float64(),
            "low": pa.float64(),
            "high": pa.float64(),
            "entries": pa.int64(),
            "molecules": pa.int64(),
        },
    ),
    Table(
        "similarity",
        key=(*CELL, "lower"),
        columns={
            **CELL,
            "lower": pa.float64(),
            "upper": pa.float64(),
            "similarity": pa.float64(),
            "measure": pa.string(),
            "value": pa.float64(),
            "error": pa.float64(),
            "entries": pa.int64(),
            "molecules": pa.int64(),
        },
    ),
    Table(
        "collapse",
        key=(*CONDITION, "measure"),
        columns={
            **CONDITION,
            "measure": pa.string(),
            "metric": pa.string(),
            "methods": pa.int32(),
            "rho": pa.float64(),
            "low": pa.float64(),
            "high": pa.float64(),
            "note": pa.string(),
        },
    ),
    Table(
        "embeddings",
        columns={
            **CELL,
            "seed": pa.int32(),
            "kind": pa.string(),
            "before_x": pa.float32(),
            "before_y": pa.float32(),
            "after_x": pa.float32(),
            "after_y": pa.float32(),
        },
    ),
    Table(
        "tsne",
        key=(*CELL, "seed"),
        columns={
            **CELL,
            "seed": pa.int32(),
            "davies_bouldin_before": pa.float64(),
            "davies_bouldin_after": pa.float64(),
            "ratio": pa.float64(),
        },
    ),
)
