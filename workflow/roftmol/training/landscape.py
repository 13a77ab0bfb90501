"""The loss around a fine-tuned encoder: along the line from the pretrained weights, and over a plane.

The line is theta(alpha) = (1 - alpha) theta_0 + alpha theta_ft, beyond both ends too. The plane goes through theta_0,
full FT's theta_ft and DWiSE-FT's theta_d, with the axes of Garipov et al. 2018 (arXiv 1802.10026, appendix A.1):

    u = theta_ft - theta_0,    d = theta_d - theta_0,    v = d - <d, u> u / ||u||^2
    theta(x, y) = theta_0 + x u / ||u|| + y v / ||v||

theta_d mixes each group of weights g (a block) with a coefficient alpha_g, so that d_g = alpha_g u_g, and with
k = <d, u> / ||u||^2 every point of the plane is a mixture of the two encoders again:

    theta_g(x, y) = theta_0,g + c_g u_g,    c_g = x / ||u|| + (alpha_g - k) y / ||v||

So line and plane are placed by the mixing's own code (`interpolate.put`) and follow the protocol in what they do with
BatchNorm's statistics: estimated on training molecules everywhere (`honest`), or mixed, and kept between the ends
(`paper`). The head is full FT's everywhere. In `paper` theta_d is scored with statistics that moved while its
coefficients were trained, and lies here with mixed ones. Nothing here is selected or reported as a score; test labels
are read to see the loss, as scores are.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from roftmol.core.devices import device_of
from roftmol.core.seeds import generator
from roftmol.encoders.base import norms
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import graphs
from roftmol.methods import dwise_ft, full_ft
from roftmol.methods.protocols import PROTOCOLS
from roftmol.scoring import metrics
from roftmol.scoring.selection import Candidate, validation
from roftmol.tables import schemas
from roftmol.tasks import METRICS
from roftmol.training import batchnorm
from roftmol.training.cell import folds
from roftmol.training.fit import Fold, Task
from roftmol.training.jobs import limit_threads
from roftmol.training.mixing import groups_of, put
from roftmol.training.model import Model
from roftmol.training.saved_fits import saved_weights

#: The line, from beyond one end to beyond the other.
ALPHAS = tuple(step / 4 for step in range(-2, 7))
#: The plane's points a side.
SIDE = 9
#: The room around the plane's three points, as a share of their larger extent.
MARGIN = 0.3
#: Molecules of each partition on the plane, whose many points would take long on more.
PLANE_MOLECULES = 32
#: The three points lie in line if the third is nearer to the line than this share of its length.
IN_LINE = 1e-6

Array = npt.NDArray[np.float32]
Molecules = npt.NDArray[np.int64]
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class LandscapeSettings:
    """A cell without its method, its seeds, and whether DWiSE-FT was run, so that there is a plane."""

    protocol: str
    model: str
    dataset: str
    split: str
    budget: str
    task: str
    metric: str
    seeds: tuple[int, ...]
    plane: bool
    device: str = "auto"
    extensive: bool = False
    own_code: str = ""  #: the file of a user's own module, the only one that is run

    @property
    def cell(self) -> dict[str, str]:
        """The columns that identify the cell."""
        return {column: getattr(self, column) for column in schemas.CONDITION}

    @property
    def predicted(self) -> Task:
        """What is predicted."""
        return Task(self.task, self.metric, self.extensive)


@dataclass(frozen=True)
class Plane:
    """The plane through theta_0, theta_ft and theta_d, in the names of the module's equations."""

    length: float  #: ||u||
    height: float  #: ||v||, 0 where the three points lie in line
    k: float
    alpha: Mapping[str, float]  #: of theta_d, by the name of the weight

    @classmethod
    def through(cls, theta_0: Weights, theta: Weights, alpha: Mapping[str, float], parameters: list[str]) -> Plane:
        """Return the plane of the coefficients `alpha`.

        Lengths are over `parameters`, which leave out BatchNorm's statistics.
        """
        square = {name: float((theta[name] - theta_0[name]).double().square().sum()) for name in parameters}
        total = sum(square.values())
        k = sum(alpha[name] * part for name, part in square.items()) / total if total else math.nan
        height = math.sqrt(sum((alpha[name] - k) ** 2 * part for name, part in square.items())) if total else 0.0
        length = math.sqrt(total)
        return cls(length, height if height > IN_LINE * length else 0.0, k, alpha)

    @property
    def points(self) -> dict[str, tuple[float, float, dict[str, float]]]:
        """The three points: x, y and the coefficients, to the bit those of the models that they are."""
        return {
            "pretrained": (0.0, 0.0, dict.fromkeys(self.alpha, 0.0)),
            "full_ft": (self.length, 0.0, dict.fromkeys(self.alpha, 1.0)),
            "dwise_ft": (self.k * self.length, self.height, dict(self.alpha)),
        }

    def coefficients(self, x: float, y: float) -> dict[str, float]:
        """Return c at (x, y), by the name of the weight."""
        return {name: x / self.length + (a - self.k) * y / self.height for name, a in self.alpha.items()}

    def axes(self) -> tuple[Array, Array]:
        """Return the grid's x and y.

        It lies around the three points and is at least half as high as it is wide.
        """
        x, y, _ = zip(*self.points.values(), strict=True)
        margin = MARGIN * max(max(x) - min(x), max(y) - min(y))
        low = min(x) - margin
        high = max(x) + margin
        middle = self.height / 2
        reach = max(middle + margin, (high - low) / 4)
        return np.linspace(low, high, SIDE), np.linspace(middle - reach, middle + reach, SIDE)


def landscape(settings: LandscapeSettings, data: Path, splits: Path, checkpoint: Path, runs: Path, out: Path) -> None:
    """Write tables "paths" and "planes" of a cell to `out`, from full FT's and DWiSE-FT's runs in the folder `runs`.

    The line is walked for every seed, the plane is drawn for the first one whose three points are not in line; each in
    the seed's first fold. Fits that failed are passed over. Raises `UserError` if a run's weights are not there.
    """
    limit_threads()
    device = device_of(settings.device)
    molecules = graphs.load(data)
    encoder = load_encoder(checkpoint, 0.0, settings.own_code).to(device)
    assigned = schemas.read("splits", splits)
    tuned = schemas.read("fits", runs / full_ft.METHOD.name / "fits.parquet")
    learned = _Learned.read(runs / dwise_ft.METHOD.name, settings.metric) if settings.plane else None
    paths = [schemas.empty("paths")]
    plane = schemas.empty("planes")
    for seed in settings.seeds:
        number, fold = next(folds(assigned, seed))
        fits = tuned[(tuned["seed"] == seed) & (tuned["fold"] == number) & (tuned["status"] == "ok")]
        for part in fits["part"]:  # full FT has no hyperparameters: one, or none where it failed
            model = Model(copy.deepcopy(encoder), molecules.labels.shape[1], settings.predicted).to(device)
            model.load_state_dict(saved_weights(runs / full_ft.METHOD.name / "parts" / part))
            ends = _Ends(settings, molecules, seed, number, fold, model, encoder.state_dict())
            paths.append(ends.path())
            if learned and plane.empty:
                plane = ends.plane(learned)
    schemas.write("paths", pd.concat(paths[1:] or paths, ignore_index=True), out / "paths.parquet", settings)
    schemas.write("planes", plane, out / "planes.parquet", settings)


@dataclass(frozen=True, eq=False)
class _Learned:
    """The run of DWiSE-FT."""

    fits: pd.DataFrame
    coefficients: pd.DataFrame
    better: int  #: the sense of the metric that selects

    @classmethod
    def read(cls, run: Path, metric: str) -> _Learned:
        """Read the tables of the folder `run`."""
        fits, coefficients = (schemas.read(name, run / f"{name}.parquet") for name in ("fits", "coefficients"))
        return cls(fits, coefficients, METRICS[metric].sign)

    def of(self, seed: int, number: int) -> tuple[dwise_ft.Settings, dict[str, float]] | None:
        """Return what validation selects, hyperparameters and coefficients by group; None if all fits failed."""
        fits = _of(self.fits, seed, number)
        fits = fits[fits["status"] == "ok"]
        scores = fits[["setting", "valid_metric", "valid_loss"]].itertuples(index=False, name=None)
        candidates = [Candidate(text, value, loss, math.nan) for text, value, loss in scores]
        if not candidates:
            return None
        chosen = validation(candidates, self.better)[0].setting
        rows = _of(self.coefficients, seed, number)
        rows = rows[rows["setting"] == chosen]
        return dwise_ft.METHOD.parse(json.loads(chosen)), dict(zip(rows["part"], rows["alpha"], strict=True))


def _of(table: pd.DataFrame, seed: int, number: int) -> pd.DataFrame:
    return table[(table["seed"] == seed) & (table["fold"] == number)]


class _Ends:
    """The two ends of one fit of full FT, and the model that is put between and beyond them."""

    def __init__(
        self,
        settings: LandscapeSettings,
        molecules: graphs.Graphs,
        seed: int,
        number: int,
        fold: Fold,
        model: Model,
        theta_0: Weights,
    ):
        self.settings = settings
        self.molecules = molecules
        self.seed = seed
        self.number = number
        self.fold = fold
        self.model = model
        self.theta_0 = theta_0
        self.theta = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
        self.train = batchnorm.sample(fold.train, seed)
        estimated = PROTOCOLS[settings.protocol].estimate_norm and norms(model)
        self.norm_batches = list(model.evaluation_batches(molecules, self.train)) if estimated else None
        self.identity = {**settings.cell, "seed": seed, "fold": number}

    def path(self) -> pd.DataFrame:
        """Return table "paths" of this seed."""
        partitions = {"train": self.train, "valid": self.fold.valid, "test": self.fold.test}
        metric = self.settings.metric
        rows = []
        for alpha in ALPHAS:
            self._put(dict.fromkeys(self.theta, alpha))
            rows += [(alpha, *predictions) for predictions in self._predict(partitions, self._batches(partitions))]
        return pd.DataFrame(
            {
                **self.identity,
                "alpha": alpha,
                "partition": partition,
                "molecules": len(labels),
                "metric": metric,
                "value": metrics.primary(metric, labels, predicted),
                "loss": self._loss(labels, predicted),
            }
            for alpha, partition, labels, predicted in rows
        )

    def plane(self, learned: _Learned) -> pd.DataFrame:
        """Return table "planes" of this seed, empty where its three points are in line."""
        mixing = dwise_ft.METHOD.mixing
        solution = learned.of(self.seed, self.number)
        if solution is None or mixing is None:
            return schemas.empty("planes")
        hyperparameters, by_group = solution
        groups = groups_of(self.model.encoder, mixing, hyperparameters)
        alpha = {name: by_group[group] for name, group in groups.items()}
        parameters = [name for name, _ in self.model.encoder.named_parameters()]
        plane = Plane.through(self.theta_0, self.theta, alpha, parameters)
        if not plane.height:
            return schemas.empty("planes")
        test = generator("plane", self.seed).permutation(self.fold.test)
        partitions = {"train": self.train[:PLANE_MOLECULES], "test": test[:PLANE_MOLECULES]}
        xs, ys = plane.axes()
        points = [(name, *point) for name, point in plane.points.items()]
        points += [("", x, y, plane.coefficients(x, y)) for y in ys for x in xs]
        batches = list(self._batches(partitions))  # few molecules, for many points
        rows = []
        for name, x, y, coefficients in points:
            self._put(coefficients)
            for partition, labels, predicted in self._predict(partitions, batches):
                at = {"partition": partition, "molecules": len(labels), "point": name, "x": x, "y": y}
                rows.append({**self.identity, **at, "loss": self._loss(labels, predicted)})
        return pd.DataFrame(rows)

    def _put(self, alpha: Mapping[str, float]) -> None:
        put(self.model, self.theta_0, self.theta, alpha, self.norm_batches)

    def _batches(self, partitions: Mapping[str, Molecules]) -> Iterable[graphs.Batch]:
        return self.model.evaluation_batches(self.molecules, np.concatenate(list(partitions.values())))

    def _predict(
        self, partitions: Mapping[str, Molecules], batches: Iterable[graphs.Batch]
    ) -> Iterator[tuple[str, Array, Array]]:
        """Yield each partition with its labels and the present model's predictions, made in one pass of `batches`."""
        members = list(partitions.values())
        predicted = self.model.predict_batches(batches, self.model.encoder.read)
        ends = np.cumsum([len(part) for part in members])[:-1]
        for name, part, values in zip(partitions, members, np.split(predicted, ends), strict=True):
            yield name, self.molecules.labels[part], values

    def _loss(self, labels: Array, predicted: Array) -> float:
        """Return the loss, NaN where it is not finite."""
        loss = metrics.loss(self.settings.task, labels, predicted)
        return loss if math.isfinite(loss) else math.nan
