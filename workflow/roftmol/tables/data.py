"""Molecules, their labels and geometries, and who is train, validation and test."""

from __future__ import annotations

import pyarrow as pa

from roftmol.tables.base import CONTEXT, FIRST, Table

TABLES = (
    Table(
        "molecules",
        key=("dataset", "molecule"),
        columns={
            "dataset": pa.string(),
            "molecule": pa.int32(),
            "row": pa.int64(),
            "smiles": pa.string(),
            "canonical": pa.string(),
            "scaffold": pa.string(),
            "atoms": pa.int32(),
            "parent": pa.string(),
            "group": pa.string(),
            "labels": pa.list_(pa.float32()),
        },
        version=FIRST + 1,
        since={"parent": FIRST + 1},
    ),
    Table(
        "rejects",
        key=("dataset", "row"),
        columns={
            "dataset": pa.string(),
            "row": pa.int64(),
            "smiles": pa.string(),
            "reason": pa.string(),
            "detail": pa.string(),
            "action": pa.string(),
            "position": pa.string(),
            "group": pa.string(),
        },
        version=FIRST + 1,
        since={"position": FIRST + 1, "group": FIRST + 1},
    ),
    Table(
        "tasks",
        key=("dataset", "task"),
        columns={
            "dataset": pa.string(),
            "task": pa.int32(),
            "name": pa.string(),
            "kind": pa.string(),
            "labelled": pa.int64(),
            "positives": pa.int64(),
            "mean": pa.float64(),
            "std": pa.float64(),
            "lower_limits": pa.int64(),
            "upper_limits": pa.int64(),
        },
        version=FIRST + 1,
        since={"lower_limits": FIRST + 1, "upper_limits": FIRST + 1},
    ),
    Table(
        "conformers",
        key=("dataset", "molecule"),
        columns={
            "dataset": pa.string(),
            "molecule": pa.int32(),
            "numbers": pa.list_(pa.int8()),
            "positions": pa.list_(pa.float32()),
        },
    ),
    Table(
        "gfn2_failures",
        key=("dataset", "molecule"),
        columns={
            "dataset": pa.string(),
            "molecule": pa.int32(),
            "smiles": pa.string(),
            "reason": pa.string(),
        },
    ),
    Table(
        "cliff_molecules",
        key=("dataset", "molecule"),
        columns={
            "dataset": pa.string(),
            "molecule": pa.int32(),
            "cliff": pa.bool_(),
            "origin": pa.string(),
        },
    ),
    Table(
        "splits",
        key=(*CONTEXT, "seed", "fold", "molecule"),
        columns={
            **CONTEXT,
            "seed": pa.int32(),
            "fold": pa.int32(),
            "molecule": pa.int32(),
            "role": pa.string(),
        },
    ),
    Table(
        "corpora",
        key=("corpus", "row"),
        columns={
            "corpus": pa.string(),
            "row": pa.int64(),
            "smiles": pa.string(),
            "canonical": pa.string(),
            "labels": pa.list_(pa.float32()),
        },
    ),
    Table(
        "pretraining",
        columns={"smiles": pa.string(), "labels": pa.list_(pa.float32())},
    ),
    Table(
        "force_labels",
        key=("row", "conformer"),
        columns={
            "row": pa.int64(),
            "smiles": pa.string(),
            "inchikey": pa.string(),
            "conformer": pa.int32(),
            "source": pa.string(),
            "status": pa.string(),
            "reason": pa.string(),
            "numbers": pa.list_(pa.int8()),
            "positions": pa.list_(pa.float32()),
            "energy": pa.float64(),
            "forces": pa.list_(pa.float32()),
        },
    ),
)
