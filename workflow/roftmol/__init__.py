"""Fine-tune pretrained molecular graph models by every robust method, and say which to trust.

    from roftmol import RoftMolRegressor
    model = RoftMolRegressor(method="linear_probing").fit(smiles, values)

What is named here is imported when it is first used: a stage of the workflow needs no scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roftmol.core.errors import UserError
    from roftmol.deploy.bundle import read as read_bundle
    from roftmol.deploy.encoder_vectors import EncoderVectors
    from roftmol.deploy.estimator import RoftMolClassifier, RoftMolRegressor
    from roftmol.deploy.fitted_models import Bundle, PanelBundle

    __version__: str

__all__ = [
    "Bundle",
    "EncoderVectors",
    "PanelBundle",
    "RoftMolClassifier",
    "RoftMolRegressor",
    "UserError",
    "read_bundle",
]

_HOMES = {
    "Bundle": ("deploy.fitted_models", "Bundle"),
    "read_bundle": ("deploy.bundle", "read"),
    "PanelBundle": ("deploy.fitted_models", "PanelBundle"),
    "EncoderVectors": ("deploy.encoder_vectors", "EncoderVectors"),
    "RoftMolClassifier": ("deploy.estimator", "RoftMolClassifier"),
    "RoftMolRegressor": ("deploy.estimator", "RoftMolRegressor"),
    "UserError": ("core.errors", "UserError"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        run_origin = import_module("roftmol.core.run_origin")
        return run_origin._version(run_origin.PACKAGE)
    if name not in _HOMES:
        raise AttributeError(f"module 'roftmol' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(f"roftmol.{module}"), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
