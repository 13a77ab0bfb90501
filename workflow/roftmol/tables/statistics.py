"""What differs between methods, by how much, and how sure that is."""

from __future__ import annotations

import pyarrow as pa

from roftmol.tables.base import FAMILY, Table

#: How a method or a setting compares with a reference, over datasets.
COMPARED: dict[str, pa.DataType] = {
    "datasets": pa.int32(),
    "seeds": pa.int32(),
    "difference": pa.float64(),
    "relative": pa.float64(),
    "scale": pa.string(),
    "low": pa.float64(),
    "high": pa.float64(),
    "levels": pa.string(),
    "p": pa.float64(),
    "p_holm": pa.float64(),
    "comparisons": pa.int32(),
    "smallest_n": pa.int32(),
    "enough": pa.bool_(),
    "region": pa.float64(),
    "verdict": pa.string(),
    "note": pa.string(),
}

TABLES = (
    Table(
        "comparisons",
        key=(*FAMILY, "method", "reference", "dataset"),
        columns={
            **FAMILY,
            "better": pa.int32(),
            "method": pa.string(),
            "reference": pa.string(),
            "dataset": pa.string(),
            **COMPARED,
        },
    ),
    Table(
        "mean_ranks",
        key=(*FAMILY, "method"),
        columns={
            **FAMILY,
            "method": pa.string(),
            "mean_rank": pa.float64(),
            "mean": pa.float64(),
            "datasets": pa.int32(),
            "groups": pa.string(),
            "friedman_p": pa.float64(),
            "pairs": pa.int32(),
            "smallest_n": pa.int32(),
            "enough": pa.bool_(),
            "note": pa.string(),
        },
    ),
    Table(
        "pairs",
        key=(*FAMILY, "a", "b"),
        columns={
            **FAMILY,
            "a": pa.string(),
            "b": pa.string(),
            "datasets": pa.int32(),
            "p": pa.float64(),
            "p_holm": pa.float64(),
        },
    ),
    Table(
        "crossed",
        key=(*FAMILY, "method", "setting"),
        columns={
            **FAMILY,
            "better": pa.int32(),
            "method": pa.string(),
            "setting": pa.string(),
            "reference": pa.string(),
            **COMPARED,
        },
    ),
    Table(
        "exposed",
        key=(*FAMILY, "method", "dataset", "part"),
        columns={
            **FAMILY,
            "better": pa.int32(),
            "method": pa.string(),
            "reference": pa.string(),
            "dataset": pa.string(),
            "part": pa.string(),
            "datasets": pa.int32(),
            "seeds": pa.int32(),
            "share": pa.float64(),
            "exposed": pa.float64(),
            "new": pa.float64(),
            "scale": pa.string(),
            "difference": pa.float64(),
            "low": pa.float64(),
            "high": pa.float64(),
            "levels": pa.string(),
            "p": pa.float64(),
            "p_holm": pa.float64(),
        },
    ),
)
