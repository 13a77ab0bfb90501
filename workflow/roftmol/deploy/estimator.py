"""The ensemble and its bundle as scikit-learn estimators on lists of SMILES."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import ceil
from numbers import Integral, Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

from roftmol.core.errors import UserError
from roftmol.data.molecules import Molecule, parse
from roftmol.deploy import bundle
from roftmol.deploy.card import MEMBERS
from roftmol.deploy.ensemble import EnsembleSettings, fits_of
from roftmol.deploy.given_smiles import Smiles, demand_readable, numbers_of, one_column, texts_of
from roftmol.deploy.on_smiles import OnSmiles
from roftmol.deploy.pretrained import AUTO, pretrained
from roftmol.deploy.refit import fit_bundle
from roftmol.encoders.checkpoints import architecture_of
from roftmol.methods import HYBRID, METHODS, WITHOUT_ENCODER
from roftmol.registry.encoder_kinds import blocks_of
from roftmol.registry.splits import PARTS
from roftmol.tasks import TASKS, classification, regression
from roftmol.training.fit import TrainSettings

Labels = npt.NDArray[np.float32]
#: What becomes of a SMILES that is no molecule: a `ValueError` that names its row, or a prediction that is NaN.
Errors = Literal["raise", "coerce"]
#: So many molecules are predicted between two steps of the bar.
PIECE = 1000


class _Estimator(OnSmiles):
    """What both have in common: the parameters, the fit, the bundle."""

    _task: str
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "method": [str],
        "encoder": [str, os.PathLike],
        "setting": [Mapping, None],
        "members": [Interval(Integral, 2, MEMBERS, closed="both")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "level": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        method: str = AUTO,
        encoder: str | os.PathLike[str] = AUTO,
        setting: Mapping[str, Any] | None = None,
        members: int = 5,
        epochs: int = 100,
        patience: int = 10,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        dropout: float = 0.5,
        level: float = 0.9,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool | int = False,
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
        self.verbose = verbose

    def _fit(self, smiles: Smiles, labels: Labels, **about: Any) -> Self:
        """Fit on texts and numbers; `about` is put on the card."""
        self._validate_params()
        if self.method not in (AUTO, *METHODS):
            raise ValueError(f"method: {self.method!r} is not known; choose {AUTO} or one of {', '.join(METHODS)}")
        method = HYBRID if self.method == AUTO else self.method
        texts = texts_of(smiles)
        if len(labels) != len(texts):
            raise ValueError(f"{len(texts)} SMILES and {len(labels)} labels: give one label a molecule")
        demand_readable(texts)
        molecules = [parse(text, scaffold=False) for text in texts]
        parents = [molecule.parent.key for molecule in molecules if isinstance(molecule, Molecule)]
        self._demand_enough(len(set(parents)), method)
        training = TrainSettings(
            epochs=int(self.epochs),
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
            patience=int(self.patience),
            dropout=float(self.dropout),
        )
        try:
            with TemporaryDirectory() as folder:
                encoder = None if method in WITHOUT_ENCODER else pretrained(self.encoder, Path(folder))
                layers = blocks_of(architecture_of(encoder.weights)) if encoder else 0
                if self.setting is None:
                    grid = [asdict(setting) for setting in METHODS[method].grid(layers)]
                else:
                    grid = [dict(self.setting)]
                    METHODS[method].parse(grid[0])  # a head reads none
                settings = EnsembleSettings(
                    method=method,
                    grid=tuple(grid),
                    task=self._task,
                    metric=TASKS[self._task].primary.name,
                    training=training,
                    members=int(self.members),
                    seed=self._seed(),
                )
                card = {"target": "y", **about}
                with self._bar(fits_of(settings), "fits") as bar:
                    self.bundle_ = fit_bundle(
                        texts, parents, labels, settings, encoder, card, float(self.level), ended=bar.update
                    )
        except UserError as error:
            raise ValueError(str(error)) from error
        return self

    def _demand_enough(self, molecules: int, method: str) -> None:
        """Raise `ValueError` for fewer different molecules than can be dealt to the parts and to the members."""
        # The largest of the parts is left out at a time, and each member is stopped on one of the others at least.
        dealt = 0 if METHODS[method].head else self.members + ceil(self.members / (PARTS - 1))
        if molecules < (least := max(PARTS, dealt)):
            raise ValueError(f"X: {molecules} different molecules are too few; {method} needs {least} at least")

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _bar(self, total: int, unit: str) -> tqdm:
        return tqdm(total=total, unit=f" {unit}", desc=type(self).__name__, disable=not self.verbose)

    def _predicted(self, smiles: Smiles, errors: Errors, *columns: str) -> npt.NDArray[np.float64]:
        """Return columns of the bundle's predictions, n x columns."""
        check_is_fitted(self)
        if errors not in ("raise", "coerce"):
            raise ValueError(f"errors: {errors!r} is not known; choose raise or coerce")
        texts = texts_of(smiles, gaps=errors == "coerce")
        if errors == "raise":
            demand_readable(texts)
        pieces = [np.empty((0, len(columns)))]
        with self._bar(len(texts), "molecules") as bar:
            for start in range(0, len(texts), PIECE):
                predicted = self.bundle_.predict(texts[start : start + PIECE])
                pieces.append(predicted[list(columns)].to_numpy(np.float64))
                bar.update(len(predicted))
        return np.concatenate(pieces)

    def save(self, path: Path | str) -> None:
        """Write the fitted model as a bundle, for `roftmol predict`."""
        check_is_fitted(self)
        bundle.write(self.bundle_, Path(path))


class RoftMolRegressor(RegressorMixin, _Estimator):
    """Learn values from SMILES by a head on a pretrained encoder, or by any other method of this project.

    A fit learns from all labels, and five times more from four fifths of them. The predictions of these five for their
    fifths calibrate the intervals or probabilities. A head takes a second, a network that is trained a minute.

    Molecules are given as a list of SMILES, a series, an n x 1 array, or a frame: of several columns, the one of SMILES
    is found as in a file. Rows in messages count from 0.

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
        The seed of everything that is drawn; None draws another each time.
    verbose
        Whether fits and predictions show a bar, with the time left, on standard error.

    """

    _task = regression.TASK.name

    def fit(self, X: Smiles, y: Sequence[float] | npt.ArrayLike) -> Self:
        """Fit on n SMILES and n values; raise `ValueError` for a SMILES that is no molecule or for a missing value."""
        return self._fit(X, numbers_of(y))

    def predict(
        self, X: Smiles, return_std: bool = False, errors: Errors = "raise"
    ) -> npt.NDArray[np.float64] | tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Predict values, one a SMILES; with `return_std`, also their standard deviations, in label units.

        A standard deviation is that of the normal distribution whose interval of `level` is the calibrated one. A
        SMILES that is no molecule, or is missing, raises `ValueError`; with `errors="coerce"`, its prediction is NaN.
        """
        mean, low, high = self._predicted(X, errors, "prediction", "low", "high").T
        if not return_std:
            return mean
        return mean, (high - low) / (2 * ndtri((1 + self.level) / 2))

    def predict_interval(self, X: Smiles, errors: Errors = "raise") -> npt.NDArray[np.float64]:
        """Predict the two ends of each SMILES' interval of `level`, n x 2; `errors` as in `predict`."""
        return self._predicted(X, errors, "low", "high")


class RoftMolClassifier(ClassifierMixin, _Estimator):
    """Fine-tune a pretrained encoder on SMILES of two classes; the parameters are those of `RoftMolRegressor`."""

    _task = classification.TASK.name

    def fit(self, X: Smiles, y: Sequence[Any] | npt.ArrayLike) -> Self:
        """Fit on n SMILES and n labels of two classes.

        The second one in sorted order is class 1, whose probability a saved bundle predicts; its card names both.
        Raises `ValueError` for a missing label, and for any other number of classes.
        """
        labels = np.asarray(one_column(y, "y"))
        if labels.ndim == 1 and (missing := np.flatnonzero(pd.isna(labels))).size:
            raise ValueError(f"y: the label in row {missing[0]} is missing; give one a molecule")
        try:
            self.classes_, codes = np.unique(labels, return_inverse=True)
        except TypeError as error:  # what cannot be sorted
            raise ValueError(f"y: labels of several types ({error}); give two numbers or two texts") from error
        if labels.ndim != 1 or len(self.classes_) != 2:
            raise ValueError(f"y: {len(self.classes_)} classes, and this classifier tells two apart")
        named = {} if set(self.classes_.tolist()) == {0, 1} else {"classes": [str(name) for name in self.classes_]}
        return self._fit(X, codes.astype(np.float32), **named)

    def predict_proba(self, X: Smiles, errors: Errors = "raise") -> npt.NDArray[np.float64]:
        """Predict calibrated probabilities of both classes, n x 2.

        A SMILES that is no molecule, or is missing, raises `ValueError`; with `errors="coerce"`, both are NaN.
        """
        p = self._predicted(X, errors, "probability")[:, 0]
        return np.stack([1 - p, p], 1)

    def predict(self, X: Smiles, errors: Errors = "raise") -> npt.NDArray[Any]:
        """Predict the more probable class, one a SMILES; `errors="coerce"` gives NaN where there is none."""
        p = self.predict_proba(X, errors)[:, 1]
        classes = self.classes_[(p > 0.5).astype(int)]
        unread = np.isnan(p)
        if not unread.any():
            return classes
        # Of whole numbers and texts, no array holds NaN.
        with_gaps = classes.astype(np.float64 if classes.dtype.kind in "biuf" else object)
        with_gaps[unread] = np.nan
        return with_gaps
