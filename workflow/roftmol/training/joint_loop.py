"""The loop of joint fine-tuning: one encoder, a head for each dataset of a panel, and a weighted sum of their losses.

It is `loop.py`'s with the union of the datasets in place of one. What differs:

- Batches are those of the union's training rows. Where a dataset has no training label in a batch, one row of it is
  put at the end, the next of an order of its own. So every batch serves every dataset and no loss is missing; small
  datasets are gone through more often than large ones.
- An epoch is judged by each dataset's own metric on its own validation molecules. One epoch is kept for all: that of
  the best mean over datasets, see :func:`joint_key`.

With one dataset nothing differs: the fit is full fine-tuning's to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from roftmol.core.seeds import generator, seed_of
from roftmol.encoders.base import Encoder, Spatial, norms
from roftmol.features.graphs import Batch, evenly
from roftmol.methods.base import JointStep
from roftmol.scoring import metrics
from roftmol.tasks import METRICS
from roftmol.training import batchnorm
from roftmol.training.best_epoch import Best
from roftmol.training.curve import Epoch, selection_key
from roftmol.training.fit import DivergedError, Fit
from roftmol.training.forward import Adam, Forward, Vectors
from roftmol.training.model import Model, freeze, new_model, set_training, task_loss
from roftmol.training.panel import Rows, Union, joint_fold

#: A dataset's numbers of an epoch.
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class JointEpoch(Epoch):
    """One point of a dataset's learning curve in a joint fit."""

    weight: float  #: of the dataset's loss, its mean over the steps of the epoch


@dataclass(frozen=True)
class JointHistory:
    """What a joint fit went through."""

    curves: list[list[JointEpoch]]  #: of each dataset
    best_epoch: int  #: whose weights all datasets keep
    trained_parameters: list[int]  #: of each dataset, the encoder's and its head's


def new_models(encoder: Encoder, fits: Sequence[Fit], beside: int = 0) -> list[Model]:
    """Return the models of a panel's datasets at the start of a joint fit: one encoder, and each dataset's own head.

    A dataset's head is that of its other fits of the seed; with `beside`, it reads so many numbers beside a vector.
    """
    models = [new_model(encoder, fit) for fit in fits]
    for model in models:
        model.encoder = models[0].encoder
        if beside:
            model.widen(beside)
    return models


def train(
    models: Sequence[Model], fits: Sequence[Fit], molecules: Union, beside: NDArray[np.float32] | None = None
) -> JointHistory:
    """Train the models of a panel's datasets in place; they share an encoder, and end with the best epoch's weights.

    `fits` differ in what is a dataset's own: molecules, fold and task. `beside` is what all heads read beside the
    vectors of the union's molecules, n x w. Raises `DivergedError` when the loss is not finite.
    """
    assert not isinstance(models[0].encoder, Spatial), "the configuration's check lets none pass"
    assert all(model.encoder is models[0].encoder for model in models)
    return _Joint(models, fits, molecules, beside).run()


class _Joint:
    def __init__(
        self, models: Sequence[Model], fits: Sequence[Fit], molecules: Union, beside: NDArray[np.float32] | None
    ):
        fit, encoder = fits[0], models[0].encoder
        assert fit.method.stages is not None
        self.models, self.fits, self.molecules, self.encoder = models, fits, molecules, encoder
        self.network = nn.ModuleList(models)
        self.device = models[0].shift.device
        self.beside = None if beside is None else torch.from_numpy(beside).to(self.device)
        self.seed, self.protocol, self.training = fit.seed, fit.protocol, fit.training
        self.fold = joint_fold(molecules, [one.fold for one in fits])
        (self.trained,) = fit.method.stages(fit.hyperparameters, encoder.parts)
        for model in models:
            freeze(model, self.trained, train_norms=self.protocol.train_norms)
        evaluated = np.concatenate([self.fold.train, self.fold.valid])
        self.forward = Forward(encoder, molecules.graphs, evaluated, 0, self.device)
        self.held_out = self.forward.evaluation_batches(self.fold.valid)
        labels = ~np.isnan(self.fold.labels)
        self.entries = np.stack([labels[:, columns].sum(1) for columns in molecules.columns], 1)  #: n x T
        self.r = torch.tensor(self.entries.sum(0) / self.entries.sum(), dtype=torch.float32, device=self.device)
        self.classes = torch.tensor([one.task.type.classes for one in fits], device=self.device)
        self.b = torch.zeros(len(fits), device=self.device, requires_grad=True)
        self.optimizer = Adam([*self.network.parameters(), self.b], self.training.learning_rate)
        self.units = [1.0] if len(fits) == 1 else [_unit(one) for one in fits]
        torch.manual_seed(seed_of("dropout", self.seed, 0))
        self.order = generator("batches", self.seed, 0)
        self.turns = [
            _turns(np.flatnonzero(of_dataset), generator("turns", self.seed, number))
            for number, of_dataset in enumerate(self.fold.trains.T)
        ]
        self._set_training()
        self.norms = [layer for layer in norms(encoder) if layer.training] if self.protocol.estimate_norm else []
        sample = batchnorm.sample(self.fold.train, self.seed)
        self.norm_batches = self.forward.evaluation_batches(sample) if self.norms else []

    def run(self) -> JointHistory:
        """Train, leave the best epoch's weights in the models, and return what there was."""
        best = Best(self.network)
        epochs: list[list[JointEpoch]] = []
        keys: list[tuple[float, float]] = []
        for epoch in range(1, self.training.epochs_of(len(self.fold.train)) + 1):
            epochs.append(self._validated(epoch, *self._epoch(epoch)))
            keys.append(joint_key(epochs[-1], self.fits, self.units))
            best.offer(keys[-1])
            if self.protocol.stop_early and best.waited >= self.training.patience:
                break
        best.restore()
        of_encoder = _size(self.encoder)
        return JointHistory(
            curves=[list(curve) for curve in zip(*epochs, strict=True)],
            best_epoch=1 + min(range(len(keys)), key=keys.__getitem__),
            trained_parameters=[of_encoder + _size(model.head) for model in self.models],
        )

    def _epoch(self, epoch: int) -> tuple[Numbers, Numbers]:
        """Take a step on every batch; return each dataset's mean loss over its molecules, and its mean weight."""
        self._set_training()
        losses = np.zeros(len(self.fits))
        molecules = np.zeros(len(self.fits))
        weights: list[Numbers] = []
        for part in evenly(self.order.permutation(self.fold.train), self.training.batch_size):
            rows = self._serving_all(part)
            L, w = self._step(rows, epoch)
            trained = self.fold.trains[rows].sum(0)
            losses += L * trained
            molecules += trained
            weights.append(w)
        if self.norms:
            self.encoder.eval()
            batchnorm.estimate(self.norms, self.norm_batches, self.forward.features)
        return losses / molecules, np.mean(weights, 0)

    def _serving_all(self, rows: Rows) -> Rows:
        """Return the rows of a batch with one more for each dataset that none of them trains."""
        for number, turns in enumerate(self.turns):
            if not self.fold.trains[rows, number].any():
                rows = np.append(rows, next(turns))
        return rows

    def _set_training(self) -> None:
        for model in self.models:
            set_training(model, self.trained, fully=self.protocol.freeze_fully)

    def _step(self, rows: Rows, epoch: int) -> tuple[Numbers, Numbers]:
        """Take one step down the weighted loss of a batch; return each dataset's loss before it, and its weight."""
        fit = self.fits[0]
        assert fit.method.joint is not None
        batch = self.molecules.graphs.batch(rows, self.encoder.merged(0, 1)).to(self.device)
        labels = torch.from_numpy(self.fold.labels[rows]).to(self.device)
        features = self._read(batch, self.forward(batch)[1])
        L = torch.stack(
            [
                task_loss(
                    model.head(features, batch),
                    model.standardised(labels[:, columns]),
                    one.task.kind,
                    root=self.protocol.root_loss,
                )
                for model, one, columns in zip(self.models, self.fits, self.molecules.columns, strict=True)
            ]
        )
        entries = self.entries[rows].sum(0)
        share = torch.tensor(entries / entries.sum(), dtype=L.dtype, device=self.device)
        loss, w = fit.method.joint(fit.hyperparameters, JointStep(L, share, self.r, self.classes, self.b))
        if not math.isfinite(number := loss.item()):
            raise DivergedError(f"the training loss became {number} in epoch {epoch}")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return L.detach().cpu().double().numpy(), w.detach().cpu().double().numpy()

    def _read(self, batch: Batch | Vectors, vectors: Tensor) -> Tensor:
        """Return what the heads read of a batch: vectors, b x d, and beside each what stands there, b x w."""
        if self.beside is None:
            return vectors
        assert isinstance(batch, Batch), "no part of the encoder is frozen"
        return torch.cat([vectors, self.beside[batch.molecules]], 1)

    @torch.no_grad()
    def _validated(self, epoch: int, train_losses: Numbers, weights: Numbers) -> list[JointEpoch]:
        """Return the point of each dataset's curve, by its own validation molecules."""
        self.network.eval()
        features = [self._read(batch, self.forward.features(batch)) for batch in self.held_out]
        points = []
        for number, (model, fit) in enumerate(zip(self.models, self.fits, strict=True)):
            outputs = [
                model.in_label_units(model.head(x, batch)) for x, batch in zip(features, self.held_out, strict=True)
            ]
            predicted = torch.cat(outputs).cpu().numpy()[self.fold.valid_at[number]]
            truth = fit.graphs.labels[fit.fold.valid]
            points.append(
                JointEpoch(
                    stage=0,
                    epoch=epoch,
                    train_loss=float(train_losses[number]),
                    valid_loss=metrics.loss(fit.task.kind, truth, predicted),
                    valid_metric=metrics.primary(fit.task.metric, truth, predicted),
                    weight=float(weights[number]),
                )
            )
        return points


def joint_key(points: Sequence[Epoch], fits: Sequence[Fit], units: Sequence[float]) -> tuple[float, float]:
    """Return what to minimise over epochs: the mean over datasets of what each alone would minimise.

    What is in label units is divided by the deviation of the dataset's training labels (`units`), so that no dataset
    counts more for its unit. Undefined metrics are left out of the mean. With one dataset and the unit 1 it is
    :func:`selection_key`.
    """
    keys = [
        selection_key(fit.task.metric, point.valid_metric, point.valid_loss)
        for point, fit in zip(points, fits, strict=True)
    ]
    if any(math.isinf(loss) for _, loss in keys):
        return math.inf, math.inf
    scores = [
        score / (unit if METRICS[fit.task.metric].in_label_units else 1.0)
        for (score, _), point, fit, unit in zip(keys, points, fits, units, strict=True)
        if not math.isnan(point.valid_metric)
    ]
    # The loss of labels that are scaled for learning is a squared error in their unit; of others the unit is 1.
    losses = [loss / unit**2 for (_, loss), unit in zip(keys, units, strict=True)]
    return (float(np.mean(scores)) if scores else 0.0, float(np.mean(losses)))


def _unit(fit: Fit) -> float:
    """Return the deviation of a dataset's training labels, its mean over label columns; 1 where they are not scaled."""
    scaling = fit.task.type.scaling
    return float(np.mean(scaling(fit.graphs.labels[fit.fold.train].astype(np.float64))[1])) if scaling else 1.0


def _turns(rows: Rows, draws: np.random.Generator) -> Iterator[int]:
    """Yield the rows one after the other, in an order that is drawn anew each time round."""
    while True:
        yield from draws.permutation(rows).tolist()


def _size(module: nn.Module) -> int:
    return sum(theta.numel() for theta in module.parameters())
