"""What the models were pretrained on, and what of the test molecules is in it or in a panel's other datasets."""

from __future__ import annotations

import pyarrow as pa

from roftmol.tables.base import CELL, CONDITION, CONTEXT, FIRST, Table

TABLES = (
    Table(
        "models",
        key=("model",),
        columns={
            "model": pa.string(),
            "pretraining": pa.string(),
            "content": pa.string(),
            "same_as": pa.list_(pa.string()),
            "corpora": pa.list_(pa.string()),
            "learnt": pa.list_(pa.string()),
            "checkable": pa.list_(pa.string()),
            "suspected": pa.list_(pa.string()),
        },
    ),
    Table(
        "hits",
        key=("dataset", "corpus", "molecule"),
        columns={"dataset": pa.string(), "corpus": pa.string(), "molecule": pa.int32()},
    ),
    Table(
        "overlaps",
        key=(*CONDITION, "seed", "corpus"),
        columns={
            **CONDITION,
            "seed": pa.int32(),
            "corpus": pa.string(),
            "learnt": pa.bool_(),
            "checked": pa.bool_(),
            "test_molecules": pa.int32(),
            "seen": pa.int32(),
        },
    ),
    Table(
        "exposure",
        key=(*CONTEXT, "panel", "seed", "partition"),
        columns={
            **CONTEXT,
            "panel": pa.string(),
            "seed": pa.int32(),
            "partition": pa.string(),
            "molecules": pa.int32(),
            "exposed": pa.int32(),
            "most_by": pa.string(),
            "most": pa.int32(),
            "records": pa.list_(pa.int32()),
        },
        version=FIRST + 1,
        since={"records": FIRST + 1},
    ),
    Table(
        "left_out",
        key=tuple(CELL),
        columns={**CELL, "seen": pa.float64(), "contamination": pa.string()},
    ),
)
