"""Joint fine-tuning as it is handed out: of a panel's datasets trained together, the ensemble of one of them.

Member k is a joint fit that stops on fold k of the union of the datasets (`data/panel_split.py`), with one encoder for
all of them. A dataset's member is that encoder with the dataset's head. The fits do not depend on whose ensemble is
asked for, so all datasets' ensembles have the same encoders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from roftmol.core.seeds import generator
from roftmol.data import panel_split, parents
from roftmol.deploy.ensemble import (
    HONEST,
    Array,
    Ended,
    Ensemble,
    EnsembleSettings,
    Fitting,
    Members,
    Rows,
    fit_ensemble,
    predict_networks,
    silent,
)
from roftmol.encoders.base import Encoder
from roftmol.features import featurize
from roftmol.features.graphs import Graphs
from roftmol.methods import METHODS, Settings
from roftmol.training import joint_loop
from roftmol.training.fit import Fit, Fold, Task
from roftmol.training.model import Model
from roftmol.training.panel import Union, union


@dataclass(frozen=True, eq=False)
class JointNetworks(Members):
    """The labelled molecules of a panel's datasets as graphs, and the encoder whose copies they train together."""

    encoder: Encoder
    tables: Mapping[str, pd.DataFrame]  #: table "molecules" of each dataset, by its name
    tasks: Mapping[str, Task]
    dataset: str  #: whose ensemble is fitted
    graphs: Mapping[str, Graphs]
    molecules: Union

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        featurizer: str,
        tables: Mapping[str, pd.DataFrame],
        tasks: Mapping[str, Task],
        dataset: str,
    ) -> JointNetworks:
        """Return the source of a dataset's ensembles; the order of the datasets changes nothing."""
        tables = {name: tables[name] for name in sorted(tables)}
        graphs = {
            name: featurize.from_smiles(
                table["smiles"].tolist(), np.array(table["labels"].tolist(), np.float32), name=featurizer
            )
            for name, table in tables.items()
        }
        structures = [table["canonical"].tolist() for table in tables.values()]
        return cls(encoder, tables, tasks, dataset, graphs, union([*graphs.values()], structures))

    @property
    def labels(self) -> Array:  # type: ignore[override]
        """The dataset's labels, n."""
        return self.graphs[self.dataset].labels[:, 0]

    @property
    def structures(self) -> npt.NDArray[np.integer]:  # type: ignore[override]
        """The number of each of its molecules' substance."""
        return parents.groups(self.tables[self.dataset])

    def fit(self, molecules: Rows, settings: EnsembleSettings, ended: Ended = silent) -> Ensemble:
        """Fit a member for each fold of the union; all molecules teach."""
        assert len(molecules) == len(self.labels), "a part of one dataset leaves open what the others learn from"
        return fit_ensemble(self, self.folds(settings)[self.dataset], settings, ended)

    def folds(self, settings: EnsembleSettings) -> dict[str, list[Fold]]:
        """Return the folds of each dataset; a substance is validated by one member in all of them."""
        kinds = {name: task.kind for name, task in self.tasks.items()}
        among = {name: panel_split.has_label(table) for name, table in self.tables.items()}
        rng = generator("members", settings.seed)
        part = panel_split.parts(self.tables, kinds, settings.members, rng, among)
        no_test = np.empty(0, np.int64)
        return {
            name: [
                Fold(np.flatnonzero((of != number) & (of >= 0)), np.flatnonzero(of == number), no_test)
                for number in range(settings.members)
            ]
            for name, of in part.items()
        }

    def start(self, number: int, fold: Fold, settings: EnsembleSettings) -> Fitting:
        """Return the function that trains all datasets together and gives the one's model."""
        method = METHODS[settings.method]
        folds = {name: of[number] for name, of in self.folds(settings).items()}
        names = list(self.tables)
        own = names.index(self.dataset)

        def fitted(hyperparameters: Settings) -> tuple[Model, Array]:
            fits = [
                Fit(
                    method,
                    hyperparameters,
                    self.graphs[name],
                    folds[name],
                    self.tasks[name],
                    HONEST,
                    settings.training,
                    settings.seed,
                )
                for name in names
            ]
            models = joint_loop.new_models(self.encoder, fits)
            joint_loop.train(models, fits, self.molecules)
            return models[own], models[own].predict(self.graphs[self.dataset], fold.valid)[:, 0]

        return fitted

    def predict(self, members: Sequence[Model], molecules: Rows, settings: EnsembleSettings) -> Array:
        """Return every member's predictions, members x molecules."""
        return predict_networks(members, self.graphs[self.dataset], molecules)
