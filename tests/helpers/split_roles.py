"""Settings of splits, and which molecules have which role in their tables."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pandas as pd

from roftmol.data.splits import ROLES, SplitSettings

HONEST = SplitSettings("honest", "own", "random", "all", (0, 1, 2), "classification")
PAPER = replace(HONEST, protocol="paper")
#: Splits that keep groups whole, and the column that names the groups.
GROUPED = {"scaffold": "scaffold", "size": "atoms", "size_strict": "atoms", "random": "canonical"}
#: The columns that say who has which role.
ROWS = ["seed", "fold", "molecule", "role"]


def members(splits: pd.DataFrame, seed: int = 0, fold: int = 0) -> dict[str, list[int]]:
    """The molecules of every role, sorted."""
    rows = splits[(splits["seed"] == seed) & (splits["fold"] == fold)]
    return {role: sorted(rows.loc[rows["role"] == role, "molecule"]) for role in ("train", "valid", "test")}


def listed(splits: pd.DataFrame, seed: int = 0) -> list[list[int]]:
    """Train, validation and test in the order of the table."""
    rows = splits[splits["seed"] == seed]
    return [rows.loc[rows["role"] == role, "molecule"].tolist() for role in ("train", "valid", "test")]


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def budgeted(splits: pd.DataFrame, seed: int = 0) -> set[int]:
    """The molecules whose labels count: those to train and to validate."""
    parts = members(splits, seed)
    return {*parts["train"], *parts["valid"]}


def sizes(splits: pd.DataFrame) -> tuple[int, ...]:
    return tuple(len(part) for part in members(splits).values())


def roles(splits: pd.DataFrame, seed: int = 0) -> dict[str, set[int]]:
    """The molecules of every role, that of the test within the distribution included."""
    rows = splits[splits["seed"] == seed]
    return {role: set(rows.loc[rows["role"] == role, "molecule"]) for role in ROLES}
