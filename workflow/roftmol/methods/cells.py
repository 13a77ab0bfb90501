"""The cells of an experiment, and where their runs, splits and datasets lie under the results folder."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from roftmol.methods import ALL_METHODS, FULL_FT, model_of


def run_folder(runs: Path, protocol: str, model: str, dataset: str, split: str, budget: str, method: str) -> Path:
    """Return the folder of a cell's runs in the folder of all runs."""
    return runs / protocol / model / dataset / f"{split}-{budget}" / method


@dataclass(frozen=True)
class Cells:
    """The cells of an experiment: every combination of these names.

    Where there are `tuned` models, methods that train an encoder train only these.
    """

    protocols: tuple[str, ...]
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    splits: tuple[str, ...]
    budgets: tuple[str, ...]
    methods: tuple[str, ...]
    tuned: tuple[str, ...] = ()

    def meet(self, model: str, method: str) -> bool:
        """Whether a method runs on a model."""
        return not self.tuned or model in self.tuned or not ALL_METHODS[method].trains_encoder

    def runs(self, results: Path) -> list[Path]:
        """Return the folder of each cell's runs, in the order of the names."""
        folders = [
            run_folder(results / "runs", protocol, model_of(method, model), dataset, split, budget, method)
            for protocol, model, dataset, split, budget, method in product(
                self.protocols, self.models, self.datasets, self.splits, self.budgets, self.methods
            )
            if self.meet(model, method)
        ]
        return list(dict.fromkeys(folders))

    def untrained(self, results: Path) -> list[Path]:
        """Return the folders of those cells whose method trains no encoder."""
        return [folder for folder in self.runs(results) if not ALL_METHODS[folder.name].trains_encoder]

    def landscapes(self, results: Path) -> list[Path]:
        """Return the folder of each cell's loss landscape; none without full FT, whose weights it needs."""
        if FULL_FT not in self.methods:
            return []
        return [
            results / "landscapes" / protocol / model / dataset / f"{split}-{budget}"
            for protocol, model, dataset, split, budget in product(
                self.protocols, self.models, self.datasets, self.splits, self.budgets
            )
        ]

    def split_files(self, results: Path) -> list[Path]:
        """Return the file of each split."""
        return [
            results / "splits" / protocol / dataset / f"{split}-{budget}.parquet"
            for protocol, dataset, split, budget in product(self.protocols, self.datasets, self.splits, self.budgets)
        ]

    def data(self, results: Path) -> list[Path]:
        """Return the folder of each dataset."""
        return [results / "data" / dataset for dataset in self.datasets]
