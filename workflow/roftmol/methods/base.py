"""What a method is: data, and at most one pure function.

A method that trains says which encoder parts train in each stage (the head always does); it may add a penalty, give
parts learning rates of their own, or train on a second task in turn. A method that interpolates says how the encoder's
parameters are grouped under mixing coefficients and whether those are learned. The loop (`training/loop.py`) and the
mixing (`training/mixing.py`) read this and know no method by name.

Every start of Snakemake reads the methods and computes nothing, so torch is imported within the functions that need it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from roftmol.core.errors import UserError
from roftmol.core.files import canonical_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import Linear, Module

    from roftmol.encoders.base import Encoder
    from roftmol.features.inputs import Inputs
    from roftmol.heads.base import HeadKind
    from roftmol.tasks import TaskType

#: A method's hyperparameters: a frozen dataclass of its own.
Settings = Any
#: The parts of an encoder, bottom up: ("embed", "blocks.0", ...).
Parts = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """What a penalty may look at: one training batch of b molecules with n atoms, vectors d wide."""

    theta: Mapping[str, Tensor]  #: the encoder's parameters by name
    theta_0: Mapping[str, Tensor]  #: the pretrained ones
    phi: Mapping[str, Tensor]  #: the head's parameters
    Z: Tensor  #: n x d, the atoms' vectors of the last layer, before its BatchNorm and dropout
    Z_0: Tensor | None  #: n x d, the frozen pretrained encoder's, for methods that ask for it
    features: Tensor  #: what the head reads: b x d, pooled; n x d, where the head reads atoms
    normalise: bool  #: divide sums over the batch by its size (protocol `honest`)
    decay_head: bool = False  #: draw the head to zero as strongly as the penalty acts on the encoder (protocol `paper`)


@dataclass(frozen=True)
class JointStep:
    """What a weighting may look at: one training batch of a panel of T datasets. Every tensor has T entries."""

    L: Tensor  #: the mean loss of each dataset's labelled entries in the batch
    share: Tensor  #: which share of the batch's labelled entries are each dataset's
    r: Tensor  #: which share of all training labels are each dataset's
    classes: Tensor  #: whether its labels are classes
    b: Tensor  #: numbers that are learned with the weights, from 0


@dataclass(frozen=True)
class Mixing:
    """theta_g = (1 - alpha_g) theta_0,g + alpha_g theta_ft,g for every group g of encoder parameters."""

    source: str  #: the method whose fine-tuned weights are mixed
    group: Callable[[Settings, str, str], str]  #: (hyperparameters, parameter's name, its part) -> its group
    start: Callable[[Settings], float]  #: the first, or the only, alpha
    learned: bool  #: whether alpha is fitted on held-out labels


@dataclass(frozen=True)
class Alternation:
    """Two tasks that train the encoder in turn: each step is on the second one with this probability."""

    probability: float
    extra: bool  #: its steps come on top of the property's; or else in place of them


@dataclass(frozen=True)
class Adapter:
    """Weights that are added to the encoder before the first stage, and folded into its own after the last one.

    Added parameters lie in the modules that they are added to, so that they belong to these modules' parts. After
    `merge` the encoder has the names that it had, so that what is saved is loaded like any other.
    """

    add: Callable[[Settings, Encoder], None]  #: weights that are drawn are drawn by torch's generator, which is seeded
    merge: Callable[[Encoder], None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Predictions of a reference's fit for all molecules asked for, m x t, and what to say about it."""

    predictions: NDArray[np.float64]
    parameters: int
    note: str = ""


@dataclass(frozen=True)
class Learner:
    """How a method learns that trains no encoder: features of molecules, and a fit that predicts others.

    `features` takes what it learns from out of the inputs, which are what the method's `reads` names: rows that an
    array of numbers chooses. `fit_predict` takes the hyperparameters, the kind of task, X (n rows), Y (n x t, NaN for a
    missing label), X_new (m rows) and a seed. It gives probabilities or values in label units.
    """

    features: Callable[[Inputs], Any]
    fit_predict: Callable[[Settings, str, Any, NDArray[np.float64], Any, int], Fitted]
    limits: bool = False  #: whether Y holds limits too, where labels may be such; otherwise they are missing
    selects: bool = True  #: False: validation chooses nothing, so its labels teach too where the budget counts them


def of_head(kind: HeadKind, reads: Callable[[Settings], frozenset[str]]) -> Learner:
    """Return the learner that fits a head on what it reads with its hyperparameters."""
    from roftmol.tasks import TASKS

    def fit_predict(
        settings: Settings, task: str, X: Inputs, Y: NDArray[np.float64], X_new: Inputs, seed: int
    ) -> Fitted:
        head = kind.fit(X.only(reads(settings)), Y, TASKS[task], seed)
        return Fitted(head.predict(X_new.only(reads(settings))).mean, head.parameters, head.note)

    return Learner(lambda inputs: inputs, fit_predict, limits=True, selects=False)


def by_column(
    fit: Callable[[int, NDArray[np.integer], NDArray[np.float64]], tuple[NDArray[np.float64], int]],
    Y: NDArray[np.float64],
    molecules: int,
    unknown: float,
) -> Fitted:
    """Return predictions of so many molecules, one label column of Y (n x t) after the other.

    `fit` takes the column's number, the rows that have its label, and these labels; it gives predictions and the number
    of parameters. A column with one value is predicted by it, one without a label by `unknown`.
    """
    import numpy as np

    predictions = np.empty((molecules, Y.shape[1]))
    parameters = constant = 0
    for number, y in enumerate(Y.T):
        rows = np.flatnonzero(~np.isnan(y))
        if len(np.unique(y[rows])) < 2:
            predictions[:, number] = y[rows[0]] if len(rows) else unknown
            constant += 1
            continue
        predictions[:, number], fitted = fit(number, rows, y[rows])
        parameters += fitted
    note = f"{constant} of {Y.shape[1]} tasks constant in training, predicted so" if constant else ""
    return Fitted(predictions, parameters, note)


#: Fields of a method that no number of its fits depends on.
TOLD_TO_READERS = frozenset(
    {"title", "mechanism", "summary", "paper", "colour", "marker", "phrase", "by_default", "default_heads", "compared"}
)


@dataclass(frozen=True)
class Method:
    """One way of fine-tuning, or a reference beside them: how it is called and drawn, and what it does."""

    name: str
    title: str  #: on axes and in tables
    mechanism: str  #: what it works on, in a reader's words; its methods stand together, in shades of one hue
    summary: str  #: one line for the report
    colour: str
    marker: str  #: no other method has it in this colour
    settings: type[Settings]
    grid: Callable[[int], tuple[Settings, ...]]  #: layers -> the hyperparameters that are tried
    stages: Callable[[Settings, Parts], tuple[Parts, ...]] | None = None  #: encoder parts that train, stage by stage
    penalty: Callable[[Settings, Step], Tensor] | None = None
    needs_Z_0: bool = False  # noqa: N815
    pretrained: bool = True  #: False: its encoder starts from random weights
    mixing: Mixing | None = None
    alternation: Callable[[Settings], Alternation] | None = None  #: for methods with a second task
    rate: Callable[[Settings, str, Parts], float] | None = None  #: (hyperparameters, part, parts) -> factor of its rate
    adapter: Adapter | None = None
    trains: Callable[[Settings, str], bool] | None = None  #: of the parts that train, which parameters do, by name
    #: (hyperparameters, the loss of the step's batch, what trains) -> the loss; it leaves the gradients of the step in
    #: what trains. None is the gradient of the loss. The loss can be asked for again: of the same batch, dropout drawn
    #: anew.
    gradients: Callable[[Settings, Callable[[], Tensor], Sequence[Tensor]], Tensor] | None = None
    #: (hyperparameters, X, Y, head) -> the head, fitted in closed form after the last stage: X are the training
    #: molecules' vectors, n x d, and Y their labels, n x t, standardised as the head gives them, NaN where missing. It
    #: may be the head that is given, with other weights; a stage before it is not needed.
    fit_head: Callable[[Settings, Tensor, Tensor, Module], Module] | None = None
    #: (X, Y, head, kind of task): puts weights in closed form into the network's linear head before the first stage,
    #: from X and Y as above. Such a start is a candidate for the best epoch.
    start_head: Callable[[Tensor, Tensor, Linear, TaskType], None] | None = None
    #: hyperparameters -> the factor of all learning rates, for methods that stay near their start: while they train,
    #: the encoder computes as in use, without dropout and with the statistics that its BatchNorms have.
    gentle: Callable[[Settings], float] | None = None
    #: For methods that train the datasets of a panel together: (hyperparameters, step) -> the loss of the step, and the
    #: weight in it of each dataset's loss, T.
    joint: Callable[[Settings, JointStep], tuple[Tensor, Tensor]] | None = None
    starts_from: str = ""  #: the method whose fit, encoder and head, each fit starts from; "": the pretrained encoder
    learner: Callable[[], Learner] | None = None  #: for methods that train no encoder, imported when it is called
    #: What of the molecules a learner reads, or a joint method's heads beside their encoder's vectors: "counts",
    #: "descriptors", "vectors" of the frozen encoder. "descriptors" are those that the setting of this name chooses.
    reads: frozenset[str] = frozenset()
    #: For methods that fit a head to what they read, imported when it is called; it makes the learner, too.
    head: Callable[[], HeadKind] | None = None
    #: Of METHOD+HEAD: the method whose encoders the head reads, in place of the frozen one.
    encoder_of: str = ""
    model: str = ""  #: of a reference without an encoder: what stands where a model's name would
    by_default: bool = False  #: whether an experiment that names no methods runs it
    default_heads: tuple[str, ...] = ()  #: the heads that such an experiment tries in place of its own
    compared: bool = False  #: whether every other method is compared with it (the columns `vs_...` of table "summary")
    phrase: str = ""  #: how a sentence names it, where not by its title
    paper: str = ""  #: who proposed it, as "Li et al. 2018, arXiv 1802.01483"

    @property
    def kind(self) -> Literal["train", "joint", "interpolate", "head", "tuned_head", "external"]:
        """Which stage runs it.

        A "joint" method trains the datasets of a panel together. A "head" reads a frozen encoder's vectors, a
        "tuned_head" another method's encoders'; an "external" method needs no encoder.
        """
        if self.encoder_of:
            return "tuned_head"
        if self.mixing:
            return "interpolate"
        if self.reads_encoder:
            return "head"
        if self.joint:
            return "joint"
        return "train" if self.stages else "external"

    @property
    def fine_tunes(self) -> bool:
        """Whether it starts from pretrained weights, so that what pretraining has seen counts."""
        return self.pretrained and (self.trains_encoder or self.reads_encoder)

    @property
    def trains_encoder(self) -> bool:
        """Whether it changes an encoder's weights."""
        return not (self.learner or self.head)

    def new_learner(self) -> Learner:
        """Return how it learns.

        Raises `ValueError` for a method that trains an encoder.
        """
        if self.head:
            return of_head(self.head(), self.reads_with)
        if self.learner:
            return self.learner()
        raise ValueError(f"{self.name} trains an encoder")

    def reads_with(self, settings: Settings) -> frozenset[str]:
        """Return what of the molecules it reads with these hyperparameters."""
        return self.reads - {"descriptors"} | READ_BY[self.described_by(settings)]

    def described_by(self, settings: Settings) -> str:
        """Return the descriptors that its heads read with these hyperparameters, a name in `READ_BY`."""
        chosen: str = settings.descriptors if "descriptors" in self.reads else "none"
        return chosen

    @property
    def reads_encoder(self) -> bool:
        """Whether it learns from an encoder's vectors, which it leaves as they are."""
        return "vectors" in self.reads

    @property
    def changes_encoder(self) -> bool:
        """Whether it gives other vectors than the encoder that it starts from."""
        if self.mixing:
            return True
        parts = ("embed", "blocks.0")
        return self.stages is not None and any(self.stages(self.grid(1)[0], parts))

    def parse(self, values: Mapping[str, Any]) -> Settings:
        """Return hyperparameters from a mapping of their names to their values.

        Raises `UserError` on a key that the method does not have.
        """
        names = {field.name for field in fields(self.settings)}
        for key in values:
            if key not in names:
                raise UserError(f"method {self.name}: unknown setting {key!r}; it has {sorted(names) or 'none'}")
        return self.settings(**values)

    def grid_from(self, axes: Mapping[str, list[Any]]) -> tuple[Settings, ...]:
        """Return the cartesian product of lists of values, equal hyperparameters once."""
        points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        return tuple(dict.fromkeys(map(self.parse, points)))


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return `||x - y||^2`, in half the passes over memory that writing it out takes."""
    from torch.nn.functional import mse_loss

    return mse_loss(x, y, reduction="sum")


def head_decay(lam: float, step: Step) -> Tensor:
    """Return `lam / 2 * ||phi||^2`."""
    from torch import stack

    return lam / 2 * stack([phi.square().sum() for phi in step.phi.values()]).sum()


#: The metadata of a hyperparameter whose default goes without saying, so that what was fitted before there was the
#: hyperparameter keeps its name.
UNSAID = {"unsaid": True}


def unsaid(settings: type[Settings]) -> dict[str, Any]:
    """Return the defaults that go without saying."""
    return {one.name: one.default for one in fields(settings) if one.metadata.get("unsaid")}


def setting_text(settings: Settings) -> str:
    """Return hyperparameters as canonical JSON, the column `setting` of tables.

    Those left to the protocol are left out, and defaults that go without saying.
    """
    silent = unsaid(type(settings))
    values = {one.name: getattr(settings, one.name) for one in fields(settings)}
    left_out = [name for name, value in values.items() if value is None or silent.get(name) == value]
    return canonical_json({name: value for name, value in values.items() if name not in left_out})


@dataclass(frozen=True)
class NoSettings:
    """A method without hyperparameters."""


def no_grid(_layers: int) -> tuple[NoSettings, ...]:
    """Return the grid of a method without hyperparameters."""
    return (NoSettings(),)


#: The published grid of regularisation strengths.
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)


#: As published after QW-MTL, of a network's head alone: RDKit's, and four of GFN2-xTB's that are not scaled.
QW4 = "qw4"
#: What heads read of molecules by the name of the descriptors that they read.
READ_BY = {
    "none": frozenset[str](),
    "rdkit": frozenset({"descriptors"}),
    "gfn2": frozenset({"gfn2"}),
    "both": frozenset({"descriptors", "gfn2"}),
    QW4: frozenset({"descriptors", "gfn2"}),
}


@dataclass(frozen=True)
class DescriptorSettings:
    """The descriptors that a head in closed form reads: RDKit's, those of GFN2-xTB, both or none."""

    descriptors: Literal["none", "rdkit", "gfn2", "both"] = field(default="rdkit", metadata=UNSAID)

    def __post_init__(self) -> None:
        check_descriptors(self.descriptors, [name for name in READ_BY if name != QW4])


def check_descriptors(name: str, known: Collection[str] = READ_BY) -> None:
    """Raise `UserError` for descriptors that a head does not read."""
    if name not in known:
        raise UserError(f"descriptors: {name!r} is unknown; choose one of {', '.join(known)}.")


def rdkit_descriptors(_layers: int) -> tuple[DescriptorSettings, ...]:
    """Return the grid of a method that chooses nothing but its descriptors: RDKit's."""
    return (DescriptorSettings(),)
