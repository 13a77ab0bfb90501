"""The training loop. It reads what a method declares and what a protocol demands, and knows neither by name."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roftmol import metrics
from roftmol.encoders import Encoder, State
from roftmol.encoders.ops import Linear
from roftmol.engine import Adam, Forward, States, evaluation_batches, frozen_below
from roftmol.graphs import Batch, Graphs, Indices
from roftmol.methods.base import Method, Parts, Settings, Step
from roftmol.protocols import Protocol
from roftmol.seeds import generator, seed_of

AnyBatch = TypeVar("AnyBatch")


class DivergedError(Exception):
    """The loss stopped being a number."""


@dataclass(frozen=True)
class TrainSettings:
    """Adam, batches of `batch_size`, the best of `epochs` by validation; dropout in the encoder's blocks."""

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    patience: int = 20  #: epochs without improvement before stopping, where the protocol allows
    dropout: float = 0.5


@dataclass(frozen=True)
class Task:
    """What is predicted: the kind of loss and the metric that selects."""

    kind: str  #: "classification" or "regression"
    metric: str


@dataclass(frozen=True, eq=False)
class Fold:
    """Which molecules train, validate and test one fit."""

    train: npt.NDArray[np.int64]
    valid: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


class HeldOut(NamedTuple):
    """What a model says of a fold's validation and test molecules."""

    valid: npt.NDArray[np.float32]  #: predictions, molecules x tasks
    test: npt.NDArray[np.float32]
    vectors: Tensor  #: molecules x width, validation first


@dataclass(frozen=True)
class Epoch:
    """One point of the learning curve."""

    stage: int
    epoch: int
    train_loss: float
    valid_loss: float
    valid_metric: float


class Model(nn.Module):
    """An encoder with a linear head, and the scaling of its outputs to label units.

    y = scale * (head(encoder(molecule))) + shift for regression; a probability for classification.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, encoder: Encoder, tasks: int, kind: str):
        super().__init__()
        self.encoder = encoder
        self.head = Linear(encoder.width, tasks)
        self.kind = kind
        self.register_buffer("shift", torch.zeros(tasks))
        self.register_buffer("scale", torch.ones(tasks))

    def forward(self, batch: Batch) -> Tensor:
        """Logits or standardised values, b x t."""
        return self.head(self.encoder(batch))

    def in_label_units(self, output: Tensor) -> Tensor:
        """Probabilities or values in the labels' units from what `forward` gives."""
        return output.sigmoid() if self.kind == "classification" else output * self.scale + self.shift

    def predict(self, graphs: Graphs, molecules: Indices) -> npt.NDArray[np.float32]:
        """Predictions in eval mode, molecules x tasks, whatever the batch size."""
        batches = evaluation_batches(self.encoder, graphs, molecules)
        return _predict(self, (batch.to(self.shift.device) for batch in batches), self.encoder)

    def predict_held_out(self, graphs: Graphs, fold: Fold) -> HeldOut:
        """Predictions for the fold's validation and test molecules and their vectors, in one pass."""
        vectors: list[Tensor] = []

        def features(batch: Batch) -> Tensor:
            vectors.append(self.encoder(batch))
            return vectors[-1]

        batches = evaluation_batches(self.encoder, graphs, np.concatenate([fold.valid, fold.test]))
        predicted = _predict(self, (batch.to(self.shift.device) for batch in batches), features)
        return HeldOut(predicted[: len(fold.valid)], predicted[len(fold.valid) :], torch.cat(vectors))


@torch.no_grad()
def _predict(
    model: Model, batches: Iterable[AnyBatch], features: Callable[[AnyBatch], Tensor]
) -> npt.NDArray[np.float32]:
    """The model's predictions in eval mode from the molecules' vectors, which `features` gives."""
    model.eval()
    return torch.cat([model.in_label_units(model.head(features(batch))) for batch in batches]).cpu().numpy()


def task_loss(output: Tensor, labels: Tensor, kind: str, *, root: bool = False) -> Tensor:
    """Mean over the labelled entries of binary cross entropy with logits, or of the squared error.

    `root` takes the square root of the latter. Without labelled entries the loss is 0.
    """
    known = ~labels.isnan()
    if not known.any():
        return output.sum() * 0
    if kind == "classification":
        return F.binary_cross_entropy_with_logits(output[known], labels[known])
    error = F.mse_loss(output[known], labels[known])
    return error.sqrt() if root else error


def new_model(
    encoder: Encoder, method: Method, graphs: Graphs, fold: Fold, task: Task, protocol: Protocol, seed: int
) -> Model:
    """The model at the start of a fit: a head drawn by the seed, and the training labels' scaling.

    The head depends on the seed alone, so that every method starts from the same one.
    """
    torch.manual_seed(seed_of("initial weights", seed))
    model = Model(copy.deepcopy(encoder), graphs.labels.shape[1], task.kind)
    if not method.pretrained:
        model.encoder = encoder.fresh()
    if task.kind == "regression" and protocol.standardise:
        labels = graphs.labels[fold.train].astype(np.float64)
        deviation = np.nanstd(labels, 0)
        model.shift.copy_(torch.from_numpy(np.nanmean(labels, 0)))
        model.scale.copy_(torch.from_numpy(np.where(deviation > 0, deviation, 1.0)))
    return model


def fit(
    model: Model,
    method: Method,
    settings: Settings,
    graphs: Graphs,
    fold: Fold,
    task: Task,
    protocol: Protocol,
    training: TrainSettings,
    seed: int,
) -> list[Epoch]:
    """Train `model` in place through the method's stages; it ends with the best epoch's weights of the last stage.

    The best epoch has the best validation metric, or the lowest validation loss where the metric is undefined or tied.
    Returns the learning curve. Raises `DivergedError` when the loss is not finite.
    """
    assert method.stages is not None
    device = model.shift.device
    encoder = model.encoder
    theta_0 = {name: tensor.detach().clone() for name, tensor in encoder.named_parameters()}
    pretrained = copy.deepcopy(encoder).eval() if method.needs_Z_0 else None
    Z_0 = None
    if pretrained is not None:
        Z_0 = States(pretrained, graphs, fold.train, lambda batch: State(pretrained.nodes(batch)), device)
    curve: list[Epoch] = []
    for stage, trained in enumerate(method.stages(settings, encoder.parts)):
        freeze(model, trained)
        frozen_mode = protocol.freeze_fully
        frozen = frozen_below(encoder, trained) if frozen_mode else 0
        forward = Forward(encoder, graphs, np.concatenate([fold.train, fold.valid]), frozen, device)
        held_out = forward.evaluation_batches(fold.valid)
        optimizer = Adam(model.parameters(), training.learning_rate)
        torch.manual_seed(seed_of("dropout", seed, stage))
        order = generator("batches", seed, stage)
        best: tuple[float, float] = (math.inf, math.inf)
        moving = dict(model.named_buffers())
        moving |= {name: theta for name, theta in model.named_parameters() if theta.requires_grad}
        best_state: dict[str, Tensor] = {}
        waited = 0
        for epoch in range(1, training.epochs + 1):
            set_training(model, trained, fully=frozen_mode)
            total = 0.0
            for batch in forward.training_batches(order.permutation(fold.train), training.batch_size):
                Z, features = forward(batch)
                loss = task_loss(
                    model.head(features), (batch.labels - model.shift) / model.scale, task.kind, root=protocol.root_loss
                )
                if method.penalty:
                    step = Step(
                        theta=dict(encoder.named_parameters()),
                        theta_0=theta_0,
                        phi=dict(model.head.named_parameters()),
                        Z=Z,
                        Z_0=Z_0.of(batch).atoms if Z_0 and isinstance(batch, Batch) else None,
                        features=features,
                        normalise=protocol.normalise_penalties,
                    )
                    loss = loss + method.penalty(settings, step)
                if not math.isfinite(value := loss.item()):
                    raise DivergedError(f"the training loss became {value} in epoch {epoch}")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += value * len(batch)
            valid = _predict(model, held_out, forward.pooled_vectors)
            metric = metrics.primary(task.metric, graphs.labels[fold.valid], valid)
            valid_loss = metrics.loss(task.kind, graphs.labels[fold.valid], valid)
            curve.append(Epoch(stage, epoch, total / len(fold.train), valid_loss, metric))
            reached = standing(task.metric, metric, valid_loss)
            if reached < best:
                best, waited = reached, 0
                best_state = {name: tensor.detach().clone() for name, tensor in moving.items()}
            else:
                waited += 1
            if protocol.stop_early and waited >= training.patience:
                break
        if not best_state:
            raise DivergedError("the validation loss was never a number")
        model.load_state_dict(best_state, strict=False)  # what is frozen has not moved
    return curve


def best_epoch(curve: list[Epoch], metric: str) -> Epoch:
    """The epoch of the last stage whose weights :func:`fit` keeps."""
    last = [point for point in curve if point.stage == curve[-1].stage]
    return min(last, key=lambda point: standing(metric, point.valid_metric, point.valid_loss))


def standing(metric: str, value: float, loss: float) -> tuple[float, float]:
    """What to minimise over epochs: the worse metric first, then the higher loss; the loss alone where it is undefined.

    An undefined metric is undefined in every epoch: the validation labels alone decide that.
    """
    return (0.0 if math.isnan(value) else -metrics.BETTER[metric] * value, loss)


def freeze(model: Model, trained: Parts) -> None:
    """Let these encoder parts and the head take gradients, and nothing else."""
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_(model.encoder.part_of(name) in trained)
    for parameter in model.head.parameters():
        parameter.requires_grad_(True)


def set_training(model: Model, trained: Parts, *, fully: bool) -> None:
    """Put the model in training mode; `fully` leaves the frozen parts in eval mode, without dropout or drift.

    What lies in no part, such as dropout between the blocks of a user's own module, trains where all parts do.
    """
    model.train()
    if fully and not set(model.encoder.parts) <= set(trained):
        model.encoder.eval()
        for part in trained:
            for module in model.encoder.modules_of(part):
                module.train()
