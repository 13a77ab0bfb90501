"""Fits of the small dataset from a small encoder."""

import numpy as np
import torch

from roftmol.encoders.base import Encoder
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.methods.protocols import PROTOCOLS
from roftmol.training.fit import Fit, Fold, Task, TrainSettings
from roftmol.training.loop import train
from roftmol.training.model import new_model
from small_dataset import corpus

LAYERS = 3
FOLD = Fold(np.arange(0, 14), np.arange(14, 19), np.arange(19, 24))
SHORT = TrainSettings(epochs=3, batch_size=7)
REGRESSION, CLASSIFICATION = Task("regression", "rmse"), Task("classification", "roc_auc")


def pretrained(dropout: float = 0.5) -> Encoder:
    torch.manual_seed(1)
    return GNN(Architecture("gin", LAYERS, 16), dropout)


def fit_of(method, settings=None, *, protocol="honest", data=None, task=REGRESSION, **changes) -> Fit:
    """A fit of the small dataset."""
    data = data or corpus(classification=task.kind == "classification")
    return Fit(method, settings, data, **{"fold": FOLD, "task": task, "protocol": PROTOCOLS[protocol], **changes})


def trained(method, settings, *, training=SHORT, encoder=None, **changes):
    fit = fit_of(method, settings, training=training, **changes)
    model = new_model(encoder or pretrained(), fit)
    return model, train(model, fit).curve


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}
