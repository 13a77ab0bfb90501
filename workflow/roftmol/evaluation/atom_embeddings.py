"""Atoms' vectors before and after each method on a plane, and how well the plane tells kinds of atoms apart.

For every cell, the fit of one seed with its selected hyperparameters is shown. It is the first seed of the cell's
condition whose fits kept a picture, so that all methods have the same atoms. Vectors before and after go into one
t-SNE, so that both lie on one plane; each method has its own plane. The plane's Davies-Bouldin index is that of arXiv
2601.08486, relative to the pretrained encoder's; `scoring.representation` says why our measures are of the vectors
themselves.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from roftmol.core import tensor_file
from roftmol.core.seeds import seed_of
from roftmol.features.atom_kinds import CLASSES
from roftmol.methods.cells import Cells
from roftmol.scoring.representation import Picture, Vectors, davies_bouldin, planes
from roftmol.tables import schemas

#: The tables that the stage writes, one file each.
TABLES = ("embeddings", "tsne")
CELL = list(schemas.CELL)
CONDITION = list(schemas.CONDITION)


@dataclass(frozen=True)
class EmbeddingsSettings:
    """Which cells are shown, and whether their fits kept pictures."""

    cells: Cells
    pictures: bool = False


def embed(runs: Sequence[Path], tables: Path, out: Path, settings: EmbeddingsSettings | None = None) -> None:
    """Write tables "embeddings" and "tsne" to `out`, from the finished fits in `runs` that `tables` has selected.

    Both have no rows if no fit holds a picture. Raises `UserError` if a table is missing or a fit's file is damaged.
    """
    made: dict[str, list[pd.DataFrame]] = {name: [schemas.empty(name)] for name in TABLES}
    for identity, shown in _pictures(_parts(runs, schemas.read("selected", tables / "selected.parquet"))):
        before, after = planes(shown, seed_of("tsne", identity["seed"]))
        made["embeddings"].append(_points(identity, shown, before, after))
        made["tsne"].append(pd.DataFrame([{**identity, **_measures(shown, before, after)}]))
        print(f"{'/'.join(identity[name] for name in CELL)}: t-SNE of {len(shown.classes)} atoms", file=sys.stderr)
    for name, frames in made.items():
        schemas.write(name, pd.concat(frames[1:] or frames, ignore_index=True), out / f"{name}.parquet", settings)


def _parts(runs: Sequence[Path], selected: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of "selected" that identify a run, and `file`: the finished fit of its first fold."""
    frames = [pd.DataFrame(columns=[*schemas.RUN, "file"])]
    for run in runs:
        fits = schemas.read("fits", run / "fits.parquet", [*schemas.RUN, "fold", "status", "part"])
        fits = fits[(fits["fold"] == 0) & (fits["status"] == "ok") & (fits["part"] != "")]
        frames.append(fits.assign(file=[run / "parts" / name for name in fits["part"]])[[*schemas.RUN, "file"]])
    return selected[list(schemas.RUN)].merge(pd.concat(frames[1:] or frames), on=list(schemas.RUN))


def _pictures(parts: pd.DataFrame) -> Iterator[tuple[dict[str, Any], Picture]]:
    """Yield each cell with its seed and picture; all cells of a condition have the first seed that has a picture."""
    for _, here in parts.groupby(CONDITION, sort=False):
        for _, rows in here.groupby("seed"):
            records = rows.to_dict("records")
            pictures = [(record, picture) for record in records if (picture := _picture(record["file"]))]
            for record, picture in pictures:
                yield {name: record[name] for name in (*CELL, "seed")}, picture
            if pictures:
                break


def _picture(path: Path) -> Picture | None:
    """Read the picture of a finished fit; None if it has none or is missing, as in folders merged without fits."""
    if not path.exists():
        return None
    mend = "Delete it, and fits.parquet in the folder above, and run the workflow again; other finished fits are kept."
    with tensor_file.opened(path, "the finished fit cannot be read", mend) as part:
        if "tsne.before" not in part.names:
            return None
        return Picture(*(part.tensor(f"tsne.{name}") for name in Picture._fields))


def _points(identity: dict[str, Any], shown: Picture, before: Vectors, after: Vectors) -> pd.DataFrame:
    """Make the rows of table "embeddings" for one cell."""
    columns = {"before_x": before[:, 0], "before_y": before[:, 1], "after_x": after[:, 0], "after_y": after[:, 1]}
    kinds = np.array(CLASSES)[shown.classes]
    return pd.DataFrame({**identity, "kind": kinds, **columns}, index=range(len(kinds)))


def _measures(shown: Picture, before: Vectors, after: Vectors) -> dict[str, float]:
    """Return the measured columns of table "tsne"."""
    first, last = (davies_bouldin(plane, shown.classes) for plane in (before, after))
    ratio = last / first if first > 0 else math.nan
    return {"davies_bouldin_before": first, "davies_bouldin_after": last, "ratio": ratio}
