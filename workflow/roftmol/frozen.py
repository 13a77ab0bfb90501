"""What does not change while a model trains is computed once: the states below the lowest trained block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from roftmol.encoders import Encoder, State
from roftmol.graphs import Batch, Graphs, ranges

#: Molecules a batch where no gradient is kept; the result does not depend on it.
EVALUATION_BATCH = 256
#: Cached states may take this many float32 numbers (400 MB); beyond it they are computed anew.
CACHE_LIMIT = 100_000_000


class States:
    """States of a fixed network for some molecules, computed once if they fit in memory."""

    def __init__(
        self, graphs: Graphs, molecules: npt.NDArray[np.int64], compute: Callable[[Batch], State], device: torch.device
    ):
        self.compute = compute
        self.cached: State | None = None
        batches = (batch.to(device) for batch in graphs.batches(molecules, EVALUATION_BATCH))
        with torch.no_grad():
            head = next(batches)
            first = compute(head)
            if sum(level.numel() for level in first if level is not None) * len(molecules) > CACHE_LIMIT * len(head):
                return
            parts = [first, *(compute(batch) for batch in batches)]
        self.cached = _each_level(lambda *level: torch.cat(level), *parts)
        atoms, bonds = np.diff(graphs.offsets), np.diff(graphs.indptr[graphs.offsets])
        self.rows = [_Rows(count, molecules) for count in (atoms, bonds, np.ones_like(atoms))]

    def of(self, batch: Batch) -> State:
        """The state of a batch of these molecules, without gradient."""
        if self.cached is None:
            with torch.no_grad():
                return self.compute(batch)
        chosen = State(*(rows.of(batch.molecules).to(batch.graph.device) for rows in self.rows))
        return _each_level(lambda level, rows: level[rows], self.cached, chosen)


def _each_level(function: Callable[..., Tensor], *states: State) -> State:
    """`function` of all states, level by level: the atoms', and the bonds' and molecules' where they have such."""

    def of(level: int) -> Tensor | None:
        return function(*(state[level] for state in states)) if states[0][level] is not None else None

    return State(function(*(state.atoms for state in states)), of(1), of(2))


class _Rows:
    """Where the atoms (or bonds) of chosen molecules lie when they are laid one after the other."""

    def __init__(self, count: npt.NDArray[np.int64], molecules: npt.NDArray[np.int64]):
        self.count = count
        self.start = np.zeros(len(count), np.int64)
        self.start[molecules] = np.cumsum(count[molecules]) - count[molecules]

    def of(self, molecules: npt.NDArray[np.int64]) -> Tensor:
        """The rows of these molecules, in their order."""
        return torch.from_numpy(ranges(self.start[molecules], self.count[molecules]))


class Forward:
    """An encoder's forward pass over `molecules`, from the lowest of its parts that trains up.

    `frozen` counts the parts from the bottom that stay as they are, without dropout or drift. Where all do, even the
    pooled vectors are computed once.
    """

    def __init__(
        self, encoder: Encoder, graphs: Graphs, molecules: npt.NDArray[np.int64], frozen: int, device: torch.device
    ):
        self.encoder = encoder
        self.start = frozen - 1  # the embedding is the first part
        self.below: States | None = None
        self.pooled: States | None = None
        if frozen:
            encoder.eval()
        if frozen == len(encoder.parts):
            self.pooled = States(graphs, molecules, self._pooled, device)
        elif frozen and encoder.resumable:
            self.below = States(graphs, molecules, lambda batch: encoder.state(batch, stop=self.start), device)

    def _pooled(self, batch: Batch) -> State:
        return State(batch.graph.new_empty(len(batch.graph), 0), molecules=self.encoder(batch))

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The atoms' vectors Z (n x d; n x 0 where all is frozen) and the molecules' (b x width)."""
        if self.pooled is not None:
            state = self.pooled.of(batch)
            assert state.molecules is not None
            return state.atoms, state.molecules
        below = self.below.of(batch) if self.below is not None else None
        state = self.encoder.state(batch, below, start=self.start if below is not None else 0)
        return state.atoms, self.encoder.pool(state, batch)

    def pooled_vectors(self, batch: Batch) -> Tensor:
        """The molecules' vectors alone, b x width."""
        return self(batch)[1]


def frozen_below(encoder: Encoder, trained: tuple[str, ...]) -> int:
    """How many parts from the bottom are frozen while the parts `trained` train."""
    return next((position for position, part in enumerate(encoder.parts) if part in trained), len(encoder.parts))
