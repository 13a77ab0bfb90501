"""The training loop. It reads what a method declares and what a protocol demands, and knows neither by name."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roftmol.core.seeds import generator, seed_of
from roftmol.encoders import Encoder, Spatial, State
from roftmol.encoders.base import norms
from roftmol.features.graphs import Batch, Graphs, Indices
from roftmol.methods.base import Alternation, Method, Parts, Settings, Step
from roftmol.methods.protocols import Protocol
from roftmol.scoring import metrics
from roftmol.training import batchnorm
from roftmol.training.auxiliary.base import Auxiliary, Branch
from roftmol.training.forward import Adam, Forward, States, evaluation_batches, frozen_below

AnyBatch = TypeVar("AnyBatch")


class DivergedError(Exception):
    """The loss stopped being a number."""


@dataclass(frozen=True)
class TrainSettings:
    """Adam, batches of `batch_size`, the best of `epochs` by validation; dropout in the encoder's blocks.

    `steps`, if not 0, counts in place of `epochs`: as many epochs as hold that many batches.
    """

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    patience: int = 20  #: epochs without improvement before stopping, where the protocol allows
    dropout: float = 0.5
    steps: int = 0

    def epochs_of(self, molecules: int) -> int:
        """The most epochs for so many training molecules."""
        return math.ceil(self.steps / math.ceil(molecules / self.batch_size)) if self.steps else self.epochs


@dataclass(frozen=True)
class Task:
    """What is predicted: the kind of loss, the metric that selects, and whether a label grows with the molecule."""

    kind: str  #: "classification" or "regression"
    metric: str
    extensive: bool = False  #: read by heads that pool atoms' outputs themselves: they sum them


@dataclass(frozen=True, eq=False)
class Fold:
    """Which molecules train, validate and test one fit."""

    train: npt.NDArray[np.int64]
    valid: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    #: In distribution, beside a test out of it.
    test_id: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def held_out(self) -> npt.NDArray[np.int64]:
        """Validation, test, and the test in distribution where there is one."""
        return np.concatenate([self.valid, self.test, self.test_id])


class HeldOut(NamedTuple):
    """What a model says of a fold's validation and test molecules."""

    valid: npt.NDArray[np.float32]  #: predictions, molecules x tasks
    test: npt.NDArray[np.float32]
    test_id: npt.NDArray[np.float32]
    vectors: Tensor  #: molecules x width, in the order of `Fold.held_out`


@dataclass(frozen=True)
class Epoch:
    """One point of the learning curve."""

    stage: int
    epoch: int
    train_loss: float
    valid_loss: float
    valid_metric: float


class Model(nn.Module):
    """An encoder with a head, which is linear on molecules' vectors, and the scaling of its outputs to label units.

    y = scale * (head(encoder(molecule))) + shift for regression; a probability for classification.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, encoder: Encoder, tasks: int, task: Task):
        super().__init__()
        self.encoder = encoder
        self.head = encoder.new_head(tasks, task.extensive)
        self.kind = task.kind
        self.register_buffer("shift", torch.zeros(tasks))
        self.register_buffer("scale", torch.ones(tasks))

    def forward(self, batch: Batch) -> Tensor:
        """Logits or standardised values, b x t."""
        return self.head(self.encoder.read(batch), batch)

    def in_label_units(self, output: Tensor) -> Tensor:
        """Probabilities or values in the labels' units from what `forward` gives."""
        return output.sigmoid() if self.kind == "classification" else output * self.scale + self.shift

    def predict(self, graphs: Graphs, molecules: Indices) -> npt.NDArray[np.float32]:
        """Predictions in eval mode, molecules x tasks, whatever the batch size."""
        batches = evaluation_batches(self.encoder, graphs, molecules)
        return _predict(self, (batch.to(self.shift.device) for batch in batches), self.encoder.read)

    def predict_held_out(self, graphs: Graphs, fold: Fold) -> HeldOut:
        """Predictions for the fold's validation and test molecules and their vectors, in one pass."""
        vectors: list[Tensor] = []

        def features(batch: Batch) -> Tensor:
            state = self.encoder.state(batch)
            vectors.append(self.encoder.pool(state, batch))
            return state.atoms if self.encoder.reads == "atoms" else vectors[-1]

        batches = evaluation_batches(self.encoder, graphs, fold.held_out)
        predicted = _predict(self, (batch.to(self.shift.device) for batch in batches), features)
        valid, test, test_id = np.split(predicted, np.cumsum([len(fold.valid), len(fold.test)]))
        return HeldOut(valid, test, test_id, torch.cat(vectors))


@torch.no_grad()
def _predict(
    model: Model, batches: Iterable[AnyBatch], features: Callable[[AnyBatch], Tensor]
) -> npt.NDArray[np.float32]:
    """The model's predictions in eval mode from what `features` gives the head."""
    model.eval()
    return torch.cat([model.in_label_units(model.head(features(batch), batch)) for batch in batches]).cpu().numpy()


def _score(predicted: npt.NDArray[np.float32], truth: npt.NDArray[np.float32], task: Task) -> tuple[float, float]:
    """The loss and the metric of predictions."""
    return metrics.loss(task.kind, truth, predicted), metrics.primary(task.metric, truth, predicted)


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
    model = Model(copy.deepcopy(encoder), graphs.labels.shape[1], task)
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
    auxiliary: Auxiliary | None = None,
) -> list[Epoch]:
    """Train `model` in place through the method's stages; it ends with the best epoch's weights of the last stage.

    The best epoch has the best validation metric, or the lowest validation loss where the metric is undefined or tied.
    Where the protocol says so, BatchNorm layers that train are validated and kept with statistics that are estimated
    on the training molecules (`batchnorm.py`). Then the start of a later stage, as the stage before left it, is a
    candidate too: epoch 0. Methods that alternate with a second task take it from `auxiliary`.

    Returns the learning curve. Raises `DivergedError` when the loss is not finite.
    """
    assert method.stages is not None
    alternation = method.alternation(settings) if method.alternation else None
    in_space = isinstance(model.encoder, Spatial)
    rate_end = protocol.rate_end_in_space if in_space else 1.0
    norm = protocol.clip_in_space if in_space else math.inf
    values = protocol.clip_values if method.penalty else math.inf
    branch = auxiliary.branch(model.encoder) if alternation and auxiliary else None
    device = model.shift.device
    encoder = model.encoder
    theta_0 = {name: tensor.detach().clone() for name, tensor in encoder.named_parameters()}
    pretrained = copy.deepcopy(model).requires_grad_(False) if method.needs_Z_0 else None
    truth = graphs.labels[fold.valid]
    curve: list[Epoch] = []
    for stage, trained in enumerate(method.stages(settings, encoder.parts)):
        freeze(model, trained, train_norms=protocol.train_norms)
        if branch:
            branch.train()
        frozen_mode = protocol.freeze_fully
        frozen = frozen_below(encoder, trained) if frozen_mode else 0
        forward = Forward(encoder, graphs, np.concatenate([fold.train, fold.valid]), frozen, device)
        Z_0 = _pretrained_maps(pretrained, trained, graphs, fold, protocol) if pretrained else None
        held_out = forward.evaluation_batches(fold.valid)
        optimizers = _optimizers(model, method, settings, branch, training.learning_rate)
        torch.manual_seed(seed_of("dropout", seed, stage))
        order = generator("batches", seed, stage)
        second = _Second(alternation, branch, optimizers, seed, stage) if alternation and branch else None
        set_training(model, trained, fully=frozen_mode)
        layers = [layer for layer in norms(encoder) if layer.training] if protocol.estimate_norm else []
        lenders = forward.evaluation_batches(batchnorm.sample(fold.train, seed)) if layers else []
        best = _Best(model)
        if stage and protocol.keep_start:
            score = _score(_predict(model, held_out, forward.features), truth, task)
            curve.append(Epoch(stage, 0, math.nan, *score))
            best.offer(curve[-1], task.metric)
        epochs = training.epochs_of(len(fold.train))
        for epoch in range(1, epochs + 1):
            set_training(model, trained, fully=frozen_mode)
            progress = (epoch - 1) / epochs
            for optimizer in optimizers:
                optimizer.slow(rate_end**progress)
            total, seen = 0.0, 0
            for batch in forward.training_batches(order.permutation(fold.train), training.batch_size):
                if second is not None and second.instead(progress):
                    continue
                Z_0_batch = Z_0(batch) if Z_0 and isinstance(batch, Batch) else None
                Z, features = forward(batch)
                labels = (batch.labels - model.shift) / model.scale
                loss = task_loss(model.head(features, batch), labels, task.kind, root=protocol.root_loss)
                if method.penalty:
                    step = Step(
                        theta=dict(encoder.named_parameters()),
                        theta_0=theta_0,
                        phi=dict(model.head.named_parameters()),
                        Z=Z,
                        Z_0=Z_0_batch,
                        features=features,
                        normalise=protocol.normalise_penalties,
                        decay_head=protocol.decay_head,
                    )
                    loss = loss + method.penalty(settings, step)
                if not math.isfinite(value := loss.item()):
                    raise DivergedError(f"the training loss became {value} in epoch {epoch}")
                _descend(loss, optimizers, norm, values)
                total, seen = total + value * len(batch), seen + len(batch)
            if layers:
                encoder.eval()
                batchnorm.estimate(layers, lenders, forward.features)
            score = _score(_predict(model, held_out, forward.features), truth, task)
            curve.append(Epoch(stage, epoch, total / seen if seen else math.nan, *score))
            best.offer(curve[-1], task.metric)
            if protocol.stop_early and best.waited >= training.patience:
                break
        best.restore()
    return curve


class _Best:
    """The best epoch of a stage so far: what of the model moves, as it was then."""

    def __init__(self, model: Model):
        self.model = model
        self.moving = dict(model.named_buffers())
        self.moving |= {name: theta for name, theta in model.named_parameters() if theta.requires_grad}
        self.reached = (math.inf, math.inf)
        self.state: dict[str, Tensor] = {}
        self.waited = 0  #: epochs since then

    def offer(self, point: Epoch, metric: str) -> None:
        """Keep a copy of the model if no earlier epoch was as good."""
        reached = standing(metric, point.valid_metric, point.valid_loss)
        if not reached < self.reached:
            self.waited += 1
            return
        self.reached, self.waited = reached, 0
        self.state = {name: tensor.detach().clone() for name, tensor in self.moving.items()}

    def restore(self) -> None:
        """Put the best epoch's weights into the model.

        Raises `DivergedError` if there is none.
        """
        if not self.state:
            raise DivergedError("the validation loss was never a number")
        self.model.load_state_dict(self.state, strict=False)  # what is frozen has not moved


def _pretrained_maps(
    pretrained: Model, trained: Parts, graphs: Graphs, fold: Fold, protocol: Protocol
) -> Callable[[Batch], Tensor]:
    """What gives Z_0 of a training batch, n x d, by the encoder of `pretrained`.

    With `protocol.pair_maps` it is asked before the pass that gives Z and draws the same dropout: both are one function
    of the weights, so that Z is Z_0 at theta_0. Else it is in eval mode.
    """
    encoder, device = pretrained.encoder, pretrained.shift.device
    if not protocol.pair_maps or encoder.steady:
        encoder.eval()
        states = States(encoder, graphs, fold.train, lambda batch: State(encoder.state_and_map(batch)[1]), device)
        return lambda batch: states.of(batch).atoms
    frozen = frozen_below(encoder, trained) if protocol.freeze_fully else 0
    forward = Forward(encoder, graphs, fold.train, frozen, device)
    set_training(pretrained, trained, fully=protocol.freeze_fully)

    @torch.no_grad()
    def paired(batch: Batch) -> Tensor:
        with torch.random.fork_rng([] if device.type == "cpu" else [device]):
            return forward(batch)[0]

    return paired


class _Second:
    """The second task of one stage, whose turn is drawn before each step on the property."""

    def __init__(self, alternation: Alternation, branch: Branch, optimizers: list[Adam], seed: int, stage: int):
        self.alternation = alternation
        self.branch = branch
        self.optimizers = optimizers
        self.draws = generator("branches", seed, stage)
        self.data = generator("auxiliary batches", seed, stage)

    def instead(self, progress: float) -> bool:
        """Take the steps whose turn it is, and say whether one stood in place of the property's step."""
        while self.draws.random() < self.alternation.probability:
            self._step(progress)
            if not self.alternation.extra:
                return True
        return False

    def _step(self, progress: float) -> None:
        loss = self.branch.loss(progress, self.data)
        if not math.isfinite(value := loss.item()):
            raise DivergedError(f"the loss of the second task became {value}")
        _descend(loss, self.optimizers, self.branch.clip)


def _optimizers(
    model: Model, method: Method, settings: Settings, branch: Branch | None, learning_rate: float
) -> list[Adam]:
    """Adam for all that trains, one for each learning rate that the method asks for."""
    theta = [*model.parameters(), *(branch.extra if branch else ())]
    if method.rate is None:
        return [Adam(theta, learning_rate)]
    parts, rates = model.encoder.parts, {}
    for name, tensor in model.encoder.named_parameters():
        if (part := model.encoder.part_of(name)) in parts:
            rates[tensor] = method.rate(settings, part, parts)
    groups: dict[float, list[Tensor]] = {}
    for tensor in theta:
        groups.setdefault(rates.get(tensor, 1.0), []).append(tensor)
    return [Adam(group, learning_rate * rate) for rate, group in groups.items()]


def _descend(loss: Tensor, optimizers: list[Adam], norm: float = math.inf, values: float = math.inf) -> None:
    """One step down the loss, whose gradient is cut to the size `values` in every number and to the length `norm`."""
    theta = [tensor for optimizer in optimizers for tensor in optimizer.parameters]
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    if values < math.inf:
        nn.utils.clip_grad_value_(theta, values)
    if norm < math.inf:
        nn.utils.clip_grad_norm_(theta, norm)
    for optimizer in optimizers:
        optimizer.step()


def best_epoch(curve: list[Epoch], metric: str) -> Epoch:
    """The epoch of the last stage whose weights :func:`fit` keeps."""
    last = [point for point in curve if point.stage == curve[-1].stage]
    return min(last, key=lambda point: standing(metric, point.valid_metric, point.valid_loss))


def standing(metric: str, value: float, loss: float) -> tuple[float, float]:
    """What to minimise over epochs: the worse metric first, then the higher loss; the loss alone where it is undefined.

    A metric of numbers is undefined in every epoch or in none: the validation labels alone decide that. Where
    predictions are no numbers, the loss is none either, and nothing is worse.
    """
    if not math.isfinite(loss):
        return math.inf, math.inf
    return (0.0 if math.isnan(value) else -metrics.BETTER[metric] * value, loss)


def freeze(model: Model, trained: Parts, *, train_norms: bool = True) -> None:
    """Let these encoder parts and the head take gradients, and nothing else.

    Without `train_norms`, BatchNorm's weight and bias take none either, unless all parts do.
    """
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_(model.encoder.part_of(name) in trained)
    if not train_norms and not set(model.encoder.parts) <= set(trained):
        for norm in norms(model.encoder):
            norm.requires_grad_(False)
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
