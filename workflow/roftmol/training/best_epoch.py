"""The best epoch of a stage so far: what of a network moves, as it was then."""

from __future__ import annotations

import math

from torch import Tensor, nn

from roftmol.training.fit import DivergedError


class Best:
    """A copy of what moves in the network, of the epoch with the lowest key."""

    def __init__(self, network: nn.Module):
        self.network = network
        self.moving = dict(network.named_buffers())
        self.moving |= {name: theta for name, theta in network.named_parameters() if theta.requires_grad}
        self.key = (math.inf, math.inf)
        self.state: dict[str, Tensor] = {}
        self.waited = 0  #: epochs since then

    def offer(self, key: tuple[float, float]) -> None:
        """Keep a copy of the network if no earlier epoch had a key as low, see `curve.selection_key`."""
        if not key < self.key:
            self.waited += 1
            return
        self.key = key
        self.waited = 0
        self.state = {name: tensor.detach().clone() for name, tensor in self.moving.items()}

    def restore(self) -> None:
        """Put the best epoch's weights into the network.

        Raises `DivergedError` if there is none.
        """
        if not self.state:
            raise DivergedError("the validation loss was never a number")
        self.network.load_state_dict(self.state, strict=False)  # what is frozen has not moved
