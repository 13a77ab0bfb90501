"""The training loop. It reads what a method declares and what a protocol demands, and knows neither by name.

:func:`train` goes through a method's stages; a `_Stage` goes through its epochs (`run`), an epoch through its batches,
and a step descends the loss of one batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from roftmol.core.seeds import generator, seed_of
from roftmol.encoders.base import Spatial, State, norms
from roftmol.features.graphs import Batch
from roftmol.methods.base import Alternation, Parts, Step
from roftmol.scoring import metrics
from roftmol.training import batchnorm
from roftmol.training.auxiliary.base import AuxiliaryTask
from roftmol.training.best_epoch import Best
from roftmol.training.curve import Epoch, selection_key
from roftmol.training.fit import DivergedError, Fit
from roftmol.training.forward import Adam, Forward, States, Vectors, frozen_below, pooled
from roftmol.training.model import Model, freeze, set_training, task_loss


@dataclass(frozen=True)
class History:
    """What a fit went through: its learning curve, and how many weights its last stage trained, the head's included."""

    curve: list[Epoch]
    trained_parameters: int


def train(model: Model, fit: Fit) -> History:
    """Train `model` in place through the method's stages; it ends with the best epoch's weights of the last stage.

    The best epoch has the best validation metric, or the lowest validation loss where the metric is undefined or tied.
    Where the protocol says so, BatchNorm layers that train are validated and kept with statistics that are estimated
    on the training molecules (`batchnorm.py`). Then the start of a later stage, as the stage before left it, is a
    candidate too: epoch 0. So is that of a fit that starts from another method's; and, in any protocol, that of a first
    stage from a head in closed form. Methods that alternate with a second task take it from `fit.auxiliary`. A head
    that is fitted in closed form at the end is the curve's last point.

    Raises `DivergedError` when the loss is not finite.
    """
    method, encoder = fit.method, model.encoder
    assert method.stages is not None
    if method.adapter:
        torch.manual_seed(seed_of("adapter", fit.seed))
        method.adapter.add(fit.hyperparameters, encoder)
    start = _Start(model, fit)
    freeze(model, ())  # until a stage says what trains
    if method.start_head:
        assert isinstance(model.head, nn.Linear), "the configuration's check lets no other encoder pass"
        method.start_head(*_seen(model, fit), model.head, fit.task.type)
    curve: list[Epoch] = []
    stages = method.stages(fit.hyperparameters, encoder.parts)
    for number, trained in enumerate(stages):
        curve += _Stage(model, fit, start, number, trained).run()
    parameters = _size(theta for theta in encoder.parameters() if theta.requires_grad)
    if method.adapter:
        method.adapter.merge(encoder)
    if method.fit_head:
        curve.append(_fit_head(model, fit, len(stages)))
    return History(curve, parameters + _size(model.head.parameters()))


class _Start:
    """What the stages of a fit share: the weights that it starts from, and its second task."""

    def __init__(self, model: Model, fit: Fit):
        encoder = model.encoder
        self.theta_0 = {name: tensor.detach().clone() for name, tensor in encoder.named_parameters()}
        self.pretrained = copy.deepcopy(model).requires_grad_(False) if fit.method.needs_Z_0 else None
        self.alternation: Alternation | None = None
        self.auxiliary: AuxiliaryTask | None = None
        if fit.method.alternation and fit.auxiliary:
            self.alternation = fit.method.alternation(fit.hyperparameters)
            self.auxiliary = fit.auxiliary.on(encoder)


class _Stage:
    """One stage of a fit: some parts of the encoder train, with the head, until the epochs end or get no better."""

    def __init__(self, model: Model, fit: Fit, start: _Start, number: int, trained: Parts):
        encoder, method, protocol, fold = model.encoder, fit.method, fit.protocol, fit.fold
        self.model = model
        self.fit = fit
        self.start = start
        self.number = number
        self.trained = trained
        freeze(model, trained, train_norms=protocol.train_norms, trains=_trains(fit))
        if start.auxiliary:
            start.auxiliary.train()
        frozen = frozen_below(encoder, trained) if protocol.freeze_fully else 0
        evaluated = np.concatenate([fold.train, fold.valid])
        self.forward = Forward(encoder, fit.graphs, evaluated, frozen, model.shift.device)
        self.Z_0 = _pretrained_maps(start.pretrained, trained, fit) if start.pretrained else None
        self.held_out = self.forward.evaluation_batches(fold.valid)
        self.optimizers = _optimizers(model, fit, start.auxiliary)
        in_space = isinstance(encoder, Spatial)
        self.rate_end = protocol.rate_end_in_space if in_space else 1.0
        self.clip_norm = protocol.clip_in_space if in_space else math.inf
        self.clip_values = protocol.clip_values if method.penalty else math.inf
        torch.manual_seed(seed_of("dropout", fit.seed, number))
        self.order = generator("batches", fit.seed, number)
        self.turns = _Turns(start, self.optimizers, fit.seed, number)
        self._set_training()
        self.norms = [layer for layer in norms(encoder) if layer.training] if protocol.estimate_norm else []
        # The training molecules whose statistics these layers are validated and kept with.
        sample = batchnorm.sample(fold.train, fit.seed)
        self.norm_batches = self.forward.evaluation_batches(sample) if self.norms else []

    def run(self) -> list[Epoch]:
        """Train, leave the best epoch's weights in the model, and return the curve."""
        fit = self.fit
        best = Best(self.model)
        curve: list[Epoch] = []
        follows = self.number > 0 or fit.method.starts_from
        if fit.protocol.keep_start if follows else fit.method.start_head:
            curve.append(self._validated(0, math.nan))
            best.offer(self._key(curve[-1]))
        epochs = fit.training.epochs_of(len(fit.fold.train))
        for epoch in range(1, epochs + 1):
            loss = self._epoch(epoch, (epoch - 1) / epochs)
            curve.append(self._validated(epoch, loss))
            best.offer(self._key(curve[-1]))
            if fit.protocol.stop_early and best.waited >= fit.training.patience:
                break
        best.restore()
        return curve

    def _key(self, point: Epoch) -> tuple[float, float]:
        return selection_key(self.fit.task.metric, point.valid_metric, point.valid_loss)

    def _epoch(self, epoch: int, progress: float) -> float:
        """Take a step on every batch; return the mean training loss, NaN where all turns were the second task's."""
        fit = self.fit
        total = 0.0
        molecules = 0
        self._set_training()
        for optimizer in self.optimizers:
            optimizer.slow(self.rate_end**progress)
        for batch in self.forward.training_batches(self.order.permutation(fit.fold.train), fit.training.batch_size):
            if self.turns.instead(progress):
                continue
            total += self._step(batch, epoch) * len(batch)
            molecules += len(batch)
        if self.norms:
            self.model.encoder.eval()
            batchnorm.estimate(self.norms, self.norm_batches, self.forward.features)
        return total / molecules if molecules else math.nan

    def _set_training(self) -> None:
        set_training(self.model, self.trained, fully=self.fit.protocol.freeze_fully)
        if self.fit.method.gentle:
            self.model.encoder.eval()

    def _step(self, batch: Batch | Vectors, epoch: int) -> float:
        """Take one step down the loss of a batch; return the loss before it."""
        method = self.fit.method

        def loss() -> Tensor:
            value = self._loss(batch)
            if not math.isfinite(number := value.item()):
                raise DivergedError(f"the training loss became {number} in epoch {epoch}")
            return value

        def gradients(theta: Sequence[Tensor]) -> Tensor:
            return method.gradients(self.fit.hyperparameters, loss, theta) if method.gradients else _backward(loss())

        return _descend(gradients, self.optimizers, self.clip_norm, self.clip_values)

    def _loss(self, batch: Batch | Vectors) -> Tensor:
        """Return the task's loss on a batch, with the method's penalty."""
        model, fit, protocol = self.model, self.fit, self.fit.protocol
        Z_0 = self.Z_0(batch) if self.Z_0 and isinstance(batch, Batch) else None
        Z, features = self.forward(batch)
        output = model.head(features, batch)
        loss = task_loss(output, model.standardised(batch.labels), fit.task.kind, root=protocol.root_loss)
        if not fit.method.penalty:
            return loss
        step = Step(
            theta=dict(model.encoder.named_parameters()),
            theta_0=self.start.theta_0,
            phi=dict(model.head.named_parameters()),
            Z=Z,
            Z_0=Z_0,
            features=features,
            normalise=protocol.normalise_penalties,
            decay_head=protocol.decay_head,
        )
        return loss + fit.method.penalty(fit.hyperparameters, step)

    def _validated(self, epoch: int, train_loss: float) -> Epoch:
        predicted = self.model.predict_batches(self.held_out, self.forward.features)
        return _point(self.fit, self.number, epoch, train_loss, predicted)


class _Turns:
    """The steps of one stage on the second task, whose turn is drawn before each step on the property."""

    def __init__(self, start: _Start, optimizers: list[Adam], seed: int, stage: int):
        self.alternation = start.alternation
        self.task = start.auxiliary
        self.optimizers = optimizers
        self.draws = generator("branches", seed, stage)
        self.data = generator("auxiliary batches", seed, stage)

    def instead(self, progress: float) -> bool:
        """Take the steps whose turn it is, and say whether one stood in place of the property's step."""
        if self.alternation is None or self.task is None:
            return False
        while self.draws.random() < self.alternation.probability:
            self._step(self.task, progress)
            if not self.alternation.extra:
                return True
        return False

    def _step(self, task: AuxiliaryTask, progress: float) -> None:
        def gradients(_theta: Sequence[Tensor]) -> Tensor:
            loss = task.loss(progress, self.data)
            if not math.isfinite(value := loss.item()):
                raise DivergedError(f"the loss of the second task became {value}")
            return _backward(loss)

        _descend(gradients, self.optimizers, task.clip)


def _trains(fit: Fit) -> Callable[[str], bool]:
    """Return which of the encoder's parameters may train, by name, in the parts that do."""
    trains, hyperparameters = fit.method.trains, fit.hyperparameters
    return (lambda name: trains(hyperparameters, name)) if trains else (lambda _name: True)


def _pretrained_maps(pretrained: Model, trained: Parts, fit: Fit) -> Callable[[Batch], Tensor]:
    """Return what gives Z_0 of a training batch, n x d, by the encoder of `pretrained`.

    With `protocol.pair_maps` it is asked before the pass that gives Z and draws the same dropout: both are one function
    of the weights, so that Z is Z_0 at theta_0. Else it is in eval mode.
    """
    encoder = pretrained.encoder
    device = pretrained.shift.device
    graphs = fit.graphs
    train = fit.fold.train
    if not fit.protocol.pair_maps or encoder.steady:
        encoder.eval()
        states = States(encoder, graphs, train, lambda batch: State(encoder.state_and_map(batch)[1]), device)
        return lambda batch: states.of(batch).atoms
    frozen = frozen_below(encoder, trained) if fit.protocol.freeze_fully else 0
    forward = Forward(encoder, graphs, train, frozen, device)
    set_training(pretrained, trained, fully=fit.protocol.freeze_fully)

    @torch.no_grad()
    def paired(batch: Batch) -> Tensor:
        with torch.random.fork_rng([] if device.type == "cpu" else [device]):
            return forward(batch)[0]

    return paired


def _optimizers(model: Model, fit: Fit, auxiliary: AuxiliaryTask | None) -> list[Adam]:
    """Return Adam for all that trains, one for each learning rate that the method asks for."""
    theta = [*model.parameters(), *(auxiliary.extra if auxiliary else ())]
    rate_of = fit.method.rate
    gentle = fit.method.gentle
    learning_rate = fit.training.learning_rate * (gentle(fit.hyperparameters) if gentle else 1.0)
    if rate_of is None:
        return [Adam(theta, learning_rate)]
    parts = model.encoder.parts
    rates = {}
    for name, tensor in model.encoder.named_parameters():
        if (part := model.encoder.part_of(name)) in parts:
            rates[tensor] = rate_of(fit.hyperparameters, part, parts)
    groups: dict[float, list[Tensor]] = {}
    for tensor in theta:
        groups.setdefault(rates.get(tensor, 1.0), []).append(tensor)
    return [Adam(group, learning_rate * rate) for rate, group in groups.items()]


def _descend(
    gradients: Callable[[Sequence[Tensor]], Tensor],
    optimizers: list[Adam],
    clip_norm: float = math.inf,
    clip_values: float = math.inf,
) -> float:
    """Take one step and return the loss, which `gradients` gives when it has left its gradients in what trains.

    These are cut to the size `clip_values` in every number and to the length `clip_norm`.
    """
    theta = [tensor for optimizer in optimizers for tensor in optimizer.parameters]
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss = gradients(theta).item()
    if clip_values < math.inf:
        nn.utils.clip_grad_value_(theta, clip_values)
    if clip_norm < math.inf:
        nn.utils.clip_grad_norm_(theta, clip_norm)
    for optimizer in optimizers:
        optimizer.step()
    return loss


def _backward(loss: Tensor) -> Tensor:
    loss.backward()
    return loss


@torch.no_grad()
def _fit_head(model: Model, fit: Fit, stage: int) -> Epoch:
    """Fit the head in closed form on the training molecules' vectors; return its point of the curve.

    Raises `DivergedError` if it predicts no numbers.
    """
    assert fit.method.fit_head is not None
    model.head = fit.method.fit_head(fit.hyperparameters, *_seen(model, fit), model.head)
    point = _point(fit, stage, 0, math.nan, model.predict(fit.graphs, fit.fold.valid))
    if not math.isfinite(point.valid_loss):
        raise DivergedError(f"the validation loss of the head that was fitted in closed form is {point.valid_loss}")
    return point


@torch.no_grad()
def _seen(model: Model, fit: Fit) -> tuple[Tensor, Tensor]:
    """Return the training molecules' vectors, n x d, and their labels in the units of the head's outputs, n x t."""
    labels = torch.from_numpy(fit.graphs.labels[fit.fold.train]).to(model.shift.device)
    return pooled(model.encoder, fit.graphs, fit.fold.train), model.standardised(labels)


def _point(fit: Fit, stage: int, epoch: int, train_loss: float, predicted: np.ndarray) -> Epoch:
    """Return a point of the curve from predictions for the validation molecules."""
    truth = fit.graphs.labels[fit.fold.valid]
    loss = metrics.loss(fit.task.kind, truth, predicted)
    metric = metrics.primary(fit.task.metric, truth, predicted)
    return Epoch(stage, epoch, train_loss, loss, metric)


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)
