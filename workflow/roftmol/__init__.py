"""Fine-tune pretrained molecular graph models by every robust method, and say which to trust.

    from roftmol import RoftMolRegressor
    model = RoftMolRegressor(method="linear_probing").fit(smiles, values)

What is named here is imported when it is first used: a stage of the workflow needs no scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roftmol.deploy.bundle import Bundle
    from roftmol.deploy.bundle import read as read_bundle
    from roftmol.deploy.estimator import RoftMolClassifier, RoftMolRegressor

__all__ = ["Bundle", "RoftMolClassifier", "RoftMolRegressor", "read_bundle"]

_HOMES = {
    "Bundle": ("deploy.bundle", "Bundle"),
    "read_bundle": ("deploy.bundle", "read"),
    "RoftMolClassifier": ("deploy.estimator", "RoftMolClassifier"),
    "RoftMolRegressor": ("deploy.estimator", "RoftMolRegressor"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'roftmol' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(f"roftmol.{module}"), attribute)
