"""What fits leave: their predictions, their learning curves, what they did to the encoder, and the loss around them."""

from __future__ import annotations

import pyarrow as pa

from roftmol.tables.base import CONDITION, ORIGIN, RUN, RUN_KEY, Table

TABLES = (
    Table(
        "fits",
        key=(*RUN_KEY, "fold"),
        columns={
            **RUN,
            "fold": pa.int32(),
            "status": pa.string(),
            "reason": pa.string(),
            "note": pa.string(),
            "best_epoch": pa.int32(),
            "epochs": pa.int32(),
            "valid_metric": pa.float64(),
            "valid_loss": pa.float64(),
            "trained_parameters": pa.int64(),
            "started": pa.string(),
            "wall_seconds": pa.float64(),
            "cpu_seconds": pa.float64(),
            "peak_memory_mb": pa.float64(),
            "device": pa.string(),
            **ORIGIN,
            "part": pa.string(),
        },
    ),
    Table(
        "predictions",
        key=(*RUN_KEY, "partition", "molecule"),
        columns={
            **RUN,
            "partition": pa.string(),
            "molecule": pa.int32(),
            "prediction": pa.list_(pa.float32()),
            "spread": pa.list_(pa.float32()),
        },
    ),
    Table(
        "curves",
        key=(*RUN_KEY, "fold", "stage", "epoch"),
        columns={
            **RUN,
            "fold": pa.int32(),
            "stage": pa.int32(),
            "epoch": pa.int32(),
            "train_loss": pa.float64(),
            "valid_loss": pa.float64(),
            "valid_metric": pa.float64(),
        },
    ),
    Table(
        "coefficients",
        key=(*RUN_KEY, "fold", "part"),
        columns={**RUN, "fold": pa.int32(), "part": pa.string(), "alpha": pa.float64()},
    ),
    Table(
        "loss_weights",
        key=(*RUN_KEY, "fold", "epoch"),
        columns={
            **RUN,
            "fold": pa.int32(),
            "panel": pa.string(),
            "epoch": pa.int32(),
            "weight": pa.float64(),
        },
    ),
    Table(
        "changes",
        key=(*RUN_KEY, "fold", "part", "quantity"),
        columns={
            **RUN,
            "fold": pa.int32(),
            "part": pa.string(),
            "quantity": pa.string(),
            "value": pa.float64(),
            "molecules": pa.int32(),
        },
    ),
    Table(
        "paths",
        key=(*CONDITION, "seed", "fold", "alpha", "partition"),
        columns={
            **CONDITION,
            "seed": pa.int32(),
            "fold": pa.int32(),
            "alpha": pa.float64(),
            "partition": pa.string(),
            "molecules": pa.int32(),
            "metric": pa.string(),
            "value": pa.float64(),
            "loss": pa.float64(),
        },
    ),
    Table(
        "planes",
        key=(*CONDITION, "seed", "fold", "partition", "point", "x", "y"),
        columns={
            **CONDITION,
            "seed": pa.int32(),
            "fold": pa.int32(),
            "partition": pa.string(),
            "molecules": pa.int32(),
            "point": pa.string(),
            "x": pa.float64(),
            "y": pa.float64(),
            "loss": pa.float64(),
        },
    ),
)
