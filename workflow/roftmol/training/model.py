"""The model that a fit trains: an encoder with a head, and which of its weights train."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from roftmol.core.seeds import seed_of
from roftmol.encoders.base import Encoder, Head, norms
from roftmol.features.graphs import Batch, Graphs, Indices
from roftmol.methods.base import Parts
from roftmol.tasks import TASKS
from roftmol.training.fit import Fit, Fold, Task
from roftmol.training.forward import evaluation_batches

AnyBatch = TypeVar("AnyBatch")


class HeldOut(NamedTuple):
    """What a model gives for a fold's validation and test molecules."""

    valid: npt.NDArray[np.float32]  #: predictions, molecules x tasks
    test: npt.NDArray[np.float32]
    test_id: npt.NDArray[np.float32]
    vectors: Tensor  #: molecules x width, in the order of `Fold.held_out`


class Model(nn.Module):
    """An encoder with a head, which is linear on molecules' vectors, and the scaling of its outputs to label units.

    What the head's outputs mean says the type of the task: y = scale * head(encoder(molecule)) + shift for regression,
    logits for classification. The head of a joint fit may read numbers beside the vector (:meth:`widen`); then whoever
    calls it puts them there.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, encoder: Encoder, tasks: int, task: Task):
        super().__init__()
        self.encoder = encoder
        self.head = encoder.new_head(tasks, task.extensive)
        self.task = task
        self.register_buffer("shift", torch.zeros(tasks))
        self.register_buffer("scale", torch.ones(tasks))

    def widen(self, beside: int) -> None:
        """Let the head read so many numbers beside a molecule's vector, at first with weights of 0."""
        assert isinstance(self.head, Head), "the configuration's check lets no encoder of atoms in space pass"
        self.head = self.head.widened(beside)

    def forward(self, batch: Batch) -> Tensor:
        """Return logits or standardised values, b x t."""
        return self.head(self.encoder.read(batch), batch)

    def standardised(self, labels: Tensor) -> Tensor:
        """Return labels in the units of the head's output, b x t."""
        return self.task.type.standardised(labels, self.shift, self.scale)

    def in_label_units(self, output: Tensor) -> Tensor:
        """Return probabilities or values in the labels' units from what `forward` gives."""
        return self.task.type.predictions(output, self.shift, self.scale)

    @torch.no_grad()
    def predict_batches(
        self, batches: Iterable[AnyBatch], features: Callable[[AnyBatch], Tensor]
    ) -> npt.NDArray[np.float32]:
        """Return predictions in eval mode, molecules x tasks, from what `features` gives the head for each batch."""
        self.eval()
        outputs = [self.in_label_units(self.head(features(batch), batch)) for batch in batches]
        return torch.cat(outputs).cpu().numpy()

    def predict(self, graphs: Graphs, molecules: Indices) -> npt.NDArray[np.float32]:
        """Return predictions in eval mode, molecules x tasks, whatever the batch size."""
        return self.predict_batches(self.evaluation_batches(graphs, molecules), self.encoder.read)

    def predict_held_out(self, graphs: Graphs, fold: Fold, beside: Tensor | None = None) -> HeldOut:
        """Return predictions for the fold's validation and test molecules and their vectors, in one pass.

        `beside` is what the head reads beside the vectors of all molecules, n x w, where it does.
        """
        vectors: list[Tensor] = []

        def features(batch: Batch) -> Tensor:
            state = self.encoder.state(batch)
            vectors.append(self.encoder.pool(state, batch))
            if beside is not None:
                return torch.cat([vectors[-1], beside[batch.molecules]], 1)
            return state.atoms if self.encoder.reads == "atoms" else vectors[-1]

        predicted = self.predict_batches(self.evaluation_batches(graphs, fold.held_out), features)
        valid, test, test_id = np.split(predicted, np.cumsum([len(fold.valid), len(fold.test)]))
        return HeldOut(valid, test, test_id, torch.cat(vectors))

    def evaluation_batches(self, graphs: Graphs, molecules: Indices) -> Iterable[Batch]:
        """Return the batches for a pass in eval mode, made one by one."""
        return (batch.to(self.shift.device) for batch in evaluation_batches(self.encoder, graphs, molecules))


def new_model(encoder: Encoder, fit: Fit) -> Model:
    """Return the model at the start of a fit: a head drawn by the seed, and the training labels' scaling.

    The head depends on the seed alone, so that every method starts from the same one.
    """
    torch.manual_seed(seed_of("initial weights", fit.seed))
    model = Model(copy.deepcopy(encoder), fit.graphs.labels.shape[1], fit.task)
    if not fit.method.pretrained:
        model.encoder = encoder.fresh()
    if fit.task.type.scaling and fit.protocol.standardise:
        shift, scale = fit.task.type.scaling(fit.graphs.labels[fit.fold.train].astype(np.float64))
        model.shift.copy_(torch.from_numpy(shift))
        model.scale.copy_(torch.from_numpy(scale))
    return model


def task_loss(output: Tensor, labels: Tensor, kind: str, *, root: bool = False) -> Tensor:
    """Return the training loss of the labelled entries, or its root where it is a squared error and `root` is set.

    Without labelled entries the loss is 0.
    """
    labelled = ~labels.isnan()
    if not labelled.any():
        return output.sum() * 0
    return TASKS[kind].training_loss(output[labelled], labels[labelled], root)


def freeze(
    model: Model, trained: Parts, *, train_norms: bool = True, trains: Callable[[str], bool] = lambda _name: True
) -> None:
    """Let these encoder parts and the head take gradients, and nothing else.

    Of the parts only those parameters do whose name `trains` says so of. Without `train_norms`, BatchNorm's weight and
    bias take none either, unless all parts do.
    """
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_(model.encoder.part_of(name) in trained and trains(name))
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
