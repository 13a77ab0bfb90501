"""Mixing pretrained and fine-tuned weights: sweeps over alpha, and coefficients learned on held-out labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import functional_call

from roftmol.core.seeds import generator, seed_of
from roftmol.encoders.base import Encoder, norms, statistics_of_first
from roftmol.features.graphs import Batch
from roftmol.methods.base import Mixing, Settings
from roftmol.scoring import metrics
from roftmol.training import batchnorm
from roftmol.training.curve import selection_key
from roftmol.training.fit import DivergedError, Fit
from roftmol.training.forward import EVALUATION_BATCH, Adam
from roftmol.training.model import Model, task_loss

State = dict[str, Tensor]

#: Folds of the held-out labels in which the number of steps is chosen.
FOLDS = 3
#: That choice ends after so many steps without a better one.
PATIENCE = 8
#: Training molecules whose statistics BatchNorm takes while coefficients are learned.
NORM_SAMPLE = 32


@dataclass(frozen=True, eq=False)
class Mixed:
    """A mixed model's predictions, its coefficients by group, and for how many steps they were learned."""

    valid: npt.NDArray[np.float32]
    test: npt.NDArray[np.float32]
    test_id: npt.NDArray[np.float32]
    vectors: Tensor  #: of the held-out molecules, as the model that was mixed gives them
    coefficients: dict[str, float]
    steps: int
    note: str = ""


def interpolate(theta_0: State, theta: State, alpha: Mapping[str, float]) -> dict[str, Tensor]:
    """Return (1 - alpha) theta_0 + alpha theta, name by name; alpha 0 and 1 give the ends to the bit.

    Integer buffers (BatchNorm's counters) are those of `theta`. A coefficient beyond the ends (protocol `paper`) does
    not carry BatchNorm's statistics along: a variance that is extrapolated can become negative.
    """
    mixed = {}
    for name, end in theta.items():
        a = alpha[name]
        if name.endswith(("running_mean", "running_var")):
            a = min(1.0, max(0.0, a))
        if not end.is_floating_point() or a == 1:
            mixed[name] = end
        elif a == 0:
            mixed[name] = theta_0[name]
        else:
            mixed[name] = torch.lerp(theta_0[name], end, a)
    return mixed


class _Between(torch.autograd.Function):
    """theta_0 + alpha delta, whose derivative in alpha is <gradient, delta>: one pass over the weights each way."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, theta_0: Tensor, delta: Tensor) -> Tensor:
        ctx.save_for_backward(delta)
        return torch.addcmul(theta_0, delta, alpha)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (delta,) = ctx.saved_tensors
        return torch.dot(grad.flatten(), delta.flatten()), None, None


def groups_of(encoder: Encoder, mixing: Mixing, settings: Settings) -> dict[str, str]:
    """Return the mixing group of everything in the encoder's state dict, by name.

    What lies beside the parts, such as a force field's heads, follows the top one.
    """
    first = _first_names(encoder)
    names = list(encoder.state_dict())
    parts = {name: encoder.part_of(name) for name in names}
    beside = [name for name in names if parts[name] not in encoder.parts]
    top = next(name for name in reversed(names) if parts[name] == encoder.parts[-1])
    groups = {
        name: mixing.group(settings, first.get(affine, affine), parts[name])
        for name, affine in zip(names, map(_affine, names), strict=True)
    }
    return groups | dict.fromkeys(beside, groups[top])


def put(
    model: Model,
    theta_0: State,
    theta: State,
    alpha: Mapping[str, float],
    norm_batches: Iterable[Batch] | None,
) -> None:
    """Put (1 - alpha) theta_0 + alpha theta, name by name, into the model's encoder.

    BatchNorm's statistics are estimated on `norm_batches`, if given, but for alpha 1 everywhere: theta has its own
    already.
    """
    model.encoder.load_state_dict(interpolate(theta_0, theta, alpha))
    if norm_batches is not None and set(alpha.values()) != {1.0}:
        batchnorm.estimate_all(model.encoder, norm_batches)


def mix(model: Model, theta_0: State, fit: Fit) -> Mixed:
    """Mix the pretrained encoder `theta_0` with that of `model`, a fine-tuned model, which is changed in place.

    The head of `model` stays. Raises `DivergedError` when learning meets a loss that is not finite.
    """
    mixing, hyperparameters = fit.method.mixing, fit.hyperparameters
    assert mixing is not None
    theta = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    groups = groups_of(model.encoder, mixing, hyperparameters)
    learner = _Learner(model, theta_0, theta, groups, fit)
    start = mixing.start(hyperparameters)
    learnt = learner.learn(start) if mixing.learned else _Learnt(dict.fromkeys(groups.values(), start))
    learner.apply(learnt.alpha)
    model.encoder.load_state_dict(learner.statistics, strict=False)
    held_out = model.predict_held_out(fit.graphs, fit.fold)
    return Mixed(
        valid=held_out.valid if learnt.valid is None else learnt.valid,
        test=held_out.test,
        test_id=held_out.test_id,
        vectors=held_out.vectors,
        coefficients=learnt.alpha,
        steps=learnt.steps,
        note=learnt.note,
    )


def _first_names(encoder: Encoder) -> dict[str, str]:
    """Return the first name of every parameter, by each of its names: weights under two names have one coefficient."""
    first: dict[Tensor, str] = {}
    return {name: first.setdefault(theta, name) for name, theta in encoder.named_parameters(remove_duplicate=False)}


def _affine(name: str) -> str:
    """Return the name whose coefficient a weight takes: BatchNorm's statistics take that of its affine weight."""
    for buffer in ("running_mean", "running_var", "num_batches_tracked"):
        if name.endswith(buffer):
            return name.removesuffix(buffer) + "weight"
    return name


@dataclass(frozen=True, eq=False)
class _Learnt:
    """Coefficients by group, and how they were learned."""

    alpha: dict[str, float]
    steps: int = 0
    valid: npt.NDArray[np.float32] | None = None  #: out-of-fold validation predictions, in protocol `honest`
    note: str = ""


@dataclass(eq=False)
class _Learner:
    model: Model
    theta_0: State
    theta: State
    groups: dict[str, str]  # parameter -> group
    fit: Fit

    def __post_init__(self) -> None:
        self.graphs, self.fold, self.protocol = self.fit.graphs, self.fit.fold, self.fit.protocol
        self.names = list(dict.fromkeys(self.groups.values()))
        self.delta = {name: self.theta[name] - self.theta_0[name] for name, _ in self.model.encoder.named_parameters()}
        self.position = {name: self.names.index(self.groups[name]) for name in self.delta}
        self.statistics: State = {}  # BatchNorm's, where learning moved them
        self.norm_sample = batchnorm.sample(self.fold.train, self.fit.seed)
        # Networks without BatchNorm have no statistics to estimate.
        self.estimate = self.protocol.estimate_norm and bool(norms(self.model))

    def apply(self, alpha: Mapping[str, float]) -> None:
        """Put the mixed weights into the model and estimate BatchNorm's statistics if the protocol says so."""
        by_name = {name: float(alpha[group]) for name, group in self.groups.items()}
        norm_batches = self.model.evaluation_batches(self.graphs, self.norm_sample) if self.estimate else None
        put(self.model, self.theta_0, self.theta, by_name, norm_batches)

    def learn(self, start: float) -> _Learnt:
        """Learn the coefficients on the validation labels, from `start` on, as the protocol says."""
        if not self.protocol.crossfit_mixing:
            return _Learnt(*self._train(start))
        valid = self.fold.valid
        # Honest: the number of steps is chosen by cross-validation within the held-out labels, step 0 (the start)
        # among the candidates; the coefficients are then fitted on all of them.
        folds = np.array_split(generator("mixing folds", self.fit.seed).permutation(len(valid)), min(FOLDS, len(valid)))
        if len(folds) < 2:
            alpha = dict.fromkeys(self.names, start)
            return _Learnt(alpha, note="one validation molecule: coefficients stay at the start")
        rests = [np.setdiff1d(np.arange(len(valid)), held) for held in folds]
        paths = [self._descend(start, valid[rest], valid[held]) for rest, held in zip(rests, folds, strict=True)]
        labels = self.graphs.labels[valid]
        out_of_fold: list[npt.NDArray[np.float32]] = []
        losses: list[float] = []
        best = 0
        for step, points in enumerate(islice(zip(*paths, strict=True), self.protocol.mixing_steps + 1)):
            predicted = np.empty(labels.shape, np.float32)
            for (_, predictions), rest, held in zip(points, rests, folds, strict=True):
                predicted[held] = predictions[len(rest) :]
            out_of_fold.append(predicted)
            # By loss, not by metric: the loss is what is descended, and with ten molecules the metric has few values.
            losses.append(metrics.loss(self.fit.task.kind, labels, predicted))
            best = int(np.argmin(losses))
            if step - best >= PATIENCE:
                break
        alpha, _ = next(islice(self._descend(start, valid, valid[:0]), best, None))
        return _Learnt(alpha, best, out_of_fold[best])

    def _train(self, start: float) -> tuple[dict[str, float], int]:
        """Return the coefficients of the best epoch by validation, and that epoch, as in the released script.

        The held-out labels are trained on in shuffled batches, in training mode. BatchNorm's statistics are those of
        `theta` at first and move as in training; those of the best epoch stay.
        """
        model, valid, protocol = self.model, self.fold.valid, self.protocol
        encoder, device = model.encoder, model.shift.device
        alpha = torch.full((len(self.names),), start, requires_grad=True, device=device)
        optimizer = Adam([alpha], protocol.mixing_rate)
        order = generator("mixing batches", self.fit.seed)
        torch.manual_seed(seed_of("mixing dropout", self.fit.seed))
        best_key = (math.inf, math.inf)
        best = 0
        values = dict.fromkeys(self.names, start)
        held_out = list(model.evaluation_batches(self.graphs, valid))
        for epoch in range(1, protocol.mixing_steps + 1):
            model.train()
            for part in self.graphs.batches(order.permutation(valid), protocol.mixing_batch, encoder.merged(0, 1)):
                batch = part.to(device)
                output = functional_call(model, self._weights(alpha), (batch,))
                loss = task_loss(output, model.standardised(batch.labels), self.fit.task.kind, root=protocol.root_loss)
                if not torch.isfinite(loss):
                    raise DivergedError(f"the loss of the mixed model became {loss.item()} in epoch {epoch}")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            now = dict(zip(self.names, alpha.tolist(), strict=True))
            by_name = {name: now[group] for name, group in self.groups.items()}
            mixed = interpolate(self.theta_0, self.theta, by_name)
            encoder.load_state_dict({name: mixed[name] for name in self.delta}, strict=False)
            key = self._selection_key(valid, model.predict_batches(held_out, encoder.read))
            if key < best_key:
                best_key = key
                best = epoch
                values = now
                self.statistics = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
        if not best:
            raise DivergedError("the validation loss of the mixed model was never a number")
        return values, best

    def _weights(self, alpha: Tensor) -> State:
        """Return the encoder's mixed weights, with gradient to alpha."""
        return {
            f"encoder.{name}": _Between.apply(alpha[self.position[name]], self.theta_0[name], delta)
            for name, delta in self.delta.items()
        }

    def _selection_key(
        self, molecules: npt.NDArray[np.int64], predictions: npt.NDArray[np.float32]
    ) -> tuple[float, float]:
        labels = self.graphs.labels[molecules]
        metric = metrics.primary(self.fit.task.metric, labels, predictions)
        loss = metrics.loss(self.fit.task.kind, labels, predictions)
        return selection_key(self.fit.task.metric, metric, loss)

    def _descend(
        self, start: float, fitted: npt.NDArray[np.int64], watched: npt.NDArray[np.int64]
    ) -> Iterator[tuple[dict[str, float], npt.NDArray[np.float32]]]:
        """Descend the task loss of the `fitted` molecules over alpha, by Adam, for as long as one asks.

        Yields, for every step from the start on, the coefficients and the predictions for both kinds of molecules.
        """
        model, device = self.model, self.model.shift.device
        model.eval()
        alpha = torch.full((len(self.names),), start, requires_grad=True, device=device)
        optimizer = Adam([alpha], self.protocol.mixing_rate)
        batches = self._batches(np.concatenate([fitted, watched]))
        # One pass serves both: the watched molecules' labels are hidden from the loss.
        labels = np.concatenate([self.graphs.labels[fitted], np.full_like(self.graphs.labels[watched], np.nan)])
        targets = model.standardised(torch.from_numpy(labels).to(device)).split(EVALUATION_BATCH)
        labelled = int(np.count_nonzero(~np.isnan(labels)))
        for step in count():
            values = dict(zip(self.names, alpha.tolist(), strict=True))
            optimizer.zero_grad()
            outputs = []
            for batch, target in zip(batches, targets, strict=True):
                # Mixed anew for each batch, so that none of its graph is kept for the next.
                output = self._output(self._weights(alpha), batch)
                outputs.append(model.in_label_units(output.detach()))
                share = int((~target.isnan()).sum()) / max(labelled, 1)
                loss = task_loss(output, target, self.fit.task.kind) * share
                if not torch.isfinite(loss):
                    raise DivergedError(f"the loss of the mixed model became {loss.item()} in step {step}")
                loss.backward()
            yield values, torch.cat(outputs).cpu().numpy()
            optimizer.step()
            with torch.no_grad():
                alpha.clamp_(0, 1)

    def _batches(self, molecules: npt.NDArray[np.int64]) -> list[Batch]:
        """Return the molecules in batches, each after the training molecules whose statistics BatchNorm is to take."""
        sample = self.norm_sample[: NORM_SAMPLE if self.estimate else 0]
        parts = (molecules[first : first + EVALUATION_BATCH] for first in range(0, len(molecules), EVALUATION_BATCH))
        merged = self.model.encoder.merged()
        return [
            self.graphs.batch(np.concatenate([sample, part]), merged, len(sample)).to(self.model.shift.device)
            for part in parts
        ]

    def _output(self, weights: State, batch: Batch) -> Tensor:
        """Return the mixed model's outputs for a batch, without the molecules that serve only BatchNorm's averages."""
        norm_molecules = min(NORM_SAMPLE, len(self.norm_sample)) if self.estimate else 0
        with statistics_of_first(self.model, batch, norm_molecules):
            return functional_call(self.model, weights, (batch,))[norm_molecules:]
