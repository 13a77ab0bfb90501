"""Several models of one method, each stopped on another part of the labels, so that all labels teach.

Member k trains on all parts but k and chooses its epoch, and what else a method learns on held-out labels, on part k.
Every labelled molecule so has one prediction by a member that was not trained on it: by these the setting is chosen
and the bundle is calibrated.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix

from roftmol import metrics
from roftmol.encoders import Encoder
from roftmol.engine import evaluation_batches
from roftmol.errors import UserError
from roftmol.fingerprints import TREES, learner
from roftmol.graphs import Graphs
from roftmol.interpolate import mix
from roftmol.methods import METHODS, Method, Settings, setting_text
from roftmol.protocols import PROTOCOLS
from roftmol.seeds import generator, seed_of
from roftmol.selection import Candidate, validation
from roftmol.splits import stratified_folds
from roftmol.train import DivergedError, Fold, Model, Task, TrainSettings, fit, new_model

HONEST = PROTOCOLS["honest"]
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EnsembleSettings:
    """What is fitted: a method and the settings to choose from, on one label column."""

    method: str
    grid: tuple[dict[str, Any], ...]
    task: str  #: "classification" or "regression"
    metric: str
    training: TrainSettings = field(default_factory=TrainSettings)
    members: int = 5
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The members, the setting they share, and the out-of-fold predictions of the n labelled molecules."""

    members: Sequence[Model] | Sequence[Fingerprint]
    setting: str
    out_of_fold: Array  #: n, probabilities or values in label units
    score: float  #: the metric of these


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """A linear model or a forest on Morgan counts as plain arrays, without scikit-learn.

    A forest's trees lie one after the other: a node's `left` and `right` are the numbers of its children, -1 at leaves.
    """

    arrays: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, model: Any, task: str, rate: float) -> Fingerprint:
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
                **({"rate": np.array([rate])} if task == "classification" else {}),
            }
        )

    def predict(self, X: csr_matrix, task: str) -> Array:
        """Probabilities or values for n x 2048 counts: n."""
        a = self.arrays
        if "coefficients" in a:
            output = X @ a["coefficients"] + a["intercept"]
            return (1 / (1 + np.exp(-output)) if task == "classification" else output).astype(np.float32)
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


@torch.no_grad()
def predict_networks(members: Sequence[Model], graphs: Graphs) -> Array:
    """Every member's predictions for one label column, members x molecules.

    Batches are cut once for all, and an encoder that several members share runs once.
    """
    for model in members:
        model.eval()
    found = []
    for batch in evaluation_batches(members[0].encoder, graphs, np.arange(len(graphs))):
        encoders = {id(model.encoder): model.encoder for model in members}
        read = {number: encoder.read(batch) for number, encoder in encoders.items()}
        outputs = [model.in_label_units(model.head(read[id(model.encoder)], batch)) for model in members]
        found.append(torch.stack(outputs)[..., 0])
    return torch.cat(found, 1).numpy()


def fit_networks(
    encoder: Encoder, graphs: Graphs, twins: npt.NDArray[np.integer], settings: EnsembleSettings
) -> Ensemble:
    """An ensemble of fine-tuned copies of `encoder` on all molecules of `graphs`, which has one label column.

    `twins` numbers the molecules, identical ones alike: they stay in one part. Raises `UserError` if every setting
    diverged.
    """
    method, task = METHODS[settings.method], Task(settings.task, settings.metric)
    parts = _parts(graphs.labels, twins, settings)
    source = METHODS[method.mixing.source] if method.mixing else method
    theta_0 = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    tuned: dict[int, Model] = {}

    def trained(setting: Settings, number: int, fold: Fold, method: Method) -> Model:
        seed = seed_of("member", settings.seed, number)
        model = new_model(encoder, method, graphs, fold, task, HONEST, seed)
        fit(model, method, setting, graphs, fold, task, HONEST, settings.training, seed)
        return model

    def member(setting: Settings, number: int, fold: Fold) -> tuple[Model, Array]:
        if method.mixing is None:
            model = trained(setting, number, fold, method)
            return model, model.predict(graphs, fold.valid)[:, 0]
        if number not in tuned:
            tuned[number] = trained(source.grid(len(encoder.blocks))[0], number, fold, source)
        model, seed = copy.deepcopy(tuned[number]), seed_of("member", settings.seed, number)
        mixed = mix(model, theta_0, method.mixing, setting, graphs, fold, task, HONEST, seed)
        return model, mixed.valid[:, 0]

    return _best(member, graphs.labels[:, 0], parts, [method.parse(setting) for setting in settings.grid], settings)


def fit_fingerprints(
    X: csr_matrix, labels: Array, twins: npt.NDArray[np.integer], settings: EnsembleSettings
) -> Ensemble:
    """The fingerprint baseline as an ensemble, on n x 2048 Morgan counts and n labels; otherwise as `fit_networks`."""
    parts = _parts(labels[:, None], twins, settings)

    def member(setting: Settings, number: int, fold: Fold) -> tuple[Fingerprint, Array]:
        seed = seed_of("member", settings.seed, number) % 2**32
        y = labels[fold.train].astype(np.float64)
        model = learner(setting, settings.task, TREES, seed).fit(X[fold.train], y)
        found = Fingerprint.of(model, settings.task, float(y.mean()))
        return found, found.predict(X[fold.valid], settings.task)

    grid = [METHODS[settings.method].parse(setting) for setting in settings.grid]
    return _best(member, labels, parts, list(dict.fromkeys(grid)), settings)


def _parts(labels: Array, twins: npt.NDArray[np.integer], settings: EnsembleSettings) -> list[Fold]:
    """The members' training and validation molecules; nothing is left for a test."""
    rng = generator("members", settings.seed)
    part = stratified_folds(labels.astype(np.float64), twins, "ensemble", settings.members, settings.task, rng)
    nothing = np.empty(0, np.int64)
    return [
        Fold(np.flatnonzero(part != number), np.flatnonzero(part == number), nothing)
        for number in range(settings.members)
    ]


def _best(
    member: Callable[[Settings, int, Fold], tuple[Any, Array]],
    labels: Array,
    parts: list[Fold],
    grid: Sequence[Settings],
    settings: EnsembleSettings,
) -> Ensemble:
    """The ensemble of the setting whose out-of-fold predictions are best, by the rule that selects everywhere."""
    found: dict[str, Ensemble] = {}
    candidates, reasons = [], []
    for setting in grid:
        members, out_of_fold = [], np.empty(len(labels), np.float32)
        try:
            for number, fold in enumerate(parts):
                model, out_of_fold[fold.valid] = member(setting, number, fold)
                members.append(model)
        except DivergedError as error:
            reasons.append(f"{setting_text(setting)}: {error}")
            continue
        truth, predicted = labels[:, None], out_of_fold[:, None]
        score = metrics.primary(settings.metric, truth, predicted)
        text = setting_text(setting)
        found[text] = Ensemble(members, text, out_of_fold, score)
        candidates.append(Candidate(text, score, metrics.loss(settings.task, truth, predicted), float("nan")))
    if not candidates:
        raise UserError(f"{settings.method}: no setting could be fitted: {'; '.join(reasons)}. Choose another method.")
    return found[validation(candidates, metrics.BETTER[settings.metric])[0].setting]
