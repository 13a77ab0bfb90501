"""What must hold of every method that trains an encoder, on an encoder of any kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from roftmol.encoders.base import Encoder
from roftmol.features.graphs import Graphs
from roftmol.methods.base import Method
from roftmol.methods.protocols import PROTOCOLS
from roftmol.training.fit import Fit, Fold, Task, TrainSettings
from roftmol.training.loop import train
from roftmol.training.mixing import mix
from roftmol.training.model import new_model


def check_parts(encoder: Encoder, data: Graphs, fold: Fold, method: Method, setting: Any) -> None:
    """Raise `AssertionError` unless one epoch changes the parts that the method trains, or its mixture is sound."""
    task = Task("regression", "rmse")
    # A head in closed form is a candidate before any step, and the better one here: then nothing would have changed.
    method = replace(method, gentle=None, start_head=None)
    # So that one step of each stage is kept; a few steps learn a mixture.
    honest = replace(PROTOCOLS["honest"], keep_start=False, mixing_steps=3)
    fit = Fit(method, setting, data, fold, task, honest, TrainSettings(epochs=1, batch_size=6))
    model = new_model(encoder, fit)
    if method.mixing:
        theta_0 = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
        mixed = mix(model, theta_0, fit)
        assert len(mixed.coefficients) == (len(encoder.parts) if method.mixing.learned else 1)
        assert np.isfinite(mixed.test).all()
        return
    train(model, fit)
    changed = {
        encoder.part_of(name)
        for (name, before), after in zip(encoder.named_parameters(), model.encoder.parameters(), strict=True)
        if not torch.equal(before, after)
    }
    assert method.stages is not None
    *_, trained = method.stages(setting, encoder.parts)
    assert changed == set(trained if method.pretrained else encoder.parts)
    assert np.isfinite(model.predict(data, fold.test)).all()
