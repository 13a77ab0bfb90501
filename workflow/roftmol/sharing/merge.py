"""Several results folders -> one, of other seeds, methods, models or datasets, from one machine or from several.

What is merged are the stages' files; tables, figures and report are made anew from them, of whatever cells are there.
A run is a cell with a seed and a setting, all its folds: it is taken once, from the first folder that has it. What has
one name must be the same in all folders: a dataset's molecules, a seed's split, a model's weights, what the fits of a
cell were told, and a run's predictions, to the last bit.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from roftmol import figures, report
from roftmol.core.errors import UserError
from roftmol.core.files import atomic_folder
from roftmol.core.paths import MODELS, Found
from roftmol.core.weights_digest import content_digest
from roftmol.evaluation import atom_embeddings, contamination
from roftmol.evaluation.aggregate import LANDSCAPES, aggregate, read_run
from roftmol.evaluation.diagnostics.stage import DiagnosticsSettings, diagnose
from roftmol.methods import WITHOUT_ENCODER
from roftmol.registry import catalog
from roftmol.statistics import stage as statistics
from roftmol.tables import schemas

CELL = list(schemas.CELL)
#: The identity of a run within its cell.
RUN = ["seed", "setting"]
LEAVE_OUT = "Leave one of the folders out."
PREFER = "Say whose counts by --prefer, or leave one of the folders out."


@dataclass(frozen=True)
class MergeSettings:
    """The rule that selects a setting, whose fits count where folders differ (None: no one's), whether parts come."""

    rule: str = "validation"
    prefer: Path | None = None
    parts: bool = True


def merge(sources: Sequence[Path], out: Path, settings: MergeSettings = MergeSettings()) -> None:
    """Write the results folder `out`, report included, from the folders `sources`, which stay as they are.

    `out` appears as a whole or not at all. Raises `UserError` if it is there, if a source is no results folder or of
    another version, or if two of them have something different under one name.
    """
    places = [Found(source) for source in _checked(sources, out, settings)]
    with atomic_folder(out) as folder:
        merging = _Merging(places, folder, settings)
        merging.data()
        merging.splits()
        merging.models()
        for run in merging.union([place.runs for place in places]):
            merging.run(run)
        for landscape in merging.union([place.landscapes for place in places]):
            merging.landscape(landscape)
        try:
            build(folder, settings.rule, len(places))
        except UserError as error:
            raise UserError(str(error).replace(str(folder), str(out))) from error


def build(results: Path, rule: str, folders: int = 1) -> None:
    """Make tables, figures and report of whatever lies in `results`, which was put together from so many folders."""
    place, tables = Found(results), results / "tables"
    audit = (
        contamination.read_folder(results, results / MODELS) if (results / MODELS).exists() else contamination.Audit()
    )
    aggregate(place.runs, place.data, rule, tables, audit, landscapes=place.landscapes)
    diagnose(DiagnosticsSettings(tuple(path.parent.name for path in place.cliffs)), tables, results, tables)
    atom_embeddings.embed(place.runs, tables, tables)
    statistics.build(tables, tables)
    figures.draw(tables, results / "figures")
    report.build(tables, results / "figures", _experiment(tables, folders), results / "report.html")


def _experiment(tables: Path, folders: int) -> dict[str, Any]:
    """What the report tells beside its tables: the names in them, and what the registry knows of these."""
    runs = schemas.read("timings", tables / "timings.parquet", list(schemas.RUN))
    names = {f"{name}s": sorted(set(runs[name])) for name in CELL}
    names["models"] = [name for name in names["models"] if name not in WITHOUT_ENCODER.values()]
    models = schemas.read("models", tables / "models.parquet")
    known = catalog.about(catalog.datasets(), catalog.checkpoints(), catalog.corpora())
    asked = {**names, "corpora": sorted({corpus for row in models["corpora"] for corpus in row})}
    # What is not in the registry is a user's own: its name is all that is known here.
    told = {key: {name: known[key].get(name, {}) for name in asked[key]} for key in ("datasets", "models", "corpora")}
    return {**names, **told, "seeds": sorted(runs["seed"].unique().tolist()), "merged_folders": folders}


@dataclass(frozen=True)
class _Merging:
    """The folder `out` on its way; what several of the `places` have comes from the first of them."""

    places: Sequence[Found]
    out: Path
    settings: MergeSettings

    def union(self, found: Sequence[list[Path]]) -> list[Path]:
        """What each place has, as paths inside them."""
        return sorted(
            {path.relative_to(place.results) for place, paths in zip(self.places, found, strict=True) for path in paths}
        )

    def data(self) -> None:
        """Bring molecules, graphs, and what was compared with corpora."""
        for path in self.union([[*place.data_files, *place.overlaps] for place in self.places]):
            owners = self._owners(path)
            if path.suffix == ".parquet":
                name = schemas.marks(owners[0])["roftmol.table"]
                for one, other in combinations(owners, 2):
                    if not _same(schemas.read(name, one), schemas.read(name, other)):
                        what = "molecules of one dataset" if path.parts[0] == "data" else "molecules found in a corpus"
                        raise UserError(f"{one} and {other}: the {what} differ. {LEAVE_OUT}")
            _copy(owners[0], self.out / path)

    def splits(self) -> None:
        """Bring the splits, each with the seeds of all places."""
        for path in self.union([place.split_files for place in self.places]):
            self._by_seed("splits", path, LEAVE_OUT)

    def models(self) -> None:
        """Bring the encoders' weights, and what is known of the models."""
        for path in self.union([place.checkpoints for place in self.places]):
            owners = self._owners(path)
            for one, other in combinations(owners, 2):
                if content_digest(one) != content_digest(other):
                    raise UserError(f"{one} and {other}: different weights under one name. {LEAVE_OUT}")
            _copy(owners[0], self.out / path)
        if owners := self._owners(MODELS):
            schemas.write("models", _models(owners), self.out / MODELS, _merged(owners))

    def run(self, path: Path) -> None:
        """Bring the runs of one cell: the seeds and settings of all places."""
        owners = self._owners(path)
        if len(owners) == 1:
            ignored = shutil.ignore_patterns(".*", *([] if self.settings.parts else ["parts"]))
            shutil.copytree(owners[0], self.out / path, ignore=ignored)
            return
        owners = self._told_alike(owners)
        taken = self._taken(owners)
        order = {setting: place for place, setting in enumerate(dict.fromkeys(setting for _, setting in taken))}
        for name in sorted({file.stem for owner in owners for file in owner.glob("[!.]*.parquet")}):
            files = [file for owner in owners if (file := owner / f"{name}.parquet").exists()]
            frames = [schemas.empty(name)]
            for file in files:
                frame = schemas.read(name, file)
                frames.append(frame[[taken[key] == file.parent for key in _keys(frame)]])
            rows = _concat(frames).assign(place=lambda frame: frame["setting"].map(order))
            rows = rows.sort_values(["seed", "place"], kind="stable").drop(columns="place")
            schemas.write(name, rows, self.out / path / f"{name}.parquet", _merged(files))
        if self.settings.parts:
            for owner in owners:
                for part in owner.glob("parts/[!.]*"):
                    if not (target := self.out / path / "parts" / part.name).exists():
                        _copy(part, target)

    def landscape(self, path: Path) -> None:
        """Bring the landscape of one cell: the lines of all seeds, and the plane of the first one that has any."""
        for name in LANDSCAPES:
            self._by_seed(name, path / f"{name}.parquet", PREFER)

    def _by_seed(self, name: str, path: Path, mend: str) -> None:
        """Bring a table of which each seed's rows must be the same wherever they are."""
        owners = self._owners(path)
        frames = {owner: schemas.read(name, owner) for owner in owners}
        taken: dict[int, Path] = {}
        for owner, frame in frames.items():
            for seed in frame["seed"].unique().tolist():
                first = taken.setdefault(seed, owner)
                if first != owner and not _same(_of_seed(frames[first], seed), _of_seed(frame, seed)):
                    if mend != LEAVE_OUT and self._preferred(first):
                        continue
                    raise UserError(f"{first} and {owner}: seed {seed} of {path.parts[0]} differs. {mend}")
        if set(taken.values()) <= {owners[0]}:
            _copy(owners[0], self.out / path)
            return
        seeds = [min(taken)] if name == "planes" else sorted(taken)
        rows = [_of_seed(frames[taken[seed]], seed) for seed in seeds]
        schemas.write(name, _concat(rows), self.out / path, _merged(owners))

    def _taken(self, owners: Sequence[Path]) -> dict[tuple[int, str], Path]:
        """Where each run of a cell is taken from."""
        taken: dict[tuple[int, str], Path] = {}
        found = {owner: _Runs(owner) for owner in owners}
        for owner, runs in found.items():
            for key in runs.keys:
                first = taken.setdefault(key, owner)
                if first != owner and not runs.same(found[first], key):
                    what = f"seed {key[0]}, setting {key[1]}: the predictions differ, or what failed"
                    self._settle(first, owner, what)
        return taken

    def _told_alike(self, owners: list[Path]) -> list[Path]:
        """The places whose fits of a cell were told the same as the first one's."""
        told = {owner: set(read_run(owner).fits["configuration"]) - {""} for owner in owners}
        for owner in owners[1:]:
            if told[owner] and told[owners[0]] and told[owner] != told[owners[0]]:
                both = f"configurations {_list(told[owners[0]])} and {_list(told[owner])}"
                self._settle(owners[0], owner, f"one cell with different training, task or metric ({both})")
                del told[owner]
        return list(told)

    def _settle(self, first: Path, other: Path, what: str) -> None:
        """Nothing, if the fits that differ are to come from `first`; else raise `UserError`."""
        if not self._preferred(first):
            raise UserError(f"{first / 'fits.parquet'} and {other / 'fits.parquet'}: {what}. {PREFER}")

    def _preferred(self, path: Path) -> bool:
        return self.settings.prefer is not None and path.is_relative_to(self.places[0].results)

    def _owners(self, path: Path) -> list[Path]:
        """Where a path is, in the order of the places."""
        return [file for place in self.places if (file := place.results / path).exists()]


class _Runs:
    """The fits and predictions of one cell in one place."""

    def __init__(self, folder: Path):
        fits = read_run(folder).fits
        self.keys = list(dict.fromkeys(_keys(fits)))
        self._fits = dict(list(fits[[*RUN, "fold", "status"]].groupby(RUN)))
        self._predictions = dict(list(schemas.read("predictions", folder / "predictions.parquet").groupby(RUN)))

    def same(self, other: _Runs, key: tuple[int, str]) -> bool:
        """Whether the run is the same elsewhere; fits that failed have no predictions."""
        if not _same(self._fits[key], other._fits[key]):
            return False
        mine, theirs = self._predictions.get(key), other._predictions.get(key)
        return mine is theirs if mine is None or theirs is None else _same(mine, theirs)


def _checked(sources: Sequence[Path], out: Path, settings: MergeSettings) -> list[Path]:
    """The sources, the preferred one first; raises `UserError` if they or `out` cannot be used."""
    if out.exists():
        raise UserError(f"{out}: it is there already. Name a folder that is not.")
    resolved = [source.resolve() for source in sources]
    for source, place in zip(sources, resolved, strict=True):
        if not (source / "runs").is_dir():
            raise UserError(f"{source}: no results folder, for it has no folder `runs`. Name one as `A/results`.")
        if resolved.count(place) > 1:
            raise UserError(f"{source}: it is named twice. Name it once.")
        if out.resolve().is_relative_to(place):
            raise UserError(f"{out}: it lies in {source}, which must stay as it is. Name another place.")
        for file in Found(source).tables:
            schemas.marks(file)
    if settings.prefer is None:
        return list(sources)
    if settings.prefer.resolve() not in resolved:
        raise UserError(f"--prefer {settings.prefer}: it is none of the folders. They are {_list(map(str, sources))}.")
    first = resolved.index(settings.prefer.resolve())
    return [sources[first], *sources[:first], *sources[first + 1 :]]


def _models(files: Sequence[Path]) -> pd.DataFrame:
    """Table "models" of several: what any of them says of a model's pretraining, and its twins among all models."""
    rows: dict[str, dict[str, Any]] = {}
    origins: dict[str, Path] = {}
    for file in files:
        for found in schemas.read("models", file).to_dict("records"):
            row = {str(key): value for key, value in found.items()}
            name = row["model"]
            known = rows.setdefault(name, row)
            first = origins.setdefault(name, file)
            if known["content"] != row["content"]:
                raise UserError(f"{first} and {file}: model {name!r} is different weights under one name. {LEAVE_OUT}")
            lists = ("same_as", "corpora", "learnt", "checkable", "suspected")
            known.update({key: list(dict.fromkeys([*known[key], *row[key]])) for key in lists})
    for name, row in rows.items():
        twins = [other for other, about_it in rows.items() if about_it["content"] == row["content"] and other != name]
        row["same_as"] = list(dict.fromkeys([*row["same_as"], *twins]))
    return pd.DataFrame(rows.values()) if rows else schemas.empty("models")


def _merged(files: Sequence[Path]) -> dict[str, list[str]]:
    """What a merged table is marked as made by: the configurations of those that it was made of."""
    return {"merged": [schemas.marks(file)["roftmol.configuration"] for file in files]}


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables have the same rows, to the last bit."""
    return len(one) == len(other) and all(_plain(one[name]).equals(_plain(other[name])) for name in one.columns)


def _plain(column: pd.Series) -> pd.Series:
    """A column without its index, lists as bytes, which are equal where NaN meets NaN."""
    lists = len(column) > 0 and isinstance(column.iloc[0], np.ndarray)
    return pd.Series([value.tobytes() for value in column] if lists else column.to_numpy())


def _of_seed(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    return frame[frame["seed"] == seed]


def _keys(frame: pd.DataFrame) -> list[tuple[int, str]]:
    return list(zip(frame["seed"].tolist(), frame["setting"].tolist(), strict=True))


def _concat(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _list(names: Any) -> str:
    return ", ".join(sorted(names))
