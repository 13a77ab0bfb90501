"""What need not be computed: states below the lowest trained block a second time, and equal atoms apart.

The loop asks a :class:`Forward` for batches and for their vectors; methods and encoders know nothing of it. What is
saved is exact:

- States that do not change while a model trains are computed once (:class:`States`).
- In eval mode, atoms of one environment have one vector, and are one row from block to block.
- In training this still holds for the lowest block that trains: its input is fixed or embedded, dropout comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim.adam import adam

from roftmol.encoders.base import Encoder, State
from roftmol.features.graphs import Batch, Graphs, Indices, evenly, ranges

#: Molecules a batch where no gradient is kept; the result does not depend on it.
EVALUATION_BATCH = 256
#: The same where equal atoms are merged: the more molecules, the more of their atoms are.
EVALUATION_BATCH_MERGED = 1024
#: Cached states may take this many float32 numbers (400 MB); beyond it they are computed anew.
CACHE_LIMIT = 100_000_000


def evaluation_batches(
    encoder: Encoder, graphs: Graphs, molecules: Indices, start: int = 0, stop: int | None = None
) -> Iterator[Batch]:
    """Yield the molecules in batches for the encoder's blocks [start, stop) in eval mode."""
    if not encoder.local:
        return graphs.batches(molecules, EVALUATION_BATCH)
    return graphs.batches(molecules, EVALUATION_BATCH_MERGED, encoder.merged(start, stop))


@torch.no_grad()
def pooled(encoder: Encoder, graphs: Graphs, molecules: Indices) -> Tensor:
    """Return the molecules' vectors in eval mode, b x width, on the encoder's device; leave it in that mode."""
    encoder.eval()
    device = next(encoder.parameters()).device
    return torch.cat([encoder(batch.to(device)) for batch in evaluation_batches(encoder, graphs, molecules)])


class States:
    """States of a fixed network for some molecules, computed once if they fit in memory."""

    def __init__(
        self,
        encoder: Encoder,
        graphs: Graphs,
        molecules: npt.NDArray[np.int64],
        compute: Callable[[Batch], State],
        device: torch.device,
        stop: int | None = None,
    ):
        """Compute the states of `molecules`; `compute` gives a batch's state after the encoder's blocks [0, stop)."""
        self.compute = compute
        self.cached: State | None = None
        batches = (batch.to(device) for batch in evaluation_batches(encoder, graphs, molecules, stop=stop))
        with torch.no_grad():
            head = next(batches)
            first = compute(head)
            if sum(level.numel() for level in first if level is not None) * len(molecules) > CACHE_LIMIT * len(head):
                return
            parts = [first, *(compute(batch) for batch in batches)]
        self.cached = _each_level(lambda *level: torch.cat(level), *parts)
        atoms = np.diff(graphs.offsets)
        bonds = np.diff(graphs.indptr[graphs.offsets])
        self.rows = [_Rows(count, molecules) for count in (atoms, bonds, np.ones_like(atoms))]

    def of(self, batch: Batch) -> State:
        """Return the state of a batch of these molecules, without gradient."""
        if self.cached is None:
            with torch.no_grad():
                return self.compute(batch)
        chosen = State(*(rows.of(batch.molecules).to(batch.graph.device) for rows in self.rows))
        return _each_level(lambda level, rows: level[rows], self.cached, chosen)


def _each_level(function: Callable[..., Tensor], *states: State) -> State:
    """Return `function` of all states, level by level: the atoms', and the bonds' and molecules' if any."""

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
        """Return the rows of these molecules, in their order."""
        return torch.from_numpy(ranges(self.start[molecules], self.count[molecules]))


@dataclass(frozen=True, eq=False)
class Vectors:
    """A batch where the whole encoder is frozen: nothing of the molecules is needed but their vectors and labels."""

    pooled: Tensor  #: b x width
    labels: Tensor  #: b x t

    def __len__(self) -> int:
        return len(self.pooled)


class Forward:
    """An encoder's forward pass over `molecules`, from the lowest of its parts that trains up.

    `frozen` counts the parts from the bottom that stay as they are, without dropout or drift. Where all do, even what
    the head reads is computed once.
    """

    def __init__(
        self, encoder: Encoder, graphs: Graphs, molecules: npt.NDArray[np.int64], frozen: int, device: torch.device
    ):
        self.encoder = encoder
        self.graphs = graphs
        self.device = device
        still = frozen == len(encoder.parts)
        # The embedding is the first part. At its end, any encoder can go on.
        self.start = max(frozen - 1, 0) if encoder.resumable or still else 0
        self.below: States | None = None
        self.pooled: Tensor | None = None
        if frozen:
            encoder.eval()
        if still and encoder.reads == "molecules":
            self.row = np.full(len(graphs), -1)
            self.row[molecules] = np.arange(len(molecules))
            with torch.no_grad():
                batches = evaluation_batches(encoder, graphs, molecules)
                self.pooled = torch.cat([encoder(batch.to(device)) for batch in batches])
        elif self.start:
            self.below = States(
                encoder, graphs, molecules, lambda batch: encoder.state(batch, stop=self.start), device, self.start
            )

    def training_batches(self, molecules: Indices, size: int) -> Iterator[Batch | Vectors]:
        """Yield batches of about this size for a pass in training mode."""
        if self.pooled is not None:
            return (self._vectors(part, self.pooled) for part in evenly(molecules, size))
        lowest = self.encoder.merged(self.start, self.start + 1)
        return (batch.to(self.device) for batch in self.graphs.batches(molecules, size, lowest))

    def evaluation_batches(self, molecules: Indices) -> list[Batch | Vectors]:
        """Return the batches for a pass in eval mode, as a list that can be kept for molecules evaluated often."""
        if self.pooled is not None:
            return [self._vectors(np.asarray(molecules, np.int64), self.pooled)]
        batches = evaluation_batches(self.encoder, self.graphs, molecules, self.start)
        return [batch.to(self.device) for batch in batches]

    def _vectors(self, molecules: npt.NDArray[np.int64], pooled: Tensor) -> Vectors:
        labels = torch.from_numpy(self.graphs.labels[molecules]).to(self.device)
        return Vectors(pooled[torch.from_numpy(self.row[molecules]).to(self.device)], labels)

    def __call__(self, batch: Batch | Vectors) -> tuple[Tensor, Tensor]:
        """Return Z (n x d, see `Encoder.state_and_map`; empty where all is frozen) and what the head reads."""
        if isinstance(batch, Vectors):
            return batch.pooled.new_empty(0, 0), batch.pooled
        state, Z = self.encoder.state_and_map(batch, self._below(batch), self.start)
        return Z, self.encoder.features(state, batch)

    def features(self, batch: Batch | Vectors) -> Tensor:
        """Return what the head reads, b x width or n x width."""
        if isinstance(batch, Vectors):
            return batch.pooled
        return self.encoder.features(self.encoder.state(batch, self._below(batch), self.start), batch)

    def _below(self, batch: Batch) -> State | None:
        return self.below.of(batch) if self.below is not None else None


class Adam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) with torch's defaults, by torch's own fused step.

    `torch.optim.Adam` is the same step in a class whose construction imports torch's compiler: a second in every job.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float):
        self.parameters = [theta for theta in parameters if theta.requires_grad]
        self.start_rate = self.learning_rate = learning_rate
        self.means = [torch.zeros_like(theta) for theta in self.parameters]
        self.squares = [torch.zeros_like(theta) for theta in self.parameters]
        self.steps = [torch.zeros((), device=theta.device) for theta in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for theta in self.parameters:
            theta.grad = None

    def slow(self, factor: float) -> None:
        """Go on with the learning rate of the start times `factor`."""
        self.learning_rate = self.start_rate * factor

    @torch.no_grad()
    def step(self) -> None:
        """Take one step along the gradients; parameters without one stay."""
        gradients = [(number, theta.grad) for number, theta in enumerate(self.parameters) if theta.grad is not None]
        moved = [number for number, _ in gradients]
        adam(
            [self.parameters[number] for number in moved],
            [gradient for _, gradient in gradients],
            [self.means[number] for number in moved],
            [self.squares[number] for number in moved],
            [],
            [self.steps[number] for number in moved],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def frozen_below(encoder: Encoder, trained: tuple[str, ...]) -> int:
    """Return how many parts from the bottom are frozen while the parts `trained` train."""
    return next((position for position, part in enumerate(encoder.parts) if part in trained), len(encoder.parts))
