"""A frozen encoder's vectors as a scikit-learn transformer, for whatever model scikit-learn has."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from roftmol.deploy.given_smiles import Smiles, demand_readable, texts_of
from roftmol.deploy.head_model import Reader
from roftmol.deploy.on_smiles import OnSmiles
from roftmol.deploy.pretrained import AUTO, pretrained
from roftmol.encoders.checkpoints import load_encoder

#: A molecule that every encoder reads, which says how many numbers it gives.
PROBE = "CC"


class EncoderVectors(TransformerMixin, OnSmiles):
    """Turn SMILES into a pretrained encoder's vectors, for any model of scikit-learn.

    A molecule's vector is what the encoder pools of its atoms, then the sum over its atoms. The encoder stays as it was
    pretrained: `fit` learns nothing of the molecules, it loads the weights.

    Parameters
    ----------
    encoder
        A registered encoder's name, the path of a file in results/checkpoints, or `auto`, as of `RoftMolRegressor`.

    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"encoder": [str, os.PathLike]}

    def __init__(self, encoder: str | os.PathLike[str] = AUTO):
        self.encoder = encoder

    def fit(self, X: Smiles, y: Any = None) -> Self:
        """Load the encoder; raise `ValueError` for an unknown one, and for a SMILES that is no molecule."""
        self._validate_params()
        demand_readable(texts_of(X))
        with TemporaryDirectory() as folder:
            source = pretrained(self.encoder, Path(folder))
            self.reader_ = Reader(frozenset({"vectors"}), load_encoder(source.weights, 0.0), source.featurizer)
        return self

    def transform(self, X: Smiles) -> npt.NDArray[np.float32]:
        """Return n molecules' vectors, n x d; raise `ValueError` for a SMILES that is no molecule."""
        check_is_fitted(self)
        texts = texts_of(X)
        demand_readable(texts)
        return self._vectors(texts)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the d columns' names: `pooled0`, ..., `summed0`, ...."""
        check_is_fitted(self)
        encoder = self.reader_.encoder
        assert encoder is not None
        summed = self._vectors([PROBE]).shape[1] - encoder.width
        names = [f"pooled{number}" for number in range(encoder.width)] + [f"summed{number}" for number in range(summed)]
        return np.array(names, object)

    def _vectors(self, texts: list[str]) -> npt.NDArray[np.float32]:
        vectors = self.reader_.inputs(texts).vectors
        assert vectors is not None
        return vectors
