"""The commands: `python -m roftmol STAGE --settings JSON ...`, one a stage, thin.

Each imports its stage when it is called, so that a command needs no more packages than its stage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from roftmol.cli import commands
from roftmol.core.errors import UserError
from roftmol.core.files import atomic
from roftmol.core.paths import Cells
from roftmol.core.records import build


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; bad input ends it with one message and exit status 2, a worker that was killed with 1."""
    # torch's remarks on its own sparse tensors would drown the progress of every job.
    warnings.filterwarnings("ignore", "Sparse ", UserWarning)
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenProcessPool:
        print("error: a worker process was killed: out of memory? Fewer (--cores) take less memory.", file=sys.stderr)
        raise SystemExit(1) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="roftmol", description="Bundles put to use, and the stages of the workflow.")
    stages = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_commands(stages)
    for name, command in COMMANDS.items():
        stage = stages.add_parser(name, help=command.run.__doc__, description=command.run.__doc__)
        stage.set_defaults(run=command.run)
        if command.settings:
            stage.add_argument("--settings", type=_json, required=True, metavar="JSON", help="the stage's settings")
        for path in (*command.paths, *command.optional):
            stage.add_argument(f"--{path}", type=Path, required=path in command.paths, metavar="PATH")
        if command.processes:
            stage.add_argument("--processes", type=int, default=1, metavar="N", help="worker processes")
    return parser


def _json(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--settings: {text!r} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"--settings: expected a JSON object, found {text!r}")
    return value


@dataclass(frozen=True)
class FetchSettings:
    """A name for messages, and the sources as the registry writes them."""

    name: str
    sources: tuple[dict[str, Any], ...]


def fetch_data(options: argparse.Namespace) -> None:
    """Bring a file from the first of its sources that works, and verify it."""
    from roftmol.data.download import fetch
    from roftmol.registry.catalog import Source

    settings = build(FetchSettings, options.settings)
    sources = [Source.from_dict(source, settings.name) for source in settings.sources]
    used = fetch(sources, options.out, mirror=_mirror(), name=settings.name, archives=options.archives)
    print(f"{settings.name}: from {used}", file=sys.stderr)


@dataclass(frozen=True)
class MoleculesSettings:
    """A data set as the registry writes it, and the largest share of its records that may be dropped."""

    dataset: dict[str, Any]
    max_rejected: float


def molecules(options: argparse.Namespace) -> None:
    """Read a data set's molecules and list what is rejected."""
    from roftmol.data import molecules as stage
    from roftmol.registry.catalog import Dataset
    from roftmol.tables import schemas

    settings = build(MoleculesSettings, options.settings)
    dataset = Dataset.from_dict(settings.dataset)
    kept, rejects, tasks = stage.read(
        options.source, dataset, max_rejected=settings.max_rejected, processes=options.processes
    )
    for name, table in {"molecules": kept, "rejects": rejects, "tasks": tasks}.items():
        schemas.write(name, table, options.out / f"{name}.parquet", options.settings, options.source)
    print(f"{dataset.name}: {len(kept)} molecules kept, {len(rejects)} remarks on records", file=sys.stderr)


@dataclass(frozen=True)
class DatasetSettings:
    """A data set as the registry writes it."""

    dataset: dict[str, Any]


def conformers(options: argparse.Namespace) -> None:
    """Read where the atoms of a data set's molecules are."""
    from roftmol.data import conformers as stage
    from roftmol.registry.catalog import Dataset
    from roftmol.tables import schemas

    dataset = Dataset.from_dict(build(DatasetSettings, options.settings).dataset)
    found = stage.read(options.source, schemas.read("molecules", options.molecules), dataset)
    schemas.write("conformers", found, options.out, options.settings, options.source)
    print(f"{dataset.name}: {len(found)} geometries", file=sys.stderr)


@dataclass(frozen=True)
class FeaturizeSettings:
    """What turns molecules into graphs: a name in `featurisers`, or the path of a user's own code."""

    featuriser: str


def featurize(options: argparse.Namespace) -> None:
    """Turn a data set's molecules into the graphs that an encoder reads."""
    from roftmol.features import graphs
    from roftmol.tables import schemas

    settings = build(FeaturizeSettings, options.settings)
    table = schemas.read("molecules", options.molecules)
    if options.conformers:
        graphs.in_space(table, schemas.read("conformers", options.conformers)).save(options.out)
    else:
        graphs.featurize(table, settings.featuriser, options.processes).save(options.out)


def split(options: argparse.Namespace) -> None:
    """Say which molecule is train, validation or test, for every seed."""
    from roftmol.data import splits
    from roftmol.tables import schemas

    settings = build(splits.SplitSettings, options.settings)
    assigned = splits.assign(schemas.read("molecules", options.molecules), settings)
    # What is not limited is not told, so that the table is marked as it was before there was a limit.
    told = {key: value for key, value in asdict(settings).items() if value is not None}
    schemas.write("splits", assigned, options.out, told)


def fetch_checkpoint(options: argparse.Namespace) -> None:
    """Bring a pretrained encoder's weights, check every name and shape, and store them under our names."""
    from roftmol.data.download import fetch
    from roftmol.encoders.checkpoints import convert, draw
    from roftmol.registry.catalog import Checkpoint

    checkpoint = Checkpoint.from_dict(options.settings)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.out.parent, prefix=".fetch-") as scratch:
        raw = Path(scratch) / "raw"
        if checkpoint.sources:
            used = fetch(checkpoint.sources, raw, mirror=_mirror(), name=checkpoint.name, archives=options.archives)
            print(f"{checkpoint.name}: from {used}", file=sys.stderr)
        else:
            draw(checkpoint.architecture, raw)
        convert(
            raw,
            checkpoint.architecture,
            options.out,
            name=checkpoint.name,
            vocabulary=checkpoint.vocabulary,
            drop=checkpoint.drop,
        )


def corpus(options: argparse.Namespace) -> None:
    """Bring the files of a pretraining corpus and read their molecules."""
    from roftmol.data import corpora
    from roftmol.data.download import fetch
    from roftmol.registry.catalog import Corpus
    from roftmol.tables import schemas

    entry = Corpus.from_dict(options.settings)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.out.parent, prefix=".fetch-") as scratch:
        paths = [Path(scratch) / str(number) for number in range(len(entry.files))]
        for path, sources in zip(paths, entry.files, strict=True):
            used = fetch(sources, path, mirror=_mirror(), name=entry.name, archives=options.archives)
            print(f"{entry.name}: from {used}", file=sys.stderr)
        schemas.write("corpora", corpora.read(paths, entry, options.processes), options.out, options.settings)


def force_labels(options: argparse.Namespace) -> None:
    """Label a corpus' molecules that are in no data set with forces; a killed run goes on from --parts."""
    from roftmol.data import force_labels
    from roftmol.tables import schemas

    settings = build(force_labels.StageSettings, options.settings)
    known = [schemas.read("molecules", options.data / name / "molecules.parquet") for name in settings.datasets]
    labels = force_labels.label(
        schemas.read("corpora", options.corpus, ["row", "canonical"]), known, settings, options.parts, options.processes
    )
    schemas.write("force_labels", labels, options.out, settings)


@dataclass(frozen=True)
class NativeSettings:
    """The data sets whose molecules are not to be learnt from."""

    datasets: tuple[str, ...]


def native_labels(options: argparse.Namespace) -> None:
    """Read energies and forces of a user's own file, and mark what is in a data set."""
    from roftmol.data import force_labels
    from roftmol.tables import schemas

    settings = build(NativeSettings, options.settings)
    known = [schemas.read("molecules", options.data / name / "molecules.parquet") for name in settings.datasets]
    labels = force_labels.native(options.source, known, options.processes)
    schemas.write("force_labels", labels, options.out, settings, options.source)


@dataclass(frozen=True)
class PretrainingSetSettings:
    """The label columns of each corpus, in their order, and the properties to calculate."""

    labels: dict[str, list[str]]
    computed: dict[str, list[str]]
    per_atom: tuple[str, ...]


def pretraining_set(options: argparse.Namespace) -> None:
    """Put corpora together and label them: what one recipe is pretrained on."""
    import pandas as pd

    from roftmol.data import corpora
    from roftmol.tables import schemas

    settings = build(PretrainingSetSettings, options.settings)
    tables = {name: schemas.read("corpora", options.corpora / f"{name}.parquet") for name in settings.labels}
    smiles, labels, tasks = corpora.with_labels(
        tables, settings.labels, settings.computed, settings.per_atom, options.processes
    )
    table = pd.DataFrame({"smiles": smiles, "labels": list(labels)})
    schemas.write("pretraining", table, options.out, settings)
    print(f"{len(smiles):,} molecules; tasks: {', '.join(tasks) or 'none'}", file=sys.stderr)


@dataclass(frozen=True)
class Recipe:
    """An entry of `registry/yaml/pretraining.yaml` without its data."""

    objective: str
    training: dict[str, Any]
    objective_settings: dict[str, Any] = field(default_factory=dict)


def pretrain(options: argparse.Namespace) -> None:
    """Pretrain an encoder on a table of molecules; a killed run goes on from --state."""
    import numpy as np

    from roftmol.tables import schemas
    from roftmol.training.pretraining import RECIPES, PretrainSettings
    from roftmol.training.pretraining import pretrain as run

    recipe = build(Recipe, options.settings)
    if recipe.objective not in RECIPES:
        raise UserError(f"objective: {recipe.objective!r} is not known. Allowed: {', '.join(RECIPES)}")
    objective = build(RECIPES[recipe.objective], recipe.objective_settings)
    training = build(PretrainSettings, recipe.training)
    table = schemas.read("pretraining", options.molecules)
    labels = np.array(table["labels"].tolist(), np.float32).reshape(len(table), -1)
    curve = run(objective, training, table["smiles"].tolist(), labels, options.state, options.out, options.processes)
    with atomic(options.curve) as temporary:
        temporary.write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class AuxiliarySettings:
    """Which corpus, how many of its molecules, and the data sets whose molecules are left out."""

    corpus: str
    molecules: int
    datasets: tuple[str, ...]


def auxiliary_molecules(options: argparse.Namespace) -> None:
    """Take molecules of a corpus that are in none of the data sets: what a second task learns from."""
    from roftmol.data import corpora
    from roftmol.tables import schemas

    settings = build(AuxiliarySettings, options.settings)
    tables = [schemas.read("molecules", options.data / name / "molecules.parquet") for name in settings.datasets]
    found = corpora.others(schemas.read("corpora", options.corpus), tables, settings.molecules)
    schemas.write("pretraining", found, options.out, settings)


def finetune(options: argparse.Namespace) -> None:
    """Train one method in one cell: every seed and setting that is not finished yet."""
    from roftmol.training import jobs

    settings = build(jobs.RunSettings, options.settings)
    jobs.finetune(settings, options.data, options.splits, options.checkpoint, options.out, options.auxiliary)


def interpolate(options: argparse.Namespace) -> None:
    """Mix pretrained and fine-tuned weights in one cell, from the runs of full fine-tuning."""
    from roftmol.training import jobs

    settings = build(jobs.RunSettings, options.settings)
    paths = (options.data, options.splits, options.checkpoint, options.source, options.out)
    jobs.interpolate(settings, *paths, options.auxiliary)


def landscape(options: argparse.Namespace) -> None:
    """Measure the loss around one cell's fine-tuned encoders: along a line and over a plane of weights."""
    from roftmol.training import landscape as stage

    settings = build(stage.LandscapeSettings, options.settings)
    stage.landscape(settings, options.data, options.splits, options.checkpoint, options.runs, options.out)


def baseline(options: argparse.Namespace) -> None:
    """Fit a reference without an encoder in one cell."""
    from roftmol.training import references

    settings = build(references.BaselineSettings, options.settings)
    references.run(settings, options.data, options.splits, options.out)


def provenance(options: argparse.Namespace) -> None:
    """Say of every model what it was pretrained on, and which others it is, by its weights and by checksum."""
    from roftmol.evaluation import provenance as stage
    from roftmol.tables import schemas

    settings = build(stage.ProvenanceSettings, options.settings)
    schemas.write("models", stage.table(settings, options.checkpoints), options.out, settings)


def overlap(options: argparse.Namespace) -> None:
    """List a data set's molecules that are in a pretraining corpus."""
    from roftmol.data import overlap as stage
    from roftmol.tables import schemas

    schemas.write("hits", stage.find(options.molecules, options.corpus), options.out)


def cliffs(options: argparse.Namespace) -> None:
    """Say which of a data set's molecules are in an activity cliff."""
    from roftmol.data import activity_cliffs as stage
    from roftmol.registry.catalog import Dataset
    from roftmol.tables import schemas

    dataset = Dataset.from_dict(build(DatasetSettings, options.settings).dataset)
    found = stage.find(options.source, schemas.read("molecules", options.molecules), dataset)
    schemas.write("cliff_molecules", found, options.out, options.settings)
    print(f"{dataset.name}: {found['cliff'].sum()} of {len(found)} molecules are in an activity cliff", file=sys.stderr)


@dataclass(frozen=True)
class AggregateSettings:
    """Which cells, the rule that selects a setting, the kinds of contamination whose cells are left out, and more.

    `landscape` says whether the cells' landscapes were measured.
    """

    cells: Cells
    rule: str
    leave_out: tuple[str, ...] = ()
    landscape: bool = False


def aggregate(options: argparse.Namespace) -> None:
    """Put the runs of all cells together: scores, selection, summary, and what pretraining has seen of test sets."""
    from roftmol.evaluation import aggregate as stage
    from roftmol.evaluation import contamination

    settings = build(AggregateSettings, options.settings)
    runs, data = settings.cells.runs(options.results), settings.cells.data(options.results)
    audit = contamination.read(settings.cells, options.results, options.models)
    landscapes = settings.cells.landscapes(options.results) if settings.landscape else []
    stage.aggregate(runs, data, settings.rule, options.out, audit, settings.leave_out, landscapes)


def diagnostics(options: argparse.Namespace) -> None:
    """Look behind the mean score: shift, activity cliffs, calibration, similarity to the training molecules."""
    from roftmol.evaluation.diagnostics import stage

    settings = build(stage.DiagnosticsSettings, options.settings)
    stage.diagnose(settings, options.tables, options.results, options.out)


def embeddings(options: argparse.Namespace) -> None:
    """Put atoms' vectors before and after each fit on a plane, by t-SNE."""
    from roftmol.evaluation import atom_embeddings as stage

    settings = build(stage.EmbeddingsSettings, options.settings)
    runs = settings.cells.runs(options.results) if settings.pictures else []
    stage.embed(runs, options.tables, options.out, settings)


def statistics(options: argparse.Namespace) -> None:
    """Say what differs, by how much and how surely: comparisons, mean ranks, pairs."""
    from roftmol.statistics import stage

    stage.build(options.tables, options.out)


def plot(options: argparse.Namespace) -> None:
    """Draw the figures from the tables."""
    from roftmol import figures

    figures.draw(options.tables, options.out)


def report(options: argparse.Namespace) -> None:
    """Write the report: one page, from tables and figures."""
    from roftmol import report as stage

    stage.build(options.tables, options.figures, dict(options.settings), options.out, options.recommendation)


def verdict(options: argparse.Namespace) -> None:
    """Rank the methods on a user's own data set and say which to take."""
    from roftmol.deploy import verdict

    settings = build(verdict.VerdictSettings, options.settings)
    verdict.decide(settings, options.tables, options.out)


def refit(options: argparse.Namespace) -> None:
    """Fit the method that was recommended on all labels, and write it as a bundle."""
    from roftmol.deploy import refit as stage

    settings = build(stage.RefitSettings, options.settings)
    stage.refit(settings, options.molecules, options.tables, options.verdict, options.checkpoints, options.out)


def recommendation(options: argparse.Namespace) -> None:
    """Write the page of a recommendation."""
    import roftmol.report.recommendation as stage

    stage.build(options.tables, options.verdict, options.bundle, dict(options.settings), options.out)


def _mirror() -> Path | None:
    folder = os.environ.get("ROFTMOL_MIRROR")
    return Path(folder) if folder else None


@dataclass(frozen=True)
class Command:
    """A stage and what it is called with: paths, settings or none, a number of processes or none."""

    run: Callable[[argparse.Namespace], None]
    paths: tuple[str, ...]
    optional: tuple[str, ...] = ()  #: paths that can be left out
    settings: bool = True
    processes: bool = False


#: Every command, in the order of the data's flow.
COMMANDS = {
    "fetch-data": Command(fetch_data, ("archives", "out")),
    "molecules": Command(molecules, ("source", "out"), processes=True),
    "conformers": Command(conformers, ("source", "molecules", "out")),
    "featurize": Command(featurize, ("molecules", "out"), ("conformers",), processes=True),
    "split": Command(split, ("molecules", "out")),
    "fetch-checkpoint": Command(fetch_checkpoint, ("archives", "out")),
    "corpus": Command(corpus, ("archives", "out"), processes=True),
    "force-labels": Command(force_labels, ("corpus", "data", "parts", "out"), processes=True),
    "native-labels": Command(native_labels, ("source", "data", "out"), processes=True),
    "pretraining-set": Command(pretraining_set, ("corpora", "out"), processes=True),
    "pretrain": Command(pretrain, ("molecules", "state", "curve", "out"), processes=True),
    "auxiliary-molecules": Command(auxiliary_molecules, ("corpus", "data", "out")),
    "finetune": Command(finetune, ("data", "splits", "checkpoint", "out"), ("auxiliary",)),
    "interpolate": Command(interpolate, ("data", "splits", "checkpoint", "source", "out"), ("auxiliary",)),
    "landscape": Command(landscape, ("data", "splits", "checkpoint", "runs", "out")),
    "baseline": Command(baseline, ("data", "splits", "out")),
    "provenance": Command(provenance, ("checkpoints", "out")),
    "overlap": Command(overlap, ("molecules", "corpus", "out"), settings=False),
    "cliffs": Command(cliffs, ("source", "molecules", "out")),
    "aggregate": Command(aggregate, ("results", "models", "out")),
    "diagnostics": Command(diagnostics, ("tables", "results", "out")),
    "embeddings": Command(embeddings, ("tables", "results", "out")),
    "statistics": Command(statistics, ("tables", "out"), settings=False),
    "plot": Command(plot, ("tables", "out"), settings=False),
    "report": Command(report, ("tables", "figures", "out"), ("recommendation",)),
    "verdict": Command(verdict, ("tables", "out")),
    "refit": Command(refit, ("molecules", "tables", "verdict", "checkpoints", "out")),
    "recommendation": Command(recommendation, ("tables", "verdict", "bundle", "out")),
}
