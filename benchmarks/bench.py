"""Time the engine beside the same work in plain PyTorch Geometric (`plain.py`), in one run, in turns.

    make bench    # or: PYTHONPATH=workflow python benchmarks/bench.py [--repeats 5] [--quick]

Every item is timed for both implementations one after the other, and the order changes from repeat to repeat, so that
other work on the machine meets both. One thread; CPU time is compared where one process works, wall time where two do.

- A step is training alone: batch, forward, loss, backward, Adam, on 256 molecules in batches of 32. The engine's is an
  eighth of a further epoch of `train.fit`, by the difference of two lengths of training. That epoch also predicts its
  validation set, which is cut down to two molecules; nothing is subtracted for it, which is to the engine's loss.
- An epoch is training and what selection needs: the engine predicts the validation molecules, published scripts score
  training, validation and test. Both by the difference of two lengths.
- Frozen layers stay as they are in the engine (protocol `honest`), so what they give is computed once; published
  scripts run the whole encoder in every step, with dropout.
- WiSE-FT and DWiSE-FT run under the protocol `paper`, where both do the same: no statistics are estimated anew.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import gc
import math
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch_geometric.data import Data

import memory
import plain
from costs import processor
from roftmol.core.files import atomic
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import featurize, graphs
from roftmol.features.graphs import Graphs
from roftmol.methods import METHODS, Settings
from roftmol.methods.dwise_ft import Settings as DWiSE
from roftmol.methods.protocols import PROTOCOLS, Protocol
from roftmol.methods.wise_ft import Settings as WiSE
from roftmol.registry.catalog import datasets
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.training.cell import folds
from roftmol.training.fit import Fit, Fold, Task, TrainSettings
from roftmol.training.loop import train
from roftmol.training.mixing import mix
from roftmol.training.model import Model, new_model

DATASETS, BUDGETS, SMALL_BUDGET = ("esol", "bbbp"), ("50", "all"), "50"
HONEST = PROTOCOLS["honest"]
MIXING = replace(PROTOCOLS["paper"], mixing_steps=25)
#: Molecules of a timed training pass, and those that are predicted after it.
STEP_TRAIN, STEP_VALID = 256, 2


@dataclass(frozen=True)
class Cost:
    """What a piece of work took."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: float = math.nan

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall_seconds - other.wall_seconds, self.cpu_seconds - other.cpu_seconds)

    def __truediv__(self, count: int) -> Cost:
        return Cost(self.wall_seconds / count, self.cpu_seconds / count)


@dataclass(frozen=True)
class Item:
    """Something that both implementations do: how to measure it for each, what a number counts, what is compared.

    What is measured gets the repeat's number, the seed of whatever is drawn in it.
    """

    name: str
    labels: str
    counts: str
    ours: Callable[[int], Cost]
    plain: Callable[[int], Cost]
    compared: str = "cpu_seconds"


@dataclass(frozen=True)
class Pair:
    """A method that trains in both implementations, and how many epochs of it are timed."""

    title: str
    method: str
    plain: Callable[[plain.GraphPredictor], plain.Method]
    setting: Mapping[str, float] = field(default_factory=dict)
    epochs: int = 2

    @property
    def settings(self) -> Settings:
        """The engine's settings of the method."""
        return METHODS[self.method].parse(self.setting)


#: LP-FT has no step of its own: it is linear probing, then full FT.
PAIRS = (
    Pair("full FT", "full_ft", lambda _: plain.FULL_FT),
    # Cheap in the engine, so many are needed for a difference that is larger than what the start varies by.
    Pair("linear probing", "linear_probing", lambda _: plain.LINEAR_PROBING, epochs=100),
    Pair("surgical FT, block 4", "surgical_ft", lambda _: plain.surgical_ft(4), {"block": 4}, epochs=6),
    Pair("surgical FT, block 0", "surgical_ft", lambda _: plain.surgical_ft(0), {"block": 0}),
    Pair("L2-SP", "l2_sp", lambda model: plain.l2_sp(model, 0.01), {"lam": 0.01}),
    Pair("BSS", "bss", lambda _: plain.bss(0.01), {"lam": 0.01}),
    Pair("feature-map", "feature_map", lambda model: plain.feature_map(model, 0.01), {"lam": 0.01}),
)


@dataclass(frozen=True, eq=False)
class Subject:
    """A dataset as each implementation keeps it, and the pretrained encoder."""

    dataset: str
    task: Task
    smiles: list[str]
    graphs: Graphs
    data: list[Data]
    encoder: Encoder
    splits: Mapping[str, Fold]  #: by budget

    def model(self, fold: Fold, protocol: Protocol = HONEST, method: str = "full_ft", seed: int = 0) -> Model:
        """Return the engine's model at the start of a fit."""
        return new_model(self.encoder, Fit(METHODS[method], None, self.graphs, fold, self.task, protocol, seed=seed))

    def fit(self, pair: Pair, fold: Fold, epochs: int, protocol: Protocol = HONEST, seed: int = 0) -> Model:
        """Train a model by the engine for so many epochs."""
        model = self.model(fold, protocol, pair.method, seed)
        training = TrainSettings(epochs=epochs, patience=epochs)
        method = METHODS[pair.method]
        train(model, Fit(method, pair.settings, self.graphs, fold, self.task, protocol, training, seed))
        return model

    def loaders(self, fold: Fold) -> plain.Loaders:
        """Return the plain implementation's loaders of a fold."""
        return plain.loaders(*([self.data[m] for m in role] for role in (fold.train, fold.valid, fold.test)))

    @property
    def labels(self) -> np.ndarray:
        """Molecules x tasks."""
        return self.graphs.labels


def as_plain(model: Model, dropout: float = 0.5) -> plain.GraphPredictor:
    """Return the plain implementation's model with the same weights."""
    other = plain.GraphPredictor(plain.load(model.encoder.state_dict(), dropout), model.head.out_features)
    other.head.load_state_dict(model.head.state_dict())
    return other


def read(results: Path, dataset: str) -> Subject:
    """Read what the stages made of a dataset."""
    entry = datasets()[dataset]
    molecules = schemas.read("molecules", results / memory.MOLECULES.format(dataset))
    flat = graphs.load(results / memory.GRAPHS.format(dataset))
    return Subject(
        dataset=dataset,
        task=Task(entry.task, entry.metric),
        smiles=molecules["smiles"].tolist(),
        graphs=flat,
        data=plain.featurize_all(molecules["smiles"], flat.labels),
        encoder=load_encoder(results / memory.CHECKPOINT, TrainSettings().dropout),
        splits={budget: _fold(results / memory.SPLIT.format(dataset, budget)) for budget in BUDGETS},
    )


def _fold(path: Path) -> Fold:
    """Return the first fold of the first seed."""
    assigned = schemas.read("splits", path)
    return next(folds(assigned, int(assigned["seed"].min())))[1]


def clock(work: Callable[[], object]) -> Cost:
    """Measure what a piece of work takes, with its child processes."""
    gc.collect()  # so that this work does not clear away what earlier work left
    wall, cpu = time.perf_counter(), _cpu_seconds()
    work()
    return Cost(time.perf_counter() - wall, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def further(train: Callable[[int], object], epochs: int) -> Cost:
    """Measure an epoch after the first, by the difference of two lengths of training, so that the start cancels."""
    train(1)  # untimed: what a process does once, and the first use of memory
    return (clock(lambda: train(1 + epochs)) - clock(lambda: train(1))) / epochs


def items(subject: Subject, budgets: tuple[str, ...], results: Path) -> Iterator[Item]:
    """Yield all that is timed with a dataset."""
    yield from featurization(subject)
    yield evaluation(subject)
    yield floor(subject)
    for pair in PAIRS:
        yield step(subject, pair)
    for budget in budgets:
        yield epoch(subject, budget)
        yield from mixing(subject, budget)
    if subject.dataset == DATASETS[0]:
        yield process(subject.dataset, results)


def featurization(subject: Subject) -> Iterator[Item]:
    """Time the way from SMILES to what batches are made of; the plain way has one process."""

    def ours(processes: int) -> Callable[[int], Cost]:
        return lambda _: clock(lambda: featurize.from_smiles(subject.smiles, subject.labels, processes))

    def usual(_: int) -> Cost:
        return clock(lambda: plain.featurize_all(subject.smiles, subject.labels))

    counts = "all molecules"
    yield Item("featurization, 1 process", "", counts, ours(1), usual)
    yield Item("featurization, 2 processes against 1", "", counts, ours(2), usual, "wall_seconds")


def evaluation(subject: Subject) -> Item:
    """Time predictions in eval mode."""
    everything = np.arange(len(subject.graphs))
    model = subject.model(subject.splits["all"])
    other, loader = as_plain(model), plain.evaluation_loader(subject.data)
    return Item(
        "evaluation",
        "",
        "all molecules",
        lambda _: clock(lambda: model.predict(subject.graphs, everything)),
        lambda _: clock(lambda: plain.predict(other, loader)),
    )


def step(subject: Subject, pair: Pair) -> Item:
    """Time a training step of one method."""
    whole = subject.splits["all"]
    chosen = np.random.default_rng(0).permutation(whole.train)[:STEP_TRAIN]
    fold = Fold(chosen, whole.valid[:STEP_VALID], whole.test)
    steps = -(-len(chosen) // plain.BATCH)
    loader = subject.loaders(fold).training
    other = as_plain(subject.model(fold))
    method = pair.plain(other)
    optimizer = plain.adam(other, method.stages[0])

    def one_pass() -> float:
        return plain.train_epoch(other, loader, optimizer, subject.task.kind, method.penalty)

    one_pass()  # the first builds Adam's state
    return Item(
        f"step: {pair.title}",
        str(len(chosen)),
        "a step",
        lambda seed: further(lambda epochs: subject.fit(pair, fold, epochs, seed=seed), pair.epochs) / steps,
        lambda _: clock(lambda: [one_pass() for _ in range(2)]) / (2 * steps),
    )


def floor(subject: Subject) -> Item:
    """Time only the matrix products of a step of full FT: no engine that makes these products is faster.

    Ours are the products after merging the lowest block's atoms.
    """
    chosen = np.random.default_rng(0).permutation(subject.splits["all"].train)[:STEP_TRAIN]
    batches = list(subject.graphs.batches(chosen, plain.BATCH, range(1)))
    layers, width = len(subject.encoder.blocks), subject.encoder.width
    apart = [[len(batch.atoms)] * layers for batch in batches]
    merged = [[len(batch.hop_of(0).starts) - 1, *rows[1:]] for batch, rows in zip(batches, apart, strict=True)]
    upper, lower = torch.randn(width, 2 * width), torch.randn(2 * width, width)
    most = max(rows[0] for rows in apart)
    x, h = torch.randn(most, width), torch.randn(most, 2 * width)

    def products(steps: list[list[int]]) -> Cost:
        def work() -> None:
            for rows in (count for step in steps for count in step):
                narrow, wide = x[:rows], h[:rows]
                for one, other in (
                    (narrow, lower.t()),
                    (wide, upper.t()),
                    (narrow, upper),
                    (wide, lower),
                    (narrow.t(), wide),
                    (wide.t(), narrow),
                ):
                    one @ other

        return clock(work) / len(steps)

    name = "floor: products of a step of full FT"
    return Item(name, str(len(chosen)), "a step", lambda _: products(merged), lambda _: products(apart))


def epoch(subject: Subject, budget: str) -> Item:
    """Time an epoch of full FT with what selection needs."""
    fold = subject.splits[budget]
    loaders = subject.loaders(fold)
    other = as_plain(subject.model(fold))
    epochs = 10 if budget == SMALL_BUDGET else 1

    def usual(epochs: int) -> None:
        plain.fit(copy.deepcopy(other), plain.FULL_FT, loaders, subject.task.kind, epochs)

    return Item(
        "epoch: full FT",
        budget,
        "an epoch",
        lambda seed: further(lambda epochs: subject.fit(PAIRS[0], fold, epochs, seed=seed), epochs),
        lambda _: further(usual, epochs),
    )


def mixing(subject: Subject, budget: str) -> Iterator[Item]:
    """Time WiSE-FT's whole sweep and DWiSE-FT, from the same fine-tuned weights to scores of validation and test."""
    fold = subject.splits[budget]
    loaders = subject.loaders(fold)
    tuned = subject.fit(PAIRS[0], fold, 1, MIXING)
    theta_0 = {name: tensor.clone() for name, tensor in subject.encoder.state_dict().items()}
    start = plain.published_names(theta_0)

    def ours(method: str, settings: tuple[Settings, ...]) -> None:
        for setting in settings:
            fit = Fit(METHODS[method], setting, subject.graphs, fold, subject.task, MIXING)
            mixed = mix(copy.deepcopy(tuned), theta_0, fit)
            for role, predictions in ((fold.valid, mixed.valid), (fold.test, mixed.test)):
                metrics.primary(subject.task.metric, subject.labels[role], predictions)

    yield Item(
        "WiSE-FT",
        budget,
        "11 alphas",
        lambda _: clock(lambda: ours("wise_ft", tuple(WiSE(alpha) for alpha in plain.ALPHAS))),
        lambda _: clock(lambda: plain.wise_ft(as_plain(tuned), start, loaders, subject.task.kind)),
    )
    yield Item(
        "DWiSE-FT",
        budget,
        f"{MIXING.mixing_steps} epochs",
        lambda _: clock(lambda: ours("dwise_ft", (DWiSE(0.5),))),
        lambda _: clock(
            lambda: plain.dwise_ft(
                as_plain(tuned), start, loaders, subject.task.kind, MIXING.mixing_steps, MIXING.mixing_rate
            )
        ),
    )


def process(dataset: str, results: Path) -> Item:
    """Measure the memory of a fit in its own process, with that of its imports."""

    def run(implementation: str) -> Cost:
        command = [sys.executable, memory.__file__, implementation, str(results), dataset]
        answers: list[str] = []
        cost = clock(
            lambda: answers.append(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        )
        return replace(cost, peak_memory_mb=float(answers[0]))

    return Item(
        f"peak memory: {memory.EPOCHS} epochs of full FT",
        "all",
        "a process",
        lambda _: run("ours"),
        lambda _: run("plain"),
        "peak_memory_mb",
    )


def measure(item: Item, dataset: str, repeat: int) -> Iterator[dict[str, object]]:
    """Measure one repeat of an item: yield a row for each implementation."""
    implementations = [("ours", item.ours), ("plain", item.plain)]
    for name, work in implementations if repeat % 2 == 0 else reversed(implementations):
        cost = work(repeat)
        yield {
            "dataset": dataset,
            "labels": item.labels,
            "item": item.name,
            "implementation": name,
            "repeat": repeat,
            "wall_seconds": cost.wall_seconds,
            "cpu_seconds": cost.cpu_seconds,
            "peak_memory_mb": cost.peak_memory_mb,
        }


def summary(item: Item, dataset: str, rows: pd.DataFrame) -> dict[str, str]:
    """Make a line of the printed table: medians, the ratio of the medians, and the ratios of the repeats."""
    of_item = rows[(rows["dataset"] == dataset) & (rows["item"] == item.name) & (rows["labels"] == item.labels)]
    values = of_item.pivot(index="repeat", columns="implementation", values=item.compared)
    ours, usual = values["ours"].median(), values["plain"].median()
    ratios = values["plain"] / values["ours"]
    unit = {"cpu_seconds": "CPU ms", "wall_seconds": "wall ms", "peak_memory_mb": "MB"}[item.compared]
    scale = 1 if item.compared == "peak_memory_mb" else 1000
    return {
        "item": item.name,
        "data": dataset,
        "labels": item.labels or "-",
        "unit": f"{unit}, {item.counts}",
        "ours": _number(scale * ours),
        "plain": _number(scale * usual),
        "plain/ours": f"{usual / ours:.2f}",
        "of repeats": f"{ratios.min():.2f} to {ratios.max():.2f}",
    }


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def write(rows: pd.DataFrame, about: str, path: Path) -> None:
    """Write the measurements as Parquet, with the machine and software they were made on in its metadata."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"machine": about.encode()}), temporary)


def machine() -> str:
    """Say on what machine and software the numbers were made, and when."""
    return (
        f"{datetime.datetime.now():%Y-%m-%d %H:%M}, {processor()}, "
        f"{os.cpu_count()} cores of which one thread is used, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def main() -> None:
    """Measure, print the table, write `results/tables/bench.parquet`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one repeat, fits with few labels only")
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_args()
    repeats, budgets = (1, (SMALL_BUDGET,)) if options.quick else (options.repeats, BUDGETS)
    warnings.filterwarnings("ignore", "Sparse ", UserWarning)
    torch.set_num_threads(1)

    about = machine()
    work = [(name, item) for name in DATASETS for item in items(read(options.results, name), budgets, options.results)]
    rows = pd.DataFrame()
    for repeat in range(repeats):
        for number, (name, item) in enumerate(work, 1):
            print(f"repeat {repeat + 1}/{repeats}, {number}/{len(work)}: {name}, {item.name}", file=sys.stderr)
            rows = pd.concat([rows, pd.DataFrame(measure(item, name, repeat))], ignore_index=True)
        write(rows, about, options.results / "tables/bench.parquet")
    print(about)
    print(pd.DataFrame([summary(item, name, rows) for name, item in work]).to_string(index=False))


if __name__ == "__main__":
    main()
