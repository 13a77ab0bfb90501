"""Several models of one method, each stopped on another part of the labels, so that all labels teach.

Member k trains on all parts but k and chooses its epoch, and what else a method learns on held-out labels, on part k.
The members predict together, by their mean. This is what `validation: crossfit` fits and scores in an experiment: the
same parts' strata, seeds and rule for the setting.

No prediction by a member calibrates anything: member k was stopped where part k is predicted best.
:func:`out_of_sample` gives every molecule the prediction of a whole ensemble that did not have it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix

from roftmol.core.errors import UserError
from roftmol.core.seeds import generator, seed_of
from roftmol.data.splits import stratified_folds
from roftmol.deploy.uncertainty import OutOfSample
from roftmol.encoders.base import Encoder
from roftmol.features.graphs import Graphs
from roftmol.methods import CONSTANT, METHODS, Method, Settings, setting_text
from roftmol.methods.fingerprint import TREES, learner
from roftmol.methods.protocols import PROTOCOLS
from roftmol.registry.splits import PARTS
from roftmol.scoring import metrics
from roftmol.scoring.selection import Candidate, validation
from roftmol.tasks import METRICS, TASKS
from roftmol.training.fit import DivergedError, Fit, Fold, Task, TrainSettings
from roftmol.training.forward import evaluation_batches
from roftmol.training.loop import train
from roftmol.training.mixing import mix
from roftmol.training.model import Model, new_model

HONEST = PROTOCOLS["honest"]
Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EnsembleSettings:
    """What is fitted: a method and the settings to choose from, on one label column."""

    method: str
    grid: tuple[dict[str, Any], ...]
    task: str  #: a name in `tasks.TASKS`
    metric: str
    training: TrainSettings = field(default_factory=TrainSettings)
    members: int = 5
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The members, and the setting they share."""

    members: Sequence[Model] | Sequence[Reference]
    setting: str


@dataclass(frozen=True, eq=False)
class Reference:
    """A model without an encoder as plain arrays: linear or a forest on Morgan counts, or a constant.

    A forest's trees lie one after the other: a node's `left` and `right` are the numbers of its children, -1 at leaves.
    """

    arrays: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, model: Any, task: str, rate: float) -> Reference:
        """The arrays of a fitted model; `rate` is the mean label, one more tree of a classifying forest."""
        if not hasattr(model, "estimators_"):
            return cls({"coefficients": np.ravel(model.coef_), "intercept": np.atleast_1d(model.intercept_)})
        trees = [estimator.tree_ for estimator in model.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])

        def shifted(children: str) -> npt.NDArray[np.int32]:
            found = [getattr(tree, children) for tree in trees]
            parts = [np.where(child < 0, -1, child + start) for child, start in zip(found, starts[:-1], strict=True)]
            return np.concatenate(parts).astype(np.int32)

        values = np.concatenate([tree.value[:, 0, -1] for tree in trees])  # of two classes the second, as a share
        return cls(
            {
                "roots": starts[:-1].astype(np.int32),
                "left": shifted("children_left"),
                "right": shifted("children_right"),
                "feature": np.concatenate([tree.feature for tree in trees]).astype(np.int32),
                "threshold": np.concatenate([tree.threshold for tree in trees]),
                "value": values,
                **({"rate": np.array([rate])} if TASKS[task].classes else {}),
            }
        )

    def predict(self, X: csr_matrix, task: str) -> Array:
        """Probabilities or values for n x 2048 counts: n."""
        a = self.arrays
        if "constant" in a:
            return np.repeat(a["constant"], X.shape[0]).astype(np.float32)
        if "coefficients" in a:
            output = X @ a["coefficients"] + a["intercept"]
            return (1 / (1 + np.exp(-output)) if TASKS[task].classes else output).astype(np.float32)
        counts = X.toarray().astype(np.float32)
        rows, total = np.arange(len(counts)), np.zeros(len(counts))
        for root in a["roots"]:
            node = np.full(len(counts), root)
            while (inner := a["left"][node] >= 0).any():
                goes_left = counts[rows, np.maximum(a["feature"][node], 0)] <= a["threshold"][node]
                node = np.where(inner, np.where(goes_left, a["left"][node], a["right"][node]), node)
            total += a["value"][node]
        trees = len(a["roots"])
        return ((total + a["rate"][0]) / (trees + 1) if "rate" in a else total / trees).astype(np.float32)


#: From a setting to a member and its predictions for its validation molecules; raises `DivergedError`.
Fitting = Callable[[Settings], tuple[Any, Array]]


class Source(Protocol):
    """n labelled molecules as a method learns from them."""

    @property
    def labels(self) -> Array:
        """The labels, n."""

    @property
    def twins(self) -> npt.NDArray[np.integer]:
        """Numbers of the molecules, identical ones alike: they stay in one part."""

    def start(self, number: int, fold: Fold, settings: EnsembleSettings) -> Fitting:
        """What fits a fold's member, whatever its setting."""

    def predict(self, members: Sequence[Any], molecules: Rows, settings: EnsembleSettings) -> Array:
        """Every member's predictions, members x molecules."""


@dataclass(frozen=True, eq=False)
class Networks:
    """Molecules as graphs, which have one label column, and the encoder whose copies are fine-tuned."""

    encoder: Encoder
    graphs: Graphs
    twins: npt.NDArray[np.integer]

    @property
    def labels(self) -> Array:
        """The labels, n."""
        return self.graphs.labels[:, 0]

    def start(self, number: int, fold: Fold, settings: EnsembleSettings) -> Fitting:
        """Return what trains a model for each setting, or mixes it from one that is trained here."""
        method = METHODS[settings.method]

        def asked(method: Method, hyperparameters: Settings) -> Fit:
            task = Task(settings.task, settings.metric)
            return Fit(method, hyperparameters, self.graphs, fold, task, HONEST, settings.training, settings.seed)

        def trained(fit: Fit) -> Model:
            model = new_model(self.encoder, fit)
            train(model, fit)
            return model

        if method.mixing is None:

            def fitted(hyperparameters: Settings) -> tuple[Model, Array]:
                model = trained(asked(method, hyperparameters))
                return model, model.predict(self.graphs, fold.valid)[:, 0]

            return fitted
        source = METHODS[method.mixing.source]
        theta_0 = {name: tensor.clone() for name, tensor in self.encoder.state_dict().items()}
        tuned = trained(asked(source, source.grid(len(self.encoder.blocks))[0]))

        def mixed(hyperparameters: Settings) -> tuple[Model, Array]:
            model = copy.deepcopy(tuned)
            return model, mix(model, theta_0, asked(method, hyperparameters)).valid[:, 0]

        return mixed

    def predict(self, members: Sequence[Model], molecules: Rows, settings: EnsembleSettings) -> Array:
        """Every member's predictions, members x molecules."""
        return predict_networks(members, self.graphs, molecules)


@dataclass(frozen=True, eq=False)
class References:
    """Molecules as n x 2048 Morgan counts, for models without an encoder."""

    X: csr_matrix
    labels: Array
    twins: npt.NDArray[np.integer]

    def start(self, number: int, fold: Fold, settings: EnsembleSettings) -> Fitting:
        """A learner for each setting; the constant selects nothing, so it learns from the validation labels too."""
        seed = seed_of("member", settings.seed, number) % 2**32
        y = self.labels.astype(np.float64)

        def fitted(setting: Settings) -> tuple[Reference, Array]:
            if settings.method == CONSTANT:
                found = Reference({"constant": np.array([y[np.concatenate([fold.train, fold.valid])].mean()])})
                return found, np.full(len(fold.valid), y[fold.train].mean(), np.float32)
            model = learner(setting, settings.task, TREES, seed).fit(self.X[fold.train], y[fold.train])
            found = Reference.of(model, settings.task, float(y[fold.train].mean()))
            return found, found.predict(self.X[fold.valid], settings.task)

        return fitted

    def predict(self, members: Sequence[Reference], molecules: Rows, settings: EnsembleSettings) -> Array:
        """Every member's predictions, members x molecules."""
        return np.stack([member.predict(self.X[molecules], settings.task) for member in members])


@torch.no_grad()
def predict_networks(members: Sequence[Model], graphs: Graphs, molecules: Rows | None = None) -> Array:
    """Every member's predictions for one label column, members x molecules; of all molecules, if none are named.

    Batches are cut once for all, and an encoder that several members share runs once.
    """
    for model in members:
        model.eval()
    found = []
    asked = np.arange(len(graphs)) if molecules is None else molecules
    for batch in evaluation_batches(members[0].encoder, graphs, asked):
        encoders = {id(model.encoder): model.encoder for model in members}
        read = {number: encoder.read(batch) for number, encoder in encoders.items()}
        outputs = [model.in_label_units(model.head(read[id(model.encoder)], batch)) for model in members]
        found.append(torch.stack(outputs)[..., 0])
    return torch.cat(found, 1).numpy()


def deal(source: Source, molecules: Rows, settings: EnsembleSettings) -> list[Fold]:
    """The members' training and validation molecules out of these; nothing is left for a test."""
    rng = generator("members", settings.seed)
    part = _parts(source, molecules, settings.members, "ensemble", settings, rng)
    nothing = np.empty(0, np.int64)
    return [Fold(molecules[part != number], molecules[part == number], nothing) for number in range(settings.members)]


def fit_ensemble(source: Source, folds: Sequence[Fold], settings: EnsembleSettings) -> Ensemble:
    """A member a fold, of the setting whose out-of-fold predictions are best, by the rule that selects everywhere.

    Raises `UserError` if every setting diverged.
    """
    method = METHODS[settings.method]
    grid = list(dict.fromkeys(method.parse(setting) for setting in settings.grid))
    members: dict[Settings, list[Any]] = {setting: [] for setting in grid}
    out_of_fold: dict[Settings, list[Array]] = {setting: [] for setting in grid}
    reasons: dict[Settings, str] = {}
    for number, fold in enumerate(folds):
        try:
            fitting = source.start(number, fold, settings)
        except DivergedError as error:
            reasons = dict.fromkeys(grid, str(error))
            break
        for setting in grid:
            if setting in reasons:
                continue
            try:
                model, valid = fitting(setting)
            except DivergedError as error:
                reasons[setting] = str(error)
                continue
            members[setting].append(model)
            out_of_fold[setting].append(valid)
    left = [setting for setting in grid if setting not in reasons]
    if not left:
        told = "; ".join(f"{setting_text(setting)}: {reason}" for setting, reason in reasons.items())
        raise UserError(f"{settings.method}: no setting could be fitted: {told}. Choose another method.")
    labels = source.labels[np.concatenate([fold.valid for fold in folds])][:, None]
    candidates = []
    for setting in left:
        predicted = np.concatenate(out_of_fold[setting])[:, None]
        score, loss = (
            metrics.primary(settings.metric, labels, predicted),
            metrics.loss(settings.task, labels, predicted),
        )
        candidates.append(Candidate(setting_text(setting), score, loss, float("nan")))
    chosen = validation(candidates, METRICS[settings.metric].sign)[0].setting
    return Ensemble(next(members[setting] for setting in left if setting_text(setting) == chosen), chosen)


def out_of_sample(source: Source, settings: EnsembleSettings) -> OutOfSample:
    """Predictions for every molecule by an ensemble that did not have it, neither to learn from nor to stop by.

    The molecules are dealt into as many parts as a cross-validation has, and an ensemble is fitted without each.
    """
    everything = np.arange(len(source.labels))
    part = _parts(source, everything, PARTS, "calibration", settings, generator("out of sample", settings.seed))
    prediction, spread = np.empty(len(part)), np.empty(len(part))
    for number in range(PARTS):
        held = everything[part == number]
        ensemble = fit_ensemble(source, deal(source, everything[part != number], settings), settings)
        outputs = source.predict(ensemble.members, held, settings)
        prediction[held], spread[held] = outputs.mean(0), outputs.std(0, ddof=1)
    return OutOfSample(everything, prediction, spread, part)


def _parts(
    source: Source, molecules: Rows, count: int, where: str, settings: EnsembleSettings, rng: np.random.Generator
) -> Rows:
    """The part of each of these molecules: labels dealt evenly, identical molecules together."""
    labels = source.labels[molecules, None].astype(np.float64)
    found = stratified_folds(labels, source.twins[molecules], where, count, settings.task, rng)
    return found.astype(np.int64)
