"""Merge results folders of different seeds, methods, encoders or datasets, from one machine or from several.

The stages' files are merged; tables, figures and report are made anew from them, of whatever cells there are. A run is
a cell with a seed and hyperparameters, with all its folds. It is taken once, from the first folder that has it.
Whatever has one name must be the same in all folders, to the last bit: a dataset's molecules, a seed's split, an
encoder's weights, the configuration of a cell's fits, and a run's predictions.
"""

from __future__ import annotations

import os
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
from roftmol.evaluation import atom_embeddings, contamination, leaderboard
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
    """How folders are merged."""

    rule: str = "validation"  #: selects hyperparameters
    prefer: Path | None = None  #: the folder whose fits count if folders differ; None: differing is an error
    parts: bool = True  #: whether finished fits are copied


def merge(sources: Sequence[Path], out: Path, settings: MergeSettings = MergeSettings()) -> None:
    """Write the results folder `out`, with its report, from the folders `sources`, which stay as they are.

    `out` appears as a whole or not at all. Raises `UserError` if it exists, if a source is no results folder or of
    another version, or if two sources have something different under one name.
    """
    _check(sources, out)
    with atomic_folder(out) as folder:
        gather(sources, folder, settings)
        try:
            build(folder, settings.rule, len(sources))
        except UserError as error:
            raise UserError(str(error).replace(str(folder), str(out))) from error


def gather(sources: Sequence[Path], folder: Path, settings: MergeSettings = MergeSettings()) -> None:
    """Write the stages' files of the `sources` into `folder`, without what is made anew of them."""
    found = [Found(source) for source in _preferred_first(sources, settings.prefer)]
    merging = _Merging(found, folder, settings)
    merging.data()
    merging.splits()
    merging.models()
    for run in merging.union([source.runs for source in found]):
        merging.run(run)
    for panel in merging.union([source.panels for source in found]):
        merging.panel(panel)
    for landscape in merging.union([source.landscapes for source in found]):
        merging.landscape(landscape)


def build(results: Path, rule: str, folders: int = 1) -> None:
    """Make tables, figures and report of whatever lies in `results`, which was merged from so many folders."""
    tabulate(results, rule)
    tables = results / "tables"
    figures.draw(tables, results / "figures")
    report.build(tables, results / "figures", _experiment(tables, folders), results / "report.html")


def tabulate(results: Path, rule: str) -> None:
    """Make the tables of whatever lies in `results`."""
    files = Found(results)
    tables = results / "tables"
    models = results / MODELS
    audit = contamination.read_folder(results, models) if models.exists() else contamination.Audit()
    boards = leaderboard.metrics()
    aggregate(files.runs, files.data, rule, tables, audit, (), files.landscapes, files.exposures, boards)
    diagnose(DiagnosticsSettings(tuple(path.parent.name for path in files.cliffs)), tables, results, tables)
    atom_embeddings.embed(files.runs, tables, tables)
    statistics.build(tables, tables)


def _experiment(tables: Path, folders: int) -> dict[str, Any]:
    """Return what the report shows of the experiment: the names in its tables, and their entries in the registry."""
    runs = schemas.read("timings", tables / "timings.parquet", list(schemas.RUN))
    names = {f"{name}s": sorted(set(runs[name])) for name in CELL}
    names["models"] = [name for name in names["models"] if name not in WITHOUT_ENCODER.values()]
    models = schemas.read("models", tables / "models.parquet")
    registry = catalog.about(catalog.datasets(), catalog.checkpoints(), catalog.corpora())
    in_tables = {**names, "corpora": sorted({corpus for row in models["corpora"] for corpus in row})}
    # A name that is not in the registry is a user's own, of which nothing else is known here.
    entries = {
        key: {name: registry[key].get(name, {}) for name in in_tables[key]} for key in ("datasets", "models", "corpora")
    }
    return {**names, **entries, "seeds": sorted(runs["seed"].unique().tolist()), "merged_folders": folders}


@dataclass(frozen=True)
class _Merging:
    """The folder `out` while it is written; a file that several of the `sources` have comes from the first of them."""

    sources: Sequence[Found]
    out: Path
    settings: MergeSettings

    def union(self, paths: Sequence[list[Path]]) -> list[Path]:
        """Return the paths of all sources, given source by source, as paths inside their folders."""
        inside = set[Path]()
        for source, of_source in zip(self.sources, paths, strict=True):
            inside.update(path.relative_to(source.results) for path in of_source)
        return sorted(inside)

    def data(self) -> None:
        """Copy molecules, graphs, and comparisons with corpora."""
        for path in self.union([[*source.data_files, *source.overlaps] for source in self.sources]):
            owners = self._owners(path)
            if path.suffix == ".parquet":
                name = schemas.marks(owners[0])["roftmol.table"]
                for one, other in combinations(owners, 2):
                    if not _same(schemas.read(name, one), schemas.read(name, other)):
                        what = "molecules of one dataset" if path.parts[0] == "data" else "molecules found in a corpus"
                        raise UserError(f"{one} and {other}: the {what} differ. {LEAVE_OUT}")
            _copy(owners[0], self.out / path)

    def splits(self) -> None:
        """Merge the splits, and what panels have seen of them, each with the seeds of all sources."""
        for path in self.union([source.split_files for source in self.sources]):
            self._by_seed("splits", path, LEAVE_OUT)
        for path in self.union([source.exposures for source in self.sources]):
            self._by_seed("exposure", path, LEAVE_OUT)

    def models(self) -> None:
        """Copy the encoders' weights, and merge table "models"."""
        for path in self.union([source.checkpoints for source in self.sources]):
            owners = self._owners(path)
            for one, other in combinations(owners, 2):
                if content_digest(one) != content_digest(other):
                    raise UserError(f"{one} and {other}: different weights under one name. {LEAVE_OUT}")
            _copy(owners[0], self.out / path)
        if owners := self._owners(MODELS):
            schemas.write("models", _models(owners), self.out / MODELS, _merged(owners))

    def run(self, path: Path) -> None:
        """Merge the runs of one cell: the seeds and hyperparameters of all sources."""
        owners = self._owners(path)
        if len(owners) == 1:
            ignored = shutil.ignore_patterns(".*", *([] if self.settings.parts else ["parts"]))
            shutil.copytree(owners[0], self.out / path, ignore=ignored)
            return
        owners = self._configured_alike(owners)
        taken = self._taken(owners)
        settings = dict.fromkeys(setting for _, setting in taken)
        order = {setting: number for number, setting in enumerate(settings)}
        for name in sorted({file.stem for owner in owners for file in owner.glob("[!.]*.parquet")}):
            files = [file for owner in owners if (file := owner / f"{name}.parquet").exists()]
            frames = [schemas.empty(name)]
            for file in files:
                frame = schemas.read(name, file)
                frames.append(frame[[taken[key] == file.parent for key in _keys(frame)]])
            rows = _concat(frames).assign(order=lambda frame: frame["setting"].map(order))
            rows = rows.sort_values(["seed", "order"], kind="stable").drop(columns="order")
            schemas.write(name, rows, self.out / path / f"{name}.parquet", _merged(files))
        if self.settings.parts:
            for owner in owners:
                for part in owner.glob("parts/[!.]*"):
                    if not (target := self.out / path / "parts" / part.name).exists():
                        _copy(part, target)

    def panel(self, path: Path) -> None:
        """Merge the joint fits of a panel, from which its datasets' runs are, so that they are not trained again.

        The runs themselves are held against each other; here a fit comes from the first source that has it.
        """
        owners = self._owners(path)
        files = [owner / "fits.parquet" for owner in owners]
        rows = _concat([schemas.read("fits", file) for file in files])
        rows = rows.drop_duplicates(list(schemas.TABLES["fits"].key))
        schemas.write("fits", rows, self.out / path / "fits.parquet", _merged(files))
        if self.settings.parts:
            for owner in owners:
                for part in owner.glob("parts/*/[!.]*"):
                    if not (target := self.out / path / part.relative_to(owner)).exists():
                        _copy(part, target)

    def landscape(self, path: Path) -> None:
        """Merge the landscape of one cell: the lines of all seeds, and the plane of the first seed that has one."""
        for name in LANDSCAPES:
            self._by_seed(name, path / f"{name}.parquet", PREFER)

    def _by_seed(self, name: str, path: Path, mend: str) -> None:
        """Merge a table whose rows of one seed must be the same in all sources."""
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
        """Return the folder that each run of a cell is taken from."""
        taken: dict[tuple[int, str], Path] = {}
        runs_of = {owner: _Runs(owner) for owner in owners}
        for owner, runs in runs_of.items():
            for key in runs.keys:
                first = taken.setdefault(key, owner)
                if first != owner and not runs.same(runs_of[first], key):
                    what = f"seed {key[0]}, setting {key[1]}: the predictions differ, or what failed"
                    self._settle(first, owner, what)
        return taken

    def _configured_alike(self, owners: list[Path]) -> list[Path]:
        """Return the folders of a cell whose fits have the same configuration as the first one's."""
        configurations = {owner: set(read_run(owner).fits["configuration"]) - {""} for owner in owners}
        first = configurations[owners[0]]
        for owner in owners[1:]:
            other = configurations[owner]
            if other and first and other != first:
                both = f"configurations {_list(first)} and {_list(other)}"
                self._settle(owners[0], owner, f"one cell with different training, task or metric ({both})")
                del configurations[owner]
        return list(configurations)

    def _settle(self, first: Path, other: Path, what: str) -> None:
        """Raise `UserError`, unless the fits of `first` are preferred."""
        if not self._preferred(first):
            raise UserError(f"{first / 'fits.parquet'} and {other / 'fits.parquet'}: {what}. {PREFER}")

    def _preferred(self, path: Path) -> bool:
        return self.settings.prefer is not None and path.is_relative_to(self.sources[0].results)

    def _owners(self, path: Path) -> list[Path]:
        """Return a path in each source that has it, in the order of the sources."""
        return [file for source in self.sources if (file := source.results / path).exists()]


class _Runs:
    """The fits and predictions of one cell in one source."""

    def __init__(self, folder: Path):
        fits = read_run(folder).fits
        self.keys = list(dict.fromkeys(_keys(fits)))
        self._fits = dict(list(fits[[*RUN, "fold", "status"]].groupby(RUN)))
        self._predictions = dict(list(schemas.read("predictions", folder / "predictions.parquet").groupby(RUN)))

    def same(self, other: _Runs, key: tuple[int, str]) -> bool:
        """Return whether the run is the same in another source; fits that failed have no predictions."""
        if not _same(self._fits[key], other._fits[key]):
            return False
        here, there = self._predictions.get(key), other._predictions.get(key)
        return here is there if here is None or there is None else _same(here, there)


def _check(sources: Sequence[Path], out: Path) -> None:
    """Raise `UserError` if the sources or `out` cannot be used."""
    if out.exists():
        raise UserError(f"{out}: it is there already. Name a folder that is not.")
    resolved = [source.resolve() for source in sources]
    for source, path in zip(sources, resolved, strict=True):
        if not (source / "runs").is_dir():
            raise UserError(f"{source}: no results folder, for it has no folder `runs`. Name one as `A/results`.")
        if resolved.count(path) > 1:
            raise UserError(f"{source}: it is named twice. Name it once.")
        if out.resolve().is_relative_to(path):
            raise UserError(f"{out}: it lies in {source}, which must stay as it is. Name another place.")
        _check_links(source)
        for file in Found(source).tables:
            schemas.marks(file)


def _preferred_first(sources: Sequence[Path], prefer: Path | None) -> list[Path]:
    """Return the sources, the preferred one first; raise `UserError` if it is none of them."""
    if prefer is None:
        return list(sources)
    resolved = [source.resolve() for source in sources]
    if prefer.resolve() not in resolved:
        raise UserError(f"--prefer {prefer}: it is none of the folders. They are {_list(map(str, sources))}.")
    first = resolved.index(prefer.resolve())
    return [sources[first], *sources[:first], *sources[first + 1 :]]


def _check_links(source: Path) -> None:
    """Raise `UserError` for a link that leads out of a results folder: what it leads to is nobody's to copy and share.

    Neither may one lead to a folder, which may be one that holds the link, and without an end. The results folder
    itself may be a link.
    """
    within = source.resolve()
    for folder, folders, files in os.walk(within):
        for name in (*folders, *files):
            path, named = Path(folder, name), source / Path(folder, name).relative_to(within)
            target = Path(os.path.realpath(path))
            if path.is_symlink() and not target.is_relative_to(within):
                raise UserError(
                    f"{named}: a link that leads out of the folder, to {target}. Put a copy in its place, or leave it "
                    "out."
                )
            if path.is_symlink() and path.is_dir():
                raise UserError(f"{named}: a link to the folder {target}. Put a copy in its place, or leave it out.")
            if not path.is_dir() and not path.is_file():
                raise UserError(f"{named}: it is no file. Leave it out.")


def _models(files: Sequence[Path]) -> pd.DataFrame:
    """Merge several tables "models": all that any says of an encoder's pretraining, and its other names in any."""
    merged: dict[str, dict[str, Any]] = {}
    origins: dict[str, Path] = {}
    for file in files:
        for record in schemas.read("models", file).to_dict("records"):
            row = {str(key): value for key, value in record.items()}
            name = row["model"]
            earlier = merged.setdefault(name, row)
            first = origins.setdefault(name, file)
            if earlier["content"] != row["content"]:
                raise UserError(f"{first} and {file}: model {name!r} is different weights under one name. {LEAVE_OUT}")
            for key in ("same_as", "corpora", "learnt", "checkable", "suspected"):
                earlier[key] = list(dict.fromkeys([*earlier[key], *row[key]]))
    for name, row in merged.items():
        same = [other for other, its in merged.items() if its["content"] == row["content"] and other != name]
        row["same_as"] = list(dict.fromkeys([*row["same_as"], *same]))
    return pd.DataFrame(merged.values()) if merged else schemas.empty("models")


def _merged(files: Sequence[Path]) -> dict[str, list[str]]:
    """Return the mark of a merged table: the configurations of the tables that it was made of."""
    return {"merged": [schemas.marks(file)["roftmol.configuration"] for file in files]}


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables have the same rows, to the last bit."""
    return len(one) == len(other) and all(_plain(one[name]).equals(_plain(other[name])) for name in one.columns)


def _plain(column: pd.Series) -> pd.Series:
    """Return a column without its index, with lists as bytes, which are equal even with NaN in them."""
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
