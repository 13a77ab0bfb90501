"""Recompute what a results folder says of itself, from its stored predictions and labels, and tell what differs.

Of every cell in the tables: scores, selection, audit, WiSE-FT's path and the summary are computed anew; what the tables
repeat of runs and datasets is compared with these. Every run's predictions must cover its split's molecules. Finished
fits, graphs, descriptors, vectors, source files and weights must have the digests that were recorded, graphs the labels
of their molecules, and splits no molecule twice. Landscapes, diagnostics and statistics are not computed anew. One
run's predictions are held at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from roftmol.core import tensor_file
from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.core.paths import MODELS, Found
from roftmol.core.weights_digest import content_digest
from roftmol.evaluation import contamination, leaderboard
from roftmol.evaluation.aggregate import DATA_TABLES, PARTITIONS, Data, Run, data_of, read_run, summarise, tables_of
from roftmol.scoring.selection import RULES
from roftmol.tables import schemas

CELL = list(schemas.CELL)
#: The largest relative difference of two numbers that are the same.
TOLERANCE = 1e-12
#: The tables that a run has rows of.
RUN_TABLES = (
    *("scores", "selected", "predictions", "alphas", "coefficients"),
    *("loss_weights", "changes", "curves", "timings"),
)
#: Those of them that results have which were put together before there were panels.
EARLIER = frozenset(RUN_TABLES) - {"loss_weights"}
#: With that of leaderboards, which has rows of their split alone and is later too.
ALL_TABLES = (*RUN_TABLES, "leaderboard")
#: The tables whose rows are counted by themselves.
COUNTED = ("scores", "predictions", "molecules")

Mask = NDArray[np.bool_]
#: The molecules that predictions must cover, by seed and partition; and the folds, by seed.
Covered = tuple[Mapping[Any, list[int]], Mapping[Any, list[int]]]


@dataclass(frozen=True)
class Difference:
    """A stored value that is not the value found when recomputing: in which file, of which cell, seed and so on."""

    file: Path
    where: str
    what: str
    stored: object
    found: object

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.what}: stored {self.stored}, found {self.found}"


@dataclass
class Verification:
    """How many things of each kind were verified, and what differs."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        looked = ", ".join(f"{kind} {count:,}" for kind, count in self.counts.items() if count)
        end = (
            f"differences {len(self.differences):,}"
            if self.differences
            else f"all agree within {TOLERANCE:g}, relative"
        )
        return f"{looked}: {end}"


def verify(results: Path) -> Verification:
    """Verify a results folder, and the recommendations in it.

    Raises `UserError` if there is nothing to verify, or a file cannot be read or is of another version.
    """
    files = Found(results)
    seen = Verification()
    folders = [folder for folder in (results, *files.recommendations) if (folder / "tables").is_dir()]
    if not files.runs or not folders:
        raise UserError(f"{results}: no results folder, for it lacks runs or tables. Name one as `A/results`.")
    aggregated = [file for folder in folders for file in sorted((folder / "tables").glob("*.parquet"))]
    for file in [*files.tables, *(file for file in aggregated if file.stem in schemas.TABLES)]:
        schemas.marks(file)
        seen.counts["tables"] += 1
    data = {folder.name: _data(folder) for folder in files.data}
    stored = [_Stored(folder, results, seen) for folder in folders]
    covered: Callable[[Path], Covered] = lru_cache(1)(_covered)  # methods of a condition share a split
    for path in files.runs:
        run = read_run(path)
        seen.counts["runs"] += 1
        seen.differences += [*_coverage(run, covered(files.split_of(run.cell))), *_parts(run, seen)]
        in_tables = [tables.compare(run, data) for tables in stored]
        seen.counts["runs in no table"] += not any(in_tables)  # of an earlier configuration, or left out
    for tables in stored:
        tables.finish(files)
    seen.differences += [*_sources(files, seen), *_arrays(files, seen), *_splits(files, data, seen)]
    return seen


class _Stored:
    """The tables of one folder, with which runs are compared one after the other."""

    def __init__(self, folder: Path, results: Path, seen: Verification):
        self.tables, self.models, self.seen = folder / "tables", folder / MODELS, seen
        self.audit = contamination.read_folder(results, self.models) if self.models.exists() else contamination.Audit()
        self.waiting = _cells(self._read("timings", CELL))
        rules = self._read("selected", [*CELL, "rule"]).drop_duplicates(CELL)
        self.rules = dict(zip(_cells(rules), rules["rule"], strict=True))
        there = [name for name in ALL_TABLES if name in EARLIER or self._file(name).exists()]
        keys = dict.fromkeys(there, CELL) | {name: ["dataset"] for name in DATA_TABLES}
        self.indexed = {name: schemas.Indexed(name, self._file(name), key) for name, key in keys.items()}
        self.rows: Counter[str] = Counter()
        self.selected, self.timings = [schemas.empty("selected")], [schemas.empty("timings")]

    def compare(self, run: Run, data: dict[str, Data]) -> bool:
        """Compare a run's tables with what is stored of its cell; return whether anything is."""
        cell = tuple(run.cell.values())
        if cell not in self.waiting:
            return False
        del self.waiting[cell]
        if run.cell["dataset"] not in data:
            raise UserError(f"{run.path}: there is no folder data/{run.cell['dataset']} with its labels.")
        rule = self.rules.get(cell, "")
        # An unknown rule is a difference in its column, like any other.
        made = tables_of(run, data[run.cell["dataset"]], rule if rule in RULES else "validation")
        verdicts = self.audit.verdicts(run.cell, run.fits["seed"].unique().tolist())
        made["selected"] = made["selected"].merge(verdicts, on="seed", validate="one_to_one")
        for name in ALL_TABLES:
            here = self._rows(name, run.cell)
            self.rows[name] += len(here)
            found = schemas.table(name, made[name]) if name in made else schemas.schema(name).empty_table()
            self._differ(name, "/".join(cell), here, found)
        self.selected.append(made["selected"])
        self.timings.append(made["timings"])
        return True

    def finish(self, files: Found) -> None:
        """Compare what belongs to no single run: rows of no run, the summary, the datasets, the encoders' weights."""
        for cell in self.waiting:
            self._differs("timings", "/".join(cell), "runs", "fits", "no run folder")
        for name in ALL_TABLES:
            rows = pq.read_metadata(self._file(name)).num_rows if name in self.indexed else 0
            if rows != self.rows[name] and not self.waiting:
                self._differs(name, "all cells", "rows", rows, self.rows[name])
        if not self.waiting:
            summary = summarise(*(pd.concat(frames[1:] or frames) for frames in (self.selected, self.timings)))
            self._summary(summary)
        folders = {folder.name: folder for folder in files.data}
        for dataset in self._read("tasks", ["dataset"])["dataset"].unique().tolist():
            if dataset not in folders:
                self._differs("tasks", dataset, "dataset", "labels", "no folder of data")
                continue
            self.seen.counts["datasets"] += 1
            for name in DATA_TABLES:
                made = schemas.table(name, schemas.read(name, folders[dataset] / f"{name}.parquet"))
                self._differ(name, dataset, self._rows(name, {"dataset": dataset}), made)
        if self.models.exists():
            self._weights(files)

    def _summary(self, made: pd.DataFrame) -> None:
        # Runs are read in the order of their folders; the stored table has its cells in the order of budgets.
        row_of = {cell: row for row, cell in enumerate(_cells(made))}
        stored = self._read("summary")
        order = [row_of[cell] for cell in _cells(stored) if cell in row_of]
        found = made.iloc[order] if len(order) == len(made) else made
        self._differ("summary", "", *(schemas.table("summary", frame) for frame in (stored, found)))
        csv = self.tables / "summary.csv"
        if csv.exists() and csv.read_text(encoding="utf-8") != stored.to_csv(index=False):
            self.seen.differences.append(Difference(csv, "all cells", "text", "other numbers", "summary.parquet's"))

    def _weights(self, files: Found) -> None:
        models = schemas.read("models", self.models)
        content = dict(zip(models["model"], models["content"], strict=True))
        for file in files.checkpoints:
            if (stored := content.get(file.stem)) is not None and not tensor_file.fault(file):
                self.seen.counts["checkpoints"] += 1
                if (digest := content_digest(file)) != stored:
                    self.seen.differences.append(Difference(file, file.stem, "digest of the weights", stored, digest))

    def _differ(self, name: str, where: str, stored: pa.Table, found: pa.Table) -> None:
        self.seen.counts[name if name in COUNTED else "other rows"] += len(stored)
        self.seen.differences += _differences(name, self._file(name), where, stored, found)

    def _differs(self, name: str, where: str, what: str, stored: object, found: object) -> None:
        self.seen.differences.append(Difference(self._file(name), where, what, stored, found))

    def _read(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        return schemas.read(name, self._file(name), columns)

    def _rows(self, name: str, where: dict[str, str]) -> pa.Table:
        if name not in self.indexed:
            return schemas.schema(name).empty_table()
        return self.indexed[name].read(where, list(schemas.TABLES[name].columns))

    def _file(self, name: str) -> Path:
        return self.tables / f"{name}.parquet"


def _differences(name: str, file: Path, where: str, stored: pa.Table, found: pa.Table) -> Iterator[Difference]:
    """Yield the values of table `name` in two versions of the same rows, in the same order, that are not the same."""
    if len(stored) != len(found):
        yield Difference(file, where or "all cells", "rows", len(stored), len(found))
        return
    # Most columns are the same to the bit; frames are made for the others alone, which costs more than comparing.
    apart = [column for column in found.column_names if not stored[column].equals(found[column])]
    if apart:
        yield from _values(name, file, where, apart, stored.to_pandas(), found.to_pandas())


def _values(
    name: str, file: Path, where: str, columns: list[str], stored: pd.DataFrame, found: pd.DataFrame
) -> Iterator[Difference]:
    """Yield the values of these columns that are not the same."""
    # The parts of the key that `where` does not name; "row", the row of the source, helps though it is not in the key.
    key = [part for part in ("row", *schemas.TABLES[name].key) if part not in CELL and part in found.columns]
    for column in columns:
        for row in np.flatnonzero(_unequal(stored[column], found[column])):
            at = found.iloc[row]
            names = [f"{part} {at[part]}" for part in dict.fromkeys(key) if part != column]
            cell = where or "/".join(at[CELL])
            values = (frame[column].iloc[row] for frame in (stored, found))
            yield Difference(file, ", ".join([cell, *names]), column, *map(_shown, values))


def _unequal(stored: pd.Series, found: pd.Series) -> Mask:
    """Return which values differ: numbers by more than the tolerance, NaN from everything but NaN."""
    if len(found) and isinstance(found.iloc[0], np.ndarray):
        lengths = [values.map(len).to_numpy() for values in (stored, found)]
        if (lengths[0] != lengths[1]).any():
            return np.asarray(lengths[0] != lengths[1])
        flat = [np.concatenate(values.tolist()) for values in (stored, found)]
        wrong = np.zeros(len(found), np.bool_)
        wrong[np.repeat(np.arange(len(found)), lengths[0])[_apart(*flat)]] = True
        return wrong
    if pd.api.types.is_float_dtype(found.dtype):
        return _apart(stored.to_numpy(np.float64), found.to_numpy(np.float64))
    both = stored.isna().to_numpy() & found.isna().to_numpy()
    return np.asarray(~both & (stored.astype(object).to_numpy() != found.astype(object).to_numpy()))


def _apart(a: NDArray[np.floating], b: NDArray[np.floating]) -> Mask:
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= TOLERANCE * np.maximum(np.abs(a), np.abs(b))
    return ~(near | (a == b) | (np.isnan(a) & np.isnan(b)))


def _shown(value: Any) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value.item() if isinstance(value, np.generic) else value


def _covered(file: Path) -> Covered:
    split = schemas.read("splits", file)
    held = split[split["role"].isin(PARTITIONS)]
    molecules = {key: sorted(set(rows)) for key, rows in held.groupby(["seed", "role"])["molecule"]}
    return molecules, {seed: sorted(set(rows)) for seed, rows in split.groupby("seed")["fold"]}


def _coverage(run: Run, covered: Covered) -> Iterator[Difference]:
    """Yield a difference where a run's fits are not of its split's folds, or predictions not of its molecules."""
    expected, folds = covered
    where = "/".join(run.cell.values())
    file = run.path / "predictions.parquet"
    rows = schemas.read("predictions", file, ["seed", "setting", "partition", "molecule"])
    predicted = {key: sorted(part["molecule"]) for key, part in rows.groupby(["seed", "setting", "partition"])}
    for (seed, setting), fits in run.fits.groupby(["seed", "setting"], sort=False):
        at = f"{where}, seed {seed}, setting {setting}"
        if sorted(fits["fold"]) != folds.get(seed, []):
            yield Difference(run.path / "fits.parquet", at, "folds", sorted(fits["fold"]), folds.get(seed, []))
        if (fits["status"] == "ok").all():
            for partition in PARTITIONS:
                stored, found = predicted.get((seed, setting, partition), []), expected.get((seed, partition), [])
                if stored != found:
                    others = len(set(stored) ^ set(found))
                    what = f"{partition} molecules" + (f", {others} of them others" if others else "")
                    yield Difference(file, at, what, len(stored), f"{len(found)} in the split")


def _parts(run: Run, seen: Verification) -> Iterator[Difference]:
    """Yield a difference for each finished fit of a run that is missing or cannot be read."""
    names = run.fits.loc[run.fits["part"] != "", ["part", "seed"]]
    folder = run.path / "parts"
    if len(names) and not folder.is_dir():
        seen.counts["runs without parts"] += 1
        return
    for name, seed in zip(names["part"], names["seed"], strict=True):
        seen.counts["parts"] += 1
        if reason := tensor_file.fault(folder / name):
            where = f"{'/'.join(run.cell.values())}, seed {seed}"
            yield Difference(folder / name, where, "finished fit", "there", f"cannot be read ({reason})")


def _arrays(files: Found, seen: Verification) -> Iterator[Difference]:
    """Yield a difference for each file of graphs, descriptors, vectors or weights that is not as it was written."""
    for file in files.arrays:
        seen.counts["files of arrays"] += 1
        where = file.parent.name if file.parent.name != "graphs" else file.parent.parent.name
        if reason := tensor_file.fault(file):
            yield Difference(file, where, "arrays", "there", f"cannot be read ({reason})")
        elif file.parent.name == "graphs":
            yield from _labels_of(file, where)


def _labels_of(file: Path, dataset: str) -> Iterator[Difference]:
    """Yield a difference where graphs are not of the molecules beside them: by their number and labels."""
    stored = schemas.read("molecules", file.parents[1] / "molecules.parquet", ["labels"])["labels"]
    expected = np.array(stored.tolist(), np.float32).reshape(len(stored), -1)
    with tensor_file.opened(file, "not a file of molecular graphs", schemas.ANEW) as arrays:
        labels = arrays.tensor("labels")
        molecules = len(arrays.tensor("offsets")) - 1
    if molecules != len(expected):
        yield Difference(file, dataset, "molecules", len(expected), molecules)
    elif labels.shape != expected.shape or not np.array_equal(labels, expected, equal_nan=True):
        yield Difference(file, dataset, "labels", "those of molecules.parquet", "others")


def _splits(files: Found, data: Mapping[str, Data], seen: Verification) -> Iterator[Difference]:
    """Yield a difference for each split that names a molecule that is not there, or one twice in a fold."""
    for file in files.split_files:
        seen.counts["splits"] += 1
        split = schemas.read("splits", file)
        where = "/".join(file.relative_to(files.results).with_suffix("").parts[1:])
        if (twice := split.duplicated(["seed", "fold", "molecule"])).any():
            at = split[twice].iloc[0]
            yield Difference(file, f"{where}, seed {at['seed']}, fold {at['fold']}", "roles of a molecule", 1, 2)
        dataset = file.parent.name
        molecules = len(data[dataset].labels) if dataset in data else 0
        if len(split) and not split["molecule"].between(0, molecules - 1).all():
            yield Difference(file, where, "molecules", molecules, f"number {split['molecule'].max()}")


def _sources(files: Found, seen: Verification) -> Iterator[Difference]:
    """Yield a difference for each source file that is not the one that the molecules were read from."""
    for folder in files.data:
        stored = schemas.marks(folder / "molecules.parquet").get("roftmol.source")
        if stored and (folder / "source").exists():
            seen.counts["source files"] += 1
            if (digest := sha256(folder / "source")) != stored:
                yield Difference(folder / "source", folder.name, "SHA-256", stored, digest)


def _data(folder: Path) -> Data:
    tables = {name: schemas.read(name, folder / f"{name}.parquet") for name in DATA_TABLES}
    return data_of(tables, leaderboard.metrics(), folder)


def _cells(frame: pd.DataFrame) -> dict[tuple[str, ...], None]:
    """Return the cells in a table, in its order."""
    return dict.fromkeys(frame[CELL].itertuples(index=False, name=None))
