"""The experiment that `config.yaml` asks for, every name checked: what the stages read their settings from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from roftmol.core.errors import UserError
from roftmol.experiment import grids, machine
from roftmol.experiment.checks import check, check_methods
from roftmol.experiment.claims import check_claim
from roftmol.experiment.keys import Auxiliary, Grids, Training, Validation
from roftmol.experiment.panels import panels, spelt_out
from roftmol.experiment.reading import read
from roftmol.experiment.recommendation import Recommendation, recommendation
from roftmol.experiment.registered import registered
from roftmol.methods import ALL_METHODS, METHODS, MIXED, head_of, with_sources
from roftmol.methods.cells import Cells
from roftmol.registry.catalog import Checkpoint, Corpus, Dataset
from roftmol.registry.splits import SPLITS

Json = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """What is run, and on what; made by :func:`experiment`. `keys.Config` says what each key means."""

    cells: Cells
    datasets: dict[str, Dataset]
    checkpoints: dict[str, Checkpoint]
    # All that are registered: recipes read corpora and weights that no model here has to do with.
    corpora: dict[str, Corpus]
    published: dict[str, Checkpoint]
    panels: dict[str, tuple[str, ...]]  #: sorted names of datasets, by panel
    seeds: tuple[int, ...]
    training: Training
    validation: Validation
    auxiliary: Auxiliary
    selection: str
    grids: Grids
    leave_out_contaminated: tuple[str, ...]
    landscape: bool
    tsne: bool
    max_rejected: float
    max_test: int | None
    mirror: str | None
    device: str
    recommendation: Recommendation | None = None

    @property
    def folder(self) -> Path:
        """The folder of tables, figures and page; a recommendation has its own."""
        return self.recommendation.folder if self.recommendation else Path("results")

    @property
    def targets(self) -> tuple[str, ...]:
        """The folders of a recommendation's targets, where it has several."""
        of = self.recommendation
        return tuple(of.targets) if of and len(of.targets) > 1 else ()

    def about(self, target: str) -> Experiment:
        """Return what of a recommendation is about one of several targets, by its folder; "" is about all.

        Its cells are the target's; the datasets are all, for its joint fits are of all.
        """
        if not target:
            return self
        assert self.recommendation
        of = self.recommendation.about(target)
        return replace(self, recommendation=of, cells=replace(self.cells, datasets=(of.target.dataset,)))

    def check_machine(self, *, environments: bool) -> None:
        """Raise `UserError` where this machine lacks what jobs need; with `environments`, conda brings packages."""
        needed = {name for method in self.cells.methods for name in with_sources(method)}
        gfn2 = any("gfn2" in self.reads(name) for name in needed)
        machine.check(self.datasets, self.checkpoints, self.device, environments=environments, gfn2=gfn2)

    def audit(self) -> list[str]:
        """Read the file of a recommendation as a whole, or labels of own datasets, and return what is worth a word.

        Of large files of structures the first are read, and that is said.

        Raises `UserError` if no recommendation can be made from the file, or if the folder is that of another file; and
        for labels that jobs would refuse.
        """
        of = self.recommendation
        files = {name: dataset.own_file for name, dataset in self.datasets.items() if dataset.own_file}
        if not files:
            return []
        from roftmol.data import user_file

        if of is None:
            return [
                f"{name}: {remark}"
                for name, path in files.items()
                for remark in user_file.audit_labels(path, self.datasets[name])
            ]
        check_claim(self.folder, Path(of.path))
        said: dict[str, list[str]] = {}
        for target in of.targets.values():
            rules = self.datasets[target.dataset], self.max_rejected, of.settle_duplicates
            try:
                said[target.column] = user_file.audit(Path(of.path), *rules)
            except UserError as error:
                if not self.targets:
                    raise
                raise UserError(f"target {target.column!r}, which may be left out: {error}") from None
        # What is true of the file is said once.
        counts = Counter(remark for remarks in said.values() for remark in remarks)
        told = {
            remark if counts[remark] == len(said) else f"{column}: {remark}": None
            for column, remarks in said.items()
            for remark in remarks
        }
        return list(told)

    def panel_of(self, dataset: str) -> str:
        """Return the panel that a dataset is in; "" where it is in none."""
        return next((name for name, members in self.panels.items() if dataset in members), "")

    def dealt_with(self, dataset: str, split: str) -> tuple[str, ...]:
        """Return the datasets that a split deals together with one, itself among them; () where it is dealt alone."""
        return self.panels[self.panel_of(dataset)] if SPLITS[split].together else ()

    @property
    def cliffs(self) -> list[str]:
        """The datasets whose activity cliffs are known or can be computed."""
        return [name for name, dataset in self.datasets.items() if dataset.has_cliffs]

    def auxiliary_file(self, model: str, method: str) -> str | None:
        """Return what a second task learns from, and a force field is measured on; None if neither is asked for."""
        if self.checkpoints[model].spatial:
            source = self.auxiliary.forces
            return f"results/forces/{'gfn2' if source == 'self' else source}.parquet" if source else None
        return "results/auxiliary/molecules.parquet" if METHODS[method].alternation else None

    def extensive(self, model: str, dataset: str) -> bool:
        """Return whether a head sums over atoms, where it pools them."""
        return self.checkpoints[model].spatial and self.datasets[dataset].extensive

    def landscapes(self, results: Path) -> list[Path]:
        """Return the folder of each cell whose loss landscape is asked for."""
        return self.cells.landscapes(results) if self.landscape else []

    def checkable(self, model: str) -> list[str]:
        """Return the corpora of a model whose molecules can be had.

        A recommendation has none, and so needs no network.
        """
        if self.recommendation:
            return []
        return [name for name in self.checkpoints[model].corpora if self.corpora[name].files]

    def overlaps(self) -> list[tuple[str, str]]:
        """Return the pairs of dataset and corpus that are compared."""
        corpora = dict.fromkeys(corpus for model in self.checkpoints for corpus in self.checkable(model))
        return list(product(self.datasets, corpora))

    def exposures(self) -> list[tuple[str, str, str, str]]:
        """Return the protocol, panel, split and budget of each split of a panel, whose exposure is counted.

        A recommendation deals its targets as one, so that there is none.
        """
        if self.recommendation:
            return []
        return list(product(self.cells.protocols, self.panels, self.cells.splits, self.cells.budgets))

    def keeps_weights_of(self, method: str) -> bool:
        """Return whether a head is to read a method's weights, which nothing else would keep."""
        kept = METHODS[method].mixing is not None or method in MIXED
        return not kept and any(ALL_METHODS[name].encoder_of == method for name in self.cells.methods)

    def grid(self, method: str, layers: int) -> list[Json]:
        """Return the hyperparameters that are tried for a method.

        A recommendation fits each point of the grid 25 times. So if the configuration gives no grid, it tries only the
        middle one of a method that trains. METHOD+HEAD has the head's grid.
        """
        grid = grids.grid(ALL_METHODS[method], layers, self.grids.get(head_of(ALL_METHODS[method]), {}))
        if self.recommendation and METHODS[method].stages and method not in self.grids:
            return [grid[len(grid) // 2]]
        return grid

    def reads(self, method: str) -> frozenset[str]:
        """Return what of the molecules a method reads, its encoder's graphs aside, with any point of its grid."""
        record = ALL_METHODS[method]
        if not record.reads:
            return frozenset()
        points = map(record.parse, self.grid(method, layers=0))
        return frozenset[str]().union(*map(record.reads_with, points))

    def cell_settings(self, protocol: str, dataset: str, split: str, budget: str) -> Json:
        """Return the settings that every stage of a cell has."""
        return {
            "protocol": protocol,
            "dataset": dataset,
            "split": split,
            "budget": budget,
            "task": self.datasets[dataset].task,
            "metric": self.datasets[dataset].metric,
            "seeds": list(self.seeds),
        }


def experiment(given: Mapping[str, Any]) -> Experiment:
    """Return the experiment that a configuration asks for.

    Raises `UserError` that names each key, its value, and what is allowed there.
    """
    config = spelt_out(read(given))
    check_methods(config)
    config, recommended = recommendation(config)
    names = registered(config)
    check(config, names)
    return Experiment(
        cells=Cells(
            protocols=config.protocols,
            models=config.models,
            datasets=config.datasets,
            splits=config.splits,
            budgets=tuple(map(str, config.budgets)),
            methods=config.methods,
            tuned=recommended.tuned if recommended else (),
        ),
        datasets={name: names.datasets[name] for name in config.datasets},
        checkpoints={name: names.checkpoints[name] for name in config.models},
        corpora=names.corpora,
        published=names.checkpoints,
        panels=panels(config),
        seeds=config.seeds,
        training=config.training,
        validation=config.validation,
        auxiliary=config.auxiliary,
        selection=config.selection,
        grids=config.grids,
        leave_out_contaminated=config.leave_out_contaminated,
        landscape=config.landscape,
        tsne=config.tsne,
        max_rejected=config.max_rejected,
        max_test=config.max_test,
        mirror=config.mirror,
        device=config.device,
        recommendation=recommended,
    )
