"""Which method to take for a user's own dataset."""

from __future__ import annotations

import pyarrow as pa

from roftmol.tables.base import COMPARED, Table

#: What a method's score is compared with: the references, and the best method.
DIFFERENCES = (*(f"vs_{name}" for name in COMPARED), "vs_best")

TABLES = (
    Table(
        "ranking",
        key=("model", "method"),
        columns={
            "place": pa.int32(),
            "model": pa.string(),
            "method": pa.string(),
            "metric": pa.string(),
            "better": pa.int32(),
            "resamples": pa.int32(),
            **{name: pa.float64() for name in ("mean", "std", "low", "high", "new_low", "new_high")},
            **{f"{name}{end}": pa.float64() for name in DIFFERENCES for end in ("", "_low", "_high")},
            "r2": pa.float64(),
            "tukey_low": pa.float64(),
            "tukey_high": pa.float64(),
            "holm_p": pa.float64(),
            "behind": pa.bool_(),
            "cpu_seconds": pa.float64(),
            "chosen": pa.bool_(),
            "note": pa.string(),
        },
    ),
)
