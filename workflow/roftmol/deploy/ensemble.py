"""Several models of one method, each stopped on another part of the labels, so that every label is trained on.

Member k trains on all parts but k. Part k chooses its epoch, and whatever else a method learns on held-out labels. The
prediction is the mean of the members'. With `validation: crossfit`, an experiment fits and scores the same: parts with
the same strata, the same seeds, and hyperparameters selected by the same rule.

A member's own predictions for part k calibrate nothing, because the member was stopped where part k is predicted best.
:func:`out_of_sample` gives every molecule the prediction of a whole ensemble that did not have it.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
from roftmol.heads import forest
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
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EnsembleSettings:
    """What is fitted: a method with the grid of hyperparameters to choose from, on one label column."""

    method: str
    grid: tuple[dict[str, Any], ...]
    task: str  #: a name in `tasks.TASKS`
    metric: str
    training: TrainSettings = field(default_factory=TrainSettings)
    members: int = 5
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The members, and the hyperparameters that they share, as JSON."""

    members: Sequence[Any]
    setting: str


class Outputs(NamedTuple):
    """What an ensemble says of n molecules: its prediction, and how far its members spread around it."""

    mean: Doubles
    spread: Doubles

    @classmethod
    def of_members(cls, predictions: npt.NDArray[np.floating]) -> Outputs:
        """Return the members' mean and standard deviation; `predictions` are members x molecules."""
        values = predictions.astype(np.float64)
        return cls(values.mean(0), values.std(0, ddof=1))


@dataclass(frozen=True, eq=False)
class Reference:
    """A model without an encoder as plain arrays: linear or a forest on Morgan counts, or a constant."""

    arrays: Mapping[str, npt.NDArray[Any]] = field(repr=False)

    @classmethod
    def of(cls, model: Any, task: str, rate: float) -> Reference:
        """Take the arrays of a fitted model; `rate` is the mean label, one more tree of a classifying forest."""
        if not hasattr(model, "estimators_"):
            return cls({"coefficients": np.ravel(model.coef_), "intercept": np.atleast_1d(model.intercept_)})
        column = forest.Column(forest.Trees.of(model), rate if TASKS[task].classes else None)
        return cls(forest.Forest((column,)).arrays())

    def predict(self, X: csr_matrix, task: str) -> Array:
        """Predict n probabilities or values from n x 2048 counts."""
        a = self.arrays
        if "constant" in a:
            return np.repeat(a["constant"], X.shape[0]).astype(np.float32)
        if "coefficients" in a:
            output = X @ a["coefficients"] + a["intercept"]
            return (1 / (1 + np.exp(-output)) if TASKS[task].classes else output).astype(np.float32)
        (column,) = forest.read(a).columns
        assert isinstance(column, forest.Column)
        return column.predict(X.toarray().astype(np.float32))[0].astype(np.float32)


#: Called when a fit ends, such as a bar's step.
Ended = Callable[[], object]


def silent() -> None:
    """Do nothing when a fit ends."""


#: Fits a member with some hyperparameters, and predicts its validation molecules; raises `DivergedError`.
Fitting = Callable[[Settings], tuple[Any, Array]]


class Source(ABC):
    """n labelled molecules, in the form that a method learns from.

    `structures` is the number of each molecule's substance (`data/parents.py`): its forms have one number, and stay in
    one part.
    """

    labels: Array
    structures: npt.NDArray[np.integer]

    @abstractmethod
    def fit(self, molecules: Rows, settings: EnsembleSettings, ended: Ended = silent) -> Ensemble:
        """Fit an ensemble on these molecules; all their labels teach."""

    @abstractmethod
    def outputs(self, ensemble: Ensemble, molecules: Rows, settings: EnsembleSettings) -> Outputs:
        """Predict these molecules."""


class Members(Source):
    """A source of ensembles whose members are stopped on a part of the labels each."""

    def fit(self, molecules: Rows, settings: EnsembleSettings, ended: Ended = silent) -> Ensemble:
        """Fit a member for each part of these molecules."""
        return fit_ensemble(self, deal(self, molecules, settings), settings, ended)

    def outputs(self, ensemble: Ensemble, molecules: Rows, settings: EnsembleSettings) -> Outputs:
        """Predict these molecules by all members."""
        return Outputs.of_members(self.predict(ensemble.members, molecules, settings))

    @abstractmethod
    def start(self, number: int, fold: Fold, settings: EnsembleSettings) -> Fitting:
        """Return the function that fits a fold's member with given hyperparameters."""

    @abstractmethod
    def predict(self, members: Sequence[Any], molecules: Rows, settings: EnsembleSettings) -> Array:
        """Return every member's predictions, members x molecules."""


@dataclass(frozen=True, eq=False)
class Networks(Members):
    """Molecules as graphs, which have one label column, and the encoder whose copies are fine-tuned."""

    encoder: Encoder
    graphs: Graphs
    structures: npt.NDArray[np.integer]

    @property
    def labels(self) -> Array:  # type: ignore[override]
        """The labels, n."""
        return self.graphs.labels[:, 0]

    def start(self, number: int, fold: Fold, settings: EnsembleSettings) -> Fitting:
        """Return the function that trains a model, or mixes it from one that is trained here."""
        method = METHODS[settings.method]

        def fit_of(method: Method, hyperparameters: Settings) -> Fit:
            task = Task(settings.task, settings.metric)
            return Fit(method, hyperparameters, self.graphs, fold, task, HONEST, settings.training, settings.seed)

        def trained(fit: Fit) -> Model:
            model = new_model(self.encoder, fit)
            train(model, fit)
            return model

        if method.mixing is None:

            def fitted(hyperparameters: Settings) -> tuple[Model, Array]:
                model = trained(fit_of(method, hyperparameters))
                return model, model.predict(self.graphs, fold.valid)[:, 0]

            return fitted
        source = METHODS[method.mixing.source]
        theta_0 = {name: tensor.clone() for name, tensor in self.encoder.state_dict().items()}
        tuned = trained(fit_of(source, source.grid(len(self.encoder.blocks))[0]))

        def mixed(hyperparameters: Settings) -> tuple[Model, Array]:
            model = copy.deepcopy(tuned)
            return model, mix(model, theta_0, fit_of(method, hyperparameters)).valid[:, 0]

        return mixed

    def predict(self, members: Sequence[Model], molecules: Rows, settings: EnsembleSettings) -> Array:
        """Return every member's predictions, members x molecules."""
        return predict_networks(members, self.graphs, molecules)


@dataclass(frozen=True, eq=False)
class References(Members):
    """Molecules as n x 2048 Morgan counts, for models without an encoder."""

    X: csr_matrix
    labels: Array
    structures: npt.NDArray[np.integer]

    def start(self, number: int, fold: Fold, settings: EnsembleSettings) -> Fitting:
        """Return the function that fits a learner to the labels that are values.

        The constant selects nothing, so it learns from the validation labels too.
        """
        seed = seed_of("member", settings.seed, number) % 2**32
        y = TASKS[settings.task].values(self.labels.astype(np.float64))

        def fitted(setting: Settings) -> tuple[Reference, Array]:
            if settings.method == CONSTANT:
                mean = np.nanmean(y[np.concatenate([fold.train, fold.valid])])
                held_out = np.full(len(fold.valid), np.nanmean(y[fold.train]), np.float32)
                return Reference({"constant": np.array([mean])}), held_out
            teach = fold.train[~np.isnan(y[fold.train])]
            model = learner(setting, settings.task, TREES, seed).fit(self.X[teach], y[teach])
            reference = Reference.of(model, settings.task, float(y[teach].mean()))
            return reference, reference.predict(self.X[fold.valid], settings.task)

        return fitted

    def predict(self, members: Sequence[Reference], molecules: Rows, settings: EnsembleSettings) -> Array:
        """Return every member's predictions, members x molecules."""
        return np.stack([member.predict(self.X[molecules], settings.task) for member in members])


@torch.no_grad()
def predict_networks(members: Sequence[Model], graphs: Graphs, molecules: Rows | None = None) -> Array:
    """Return every member's predictions for one label column, members x molecules; without `molecules`, for all.

    Batches are cut once for all members, and an encoder that several members share runs once.
    """
    for model in members:
        model.eval()
    if molecules is None:
        molecules = np.arange(len(graphs))
    encoders = {id(model.encoder): model.encoder for model in members}
    predictions = []
    for batch in evaluation_batches(members[0].encoder, graphs, molecules):
        vectors = {key: encoder.read(batch) for key, encoder in encoders.items()}
        outputs = [model.in_label_units(model.head(vectors[id(model.encoder)], batch)) for model in members]
        predictions.append(torch.stack(outputs)[..., 0])
    return torch.cat(predictions, 1).numpy()


def deal(source: Source, molecules: Rows, settings: EnsembleSettings) -> list[Fold]:
    """Deal these molecules out as the members' training and validation molecules; none is left for a test."""
    rng = generator("members", settings.seed)
    part = _parts(source, molecules, settings.members, "ensemble", settings, rng)
    no_test = np.empty(0, np.int64)
    return [Fold(molecules[part != number], molecules[part == number], no_test) for number in range(settings.members)]


def fit_ensemble(source: Members, folds: Sequence[Fold], settings: EnsembleSettings, ended: Ended = silent) -> Ensemble:
    """Fit a member a fold, with the hyperparameters whose out-of-fold predictions are best.

    The rule of `scoring.selection.validation` selects them, as in an experiment. Raises `UserError` if every fit of the
    grid diverged.
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
            ended()
    left = [setting for setting in grid if setting not in reasons]
    if not left:
        details = "; ".join(f"{setting_text(setting)}: {reason}" for setting, reason in reasons.items())
        raise UserError(f"{settings.method}: no hyperparameters could be fitted: {details}. Choose another method.")
    labels = source.labels[np.concatenate([fold.valid for fold in folds])][:, None]
    candidates = []
    for setting in left:
        predicted = np.concatenate(out_of_fold[setting])[:, None]
        score = metrics.primary(settings.metric, labels, predicted)
        loss = metrics.loss(settings.task, labels, predicted)
        candidates.append(Candidate(setting_text(setting), score, loss, float("nan")))
    chosen = validation(candidates, METRICS[settings.metric].sign)[0].setting
    return Ensemble(next(members[setting] for setting in left if setting_text(setting) == chosen), chosen)


def fits_of(settings: EnsembleSettings) -> int:
    """Return how many fits an ensemble takes that is calibrated out of sample."""
    once = 1 if METHODS[settings.method].head else settings.members * len(settings.grid)
    return once * (PARTS + 1)


def out_of_sample(source: Source, settings: EnsembleSettings, ended: Ended = silent) -> OutOfSample:
    """Predict every molecule by an ensemble that had it neither for training nor for early stopping.

    The molecules are dealt into as many parts as a cross-validation has, and an ensemble is fitted without each.
    """
    everything = np.arange(len(source.labels))
    part = _parts(source, everything, PARTS, "calibration", settings, generator("out of sample", settings.seed))
    prediction, spread = np.empty(len(part)), np.empty(len(part))
    for number in range(PARTS):
        held = everything[part == number]
        ensemble = source.fit(everything[part != number], settings, ended)
        prediction[held], spread[held] = source.outputs(ensemble, held, settings)
    return OutOfSample(everything, prediction, spread, part)


def _parts(
    source: Source, molecules: Rows, count: int, where: str, settings: EnsembleSettings, rng: np.random.Generator
) -> Rows:
    """Return the part of each of these molecules; labels are dealt evenly, forms of a substance together."""
    labels = source.labels[molecules, None].astype(np.float64)
    parts = stratified_folds(labels, source.structures[molecules], where, count, settings.task, rng)
    return parts.astype(np.int64)
