"""The ensemble and its bundle as scikit-learn estimators on lists of SMILES."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from numbers import Integral, Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from roftmol.core.errors import UserError
from roftmol.data.download import fetch, mirror
from roftmol.data.encoder_at_hand import encoders_at_hand
from roftmol.data.molecules import Molecule, Reject, parse, readable
from roftmol.deploy import bundle
from roftmol.deploy.card import KINDS, MEMBERS
from roftmol.deploy.ensemble import EnsembleSettings
from roftmol.deploy.refit import Pretrained, fit_bundle
from roftmol.encoders.checkpoints import architecture_of, convert
from roftmol.methods import HYBRID, METHODS, WITHOUT_ENCODER
from roftmol.registry import catalog
from roftmol.registry.encoder_kinds import ENCODER_KINDS, blocks_of
from roftmol.tasks import TASKS, classification, regression
from roftmol.training.fit import TrainSettings

Labels = npt.NDArray[np.float32]

#: SMILES as they may be given: a list, a series, a frame's or an array's one column.
Smiles = Sequence[str] | pd.Series | pd.DataFrame | npt.NDArray[Any]

#: What a recommendation takes by default.
AUTO = "auto"


class _Estimator(BaseEstimator):
    """What both have in common: the parameters, the fit, the bundle."""

    _task: str
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [str],
        "encoder": [str],
        "setting": [Mapping, None],
        "members": [Interval(Integral, 2, MEMBERS, closed="both")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "level": [Interval(Real, 0, 1, closed="neither")],
        "random_state": [Integral],
    }

    def __init__(
        self,
        method: str = AUTO,
        encoder: str = AUTO,
        setting: Mapping[str, Any] | None = None,
        members: int = 5,
        epochs: int = 100,
        patience: int = 10,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        dropout: float = 0.5,
        level: float = 0.9,
        random_state: int = 0,
    ):
        self.method = method
        self.encoder = encoder
        self.setting = setting
        self.members = members
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.level = level
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags

    def _fit(self, smiles: Smiles, labels: Labels, **about: Any) -> Self:
        """Fit on texts and numbers; `about` is put on the card."""
        self._validate_params()
        texts = _texts(smiles)
        if len(labels) != len(texts):
            raise ValueError(f"{len(texts)} SMILES and {len(labels)} labels: give one label a molecule")
        if self.method not in (AUTO, *METHODS):
            raise ValueError(f"method: {self.method!r} is not known; choose {AUTO} or one of {', '.join(METHODS)}")
        method = HYBRID if self.method == AUTO else self.method
        parents = [molecule.parent.key for molecule in _molecules(texts)]
        training = TrainSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            patience=self.patience,
            dropout=self.dropout,
        )
        with TemporaryDirectory() as folder:
            pretrained = None if method in WITHOUT_ENCODER else _pretrained(self.encoder, Path(folder))
            layers = blocks_of(architecture_of(pretrained.weights)) if pretrained else 0
            if self.setting is None:
                grid = [asdict(setting) for setting in METHODS[method].grid(layers)]
            else:
                grid = [dict(self.setting)]
            settings = EnsembleSettings(
                method=method,
                grid=tuple(grid),
                task=self._task,
                metric=TASKS[self._task].primary.name,
                training=training,
                members=self.members,
                seed=self.random_state,
            )
            self.bundle_ = fit_bundle(
                texts, parents, labels, settings, pretrained, {"target": "y", **about}, self.level
            )
        return self

    def _predicted(self, smiles: Smiles, *columns: str) -> npt.NDArray[np.float64]:
        """Return columns of the bundle's predictions, n x columns."""
        check_is_fitted(self)
        texts = _texts(smiles)
        _demand_read(map(readable, texts), texts)
        return self.bundle_.predict(texts)[list(columns)].to_numpy(np.float64)

    def save(self, path: Path | str) -> None:
        """Write the fitted model as a bundle, for `roftmol predict`."""
        check_is_fitted(self)
        bundle.write(self.bundle_, Path(path))


class RoftMolRegressor(RegressorMixin, _Estimator):
    """Learn values from SMILES by a head on a pretrained encoder, or by any other method of this project.

    A fit learns from all labels, and five times more from four fifths of them. The predictions of these five for their
    fifths calibrate the intervals or probabilities. A head takes a second, a network that is trained a minute.

    Parameters
    ----------
    method
        A name in `roftmol.methods.METHODS`. `auto` is what a recommendation takes by default: the hybrid head.
    encoder
        A registered encoder's name, or the path of a file in results/checkpoints; references need none. `auto` is
        MiniMol, where its archive can be had (once, into the user's cache), or the encoder that comes with the package.
    setting
        The method's hyperparameters; None chooses from its grid by out-of-fold predictions.
    members
        Models in an ensemble, two or more, each stopped on another part of the labels.
    epochs, patience, batch_size, learning_rate, dropout
        As in config.yaml.
    level
        The share of labels that the prediction intervals in `bundle_` hold, between 0 and 1.
    random_state
        The seed of everything that is drawn.

    """

    _task = regression.TASK.name

    def fit(self, X: Smiles, y: Sequence[float] | npt.ArrayLike) -> Self:
        """Fit on n SMILES and n values; raise `ValueError` for a SMILES that is no molecule or for a missing value."""
        labels = np.asarray(_column(y, "y"), np.float32)
        if labels.ndim != 1 or not np.isfinite(labels).all():
            raise ValueError("y: give one finite number a molecule")
        return self._fit(X, labels)

    def predict(
        self, X: Smiles, return_std: bool = False
    ) -> npt.NDArray[np.float64] | tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Predict values, one a SMILES; with `return_std`, also their standard deviations, in label units.

        A standard deviation is that of the normal distribution whose interval of `level` is the calibrated one.
        """
        mean, low, high = self._predicted(X, "prediction", "low", "high").T
        if not return_std:
            return mean
        return mean, (high - low) / (2 * norm.ppf((1 + self.level) / 2))

    def predict_interval(self, X: Smiles) -> npt.NDArray[np.float64]:
        """Predict the two ends of each SMILES' interval of `level`, n x 2."""
        return self._predicted(X, "low", "high")


class RoftMolClassifier(ClassifierMixin, _Estimator):
    """Fine-tune a pretrained encoder on SMILES of two classes; the parameters are those of `RoftMolRegressor`."""

    _task = classification.TASK.name

    def fit(self, X: Smiles, y: Sequence[Any] | npt.ArrayLike) -> Self:
        """Fit on n SMILES and n labels of two classes.

        The second one in sorted order is class 1, whose probability a saved bundle predicts; its card names both.
        Raises `ValueError` for a missing label, and for any other number of classes.
        """
        labels = np.asarray(_column(y, "y"))
        if labels.ndim == 1 and (missing := np.flatnonzero(pd.isna(labels))).size:
            raise ValueError(f"y: the label in row {missing[0]} is missing; give one a molecule")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if labels.ndim != 1 or len(self.classes_) != 2:
            raise ValueError(f"y: {len(self.classes_)} classes, and this classifier tells two apart")
        named = {} if set(self.classes_.tolist()) == {0, 1} else {"classes": [str(name) for name in self.classes_]}
        return self._fit(X, codes.astype(np.float32), **named)

    def predict_proba(self, X: Smiles) -> npt.NDArray[np.float64]:
        """Predict calibrated probabilities of both classes, n x 2."""
        p = self._predicted(X, "probability")[:, 0]
        return np.stack([1 - p, p], 1)

    def predict(self, X: Smiles) -> npt.NDArray[Any]:
        """Predict the more probable class, one a SMILES."""
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.5).astype(int)]


def _texts(smiles: Smiles) -> list[str]:
    """Return SMILES as a list; raise `ValueError` for what is none, such as one SMILES alone."""
    if isinstance(smiles, str | bytes):
        raise ValueError(f"X: {smiles!r} is one text; give a list of SMILES, one a molecule, such as [{smiles!r}]")
    texts = list(_column(smiles, "X"))
    if not texts:
        raise ValueError("X: give a list of SMILES, one a molecule; this one is empty")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"X: row {row}, {text!r}, is no text; give a list of SMILES, one a molecule")
    return [str(text) for text in texts]


def _column(values: Any, name: str) -> Any:
    """Return the one column of a frame or of an n x 1 array; anything else as it is.

    Raises `ValueError` for more than one column.
    """
    shape: tuple[int, ...] = getattr(values, "shape", ())
    if len(shape) != 2:
        return values
    if shape[1] != 1:
        raise ValueError(f"{name}: {shape[1]} columns were given; give one")
    return np.asarray(values)[:, 0]


def _molecules(texts: list[str]) -> list[Molecule]:
    molecules = [parse(text, scaffold=False) for text in texts]
    _demand_read(molecules, texts)
    return [molecule for molecule in molecules if isinstance(molecule, Molecule)]


def _demand_read(judged: Iterable[Any], texts: list[str]) -> None:
    """Raise `ValueError` for the first text that is judged to be no molecule."""
    for row, (item, text) in enumerate(zip(judged, texts, strict=True)):
        if isinstance(item, Reject):
            raise ValueError(f"X: row {row}, {text!r}: {item.reason} {item.detail}".strip())


def _pretrained(name: str, folder: Path) -> Pretrained:
    """Return the encoder at a path, or a registered one, whose weights are written into `folder`.

    Raises `ValueError` for an unknown name, and for one whose weights cannot be had.
    """
    checkpoints = catalog.checkpoints()
    if Path(name).is_file():
        kind = architecture_of(Path(name))["kind"]
        if kind not in KINDS:
            raise ValueError(f"encoder: {name} is of kind {kind!r}; a model can be of {', '.join(KINDS)}")
        return Pretrained(name, Path(name), ENCODER_KINDS[kind].featurizer)
    if name == AUTO:
        at_hand = encoders_at_hand(_archives())
        name = at_hand.models[0]
        if name != catalog.BEST:
            warnings.warn(at_hand.why, stacklevel=4)
    entries = {key: entry for key, entry in checkpoints.items() if entry.sources and not entry.spatial}
    if name not in entries:
        raise ValueError(f"encoder: {name!r} is neither a file nor registered; choose one of {', '.join(entries)}")
    entry = entries[name]
    raw, path = folder / "raw", folder / "encoder.safetensors"
    try:
        fetch(entry.sources, raw, mirror=mirror(), name=name, archives=_archives())
    except UserError as error:
        raise ValueError(f"encoder: {error}") from error
    convert(raw, entry.architecture, path, name=name, vocabulary=entry.vocabulary, drop=entry.drop)
    return Pretrained(name, path, entry.featurizer)


def _archives() -> Path:
    """Return the folder of the user's cache that keeps package archives."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roftmol" / "archives"
