"""LP-FT (Kumar et al. 2022, arXiv 2202.10054) from a head in closed form: the best linear head, then small steps.

    start       w, b: ridge regression, its penalty by leave-one-out; logistic regression, its by cross-validation
    then        theta, w, b follow the task loss at a tenth of the learning rate, without dropout, and with the
                statistics that BatchNorm has from pretraining

As in LP-FT (`lp_ft.py`) a probed head sends no large gradients into the encoder. Dropout and BatchNorm's statistics of
a few molecules disturb it as much, so there are none; and the start stays where no epoch is better by validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roftmol.core.errors import UserError
from roftmol.methods.base import Method

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Linear

    from roftmol.tasks import TaskType


@dataclass(frozen=True)
class Settings:
    """The share of the learning rate at which everything trains."""

    rate: float = 0.1

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise UserError(f"lp_ft_closed: rate is {self.rate}; give a number above 0")


def start_head(X: Tensor, Y: Tensor, head: Linear, task: TaskType) -> None:
    """Put the linear head of n molecules into `head`: X their vectors, n x d, Y its outputs' labels, n x t."""
    import torch

    from roftmol.features.inputs import Inputs
    from roftmol.heads import linear_head

    fitted = linear_head.fit(Inputs(len(X), vectors=X.cpu().double().numpy()), Y.cpu().numpy(), task, 0)
    W, b = fitted.on_vectors(X.shape[1])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(W))
        head.bias.copy_(torch.from_numpy(b))


METHOD = Method(
    name="lp_ft_closed",
    title="LP-FT (closed form)",
    mechanism="partial",
    summary="A linear head in closed form, then everything is trained gently; the start is a candidate.",
    paper="Kumar et al. 2022, arXiv 2202.10054",
    colour="#2E5F8A",
    marker=">",
    settings=Settings,
    grid=lambda _layers: (Settings(),),
    stages=lambda _settings, parts: (parts,),
    start_head=start_head,
    gentle=lambda settings: settings.rate,
)
