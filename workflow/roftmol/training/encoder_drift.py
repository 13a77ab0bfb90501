"""What a fit did to the encoder: how far each part went, and what became of the molecules' vectors.

    distance(part) = ||theta - theta_0|| / ||theta_0||

over a part's parameters, BatchNorm's statistics left out. theta_0 is where the fit started: the pretrained weights, or,
from scratch, its own random draw. Vectors are compared with the pretrained encoder's in either case:

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)),    K = X X', L = Y Y'

Linear CKA of Kornblith et al. 2019 (arXiv 1905.00414), with the unbiased estimator of HSIC of Song et al. 2012 (JMLR
13:1393). The usual, biased one tends to 1 for any two sets of vectors that are much wider than there are molecules,
which is the rule here (300 or 512 against some hundred); the unbiased one is about 0 for independent vectors, at any
width, and may fall a little below.

    effective rank = exp(-sum_i p_i log p_i),    p_i = s_i / sum_j s_j

Roy & Vetterli 2007 (EUSIPCO, "The effective rank"): s are the singular values of the vectors with their mean taken off,
so that it says how many directions molecules differ in. It is at most the number of molecules less one, and compares
only over the same molecules.

The atoms' vectors are compared by `collapse.measures`: do they still tell kinds of atoms apart, and how far did they
go. Pictures are of the same atoms for every fit of a seed and fold.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from roftmol.core.seeds import generator
from roftmol.encoders.base import Encoder
from roftmol.features.graphs import Graphs
from roftmol.scoring.representation import LIMIT, PICTURED, Picture, Vectors, measures, picture, sample
from roftmol.training.auxiliary.force_field import Probe
from roftmol.training.fit import Fold
from roftmol.training.forward import evaluation_batches, pooled

#: Held-out molecules whose vectors are compared; fewer where a fold has not as many. Their labels are not read.
MOLECULES = 100
#: The part that stands for the whole encoder.
ALL = "all"
#: The part that stands for the molecules' vectors.
VECTORS = "vectors"
#: The part that stands for the atoms' vectors.
ATOMS = "atoms"
#: The part that stands for the force field of an atomistic model.
FORCES = "forces"


class Change(NamedTuple):
    """One row of table "changes" but for its run; `molecules` is 0 where a value is of weights."""

    part: str
    quantity: str  #: see table "changes"
    value: float
    molecules: int


class Centred:
    """The vectors of some molecules with their mean taken off, as their Gram matrix."""

    def __init__(self, vectors: Tensor):
        """Take the mean off `vectors`, n x d."""
        X = vectors.double()
        X = X - X.mean(0)
        self.gram = X @ X.T  #: n x n

    @cached_property
    def effective_rank(self) -> float:
        """Between 1 and min(n - 1, d); NaN if all vectors are the same."""
        eigenvalues = torch.linalg.eigvalsh(self.gram)
        # What is below the rounding of the largest is 0, and would count as many small directions.
        largest = eigenvalues[-1]
        eigenvalues = eigenvalues[eigenvalues > len(eigenvalues) * torch.finfo(torch.double).eps * largest]
        if not len(eigenvalues) or largest <= 0:
            return math.nan
        s = eigenvalues.sqrt()
        p = s / s.sum()
        return float(torch.exp(-(p * p.log()).sum()))

    @cached_property
    def _hollow(self) -> Tensor:
        """The Gram matrix without its diagonal, which is what biases HSIC."""
        return self.gram - torch.diag(self.gram.diagonal())

    def hsic(self, other: Centred) -> float:
        """Return the unbiased estimate of HSIC with linear kernels, NaN for fewer than four molecules.

        (tr(KL) + 1'K1 1'L1 / ((n - 1)(n - 2)) - 2 1'KL1 / (n - 2)) / (n (n - 3)), K and L without their diagonals.
        """
        K, L = self._hollow, other._hollow
        n = len(K)
        if n < 4:
            return math.nan
        k, l = K.sum(0), L.sum(0)  # noqa: E741 (the letters of the formula)
        total = (K * L).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 * (k @ l) / (n - 2)
        return float(total / (n * (n - 3)))

    @cached_property
    def own_hsic(self) -> float:
        """HSIC with itself."""
        return self.hsic(self)


def linear_cka(one: Centred, other: Centred) -> float:
    """Return the linear CKA of two encoders' vectors of the same molecules, by the unbiased HSIC.

    It is 1 for vectors that are equal up to a rotation, a shift and a scale. It is NaN for fewer than four molecules,
    or where the estimate of either HSIC with itself is not positive.
    """
    square = one.own_hsic * other.own_hsic if min(one.own_hsic, other.own_hsic) > 0 else math.nan
    return one.hsic(other) / math.sqrt(square)


def distances(start: Encoder, end: Encoder) -> dict[str, float]:
    """Return ||theta - theta_0|| / ||theta_0|| of every part, bottom up, and of all of them.

    Both encoders are of one architecture. The distance is NaN where a part has no parameters or starts at zero.
    """
    theta_0 = dict(start.named_parameters())
    names = list(theta_0)
    theta = dict(end.named_parameters())
    with torch.no_grad():
        moved = torch._foreach_norm(torch._foreach_sub([theta[name] for name in names], list(theta_0.values())))
        first = torch._foreach_norm(list(theta_0.values()))
    squares = torch.stack([torch.stack(moved), torch.stack(first)]).double().square().cpu().numpy()
    parts = np.array([end.part_of(name) for name in names])
    groups = {part: parts == part for part in end.parts} | {ALL: np.ones(len(parts), bool)}
    result = {}
    for part, chosen in groups.items():
        above, below = squares[:, chosen].sum(1)
        result[part] = math.sqrt(above / below) if below else math.nan
    return result


@torch.no_grad()
def atom_vectors(encoder: Encoder, graphs: Graphs, molecules: np.ndarray) -> Vectors:
    """Return the vectors of the molecules' atoms in eval mode, n x d; leave the encoder in that mode."""
    encoder.eval()
    device = next(encoder.parameters()).device
    batches = evaluation_batches(encoder, graphs, molecules)
    return torch.cat([encoder.nodes(batch.to(device)) for batch in batches]).cpu().numpy()


def _drawn(seed: int, number: int, fold: Fold) -> np.ndarray:
    """Return at most `MOLECULES` positions in `fold.held_out`, the same for every fit of a seed and fold."""
    return np.sort(generator("changes", seed, number).permutation(len(fold.held_out))[:MOLECULES])


class Reference:
    """The pretrained encoder of one job, which its fits are compared with; its vectors are computed once a fold."""

    def __init__(self, encoder: Encoder, graphs: Graphs, probe: Probe | None = None):
        self.encoder = encoder
        self.graphs = graphs
        self.probe = probe
        self.centred: dict[tuple[int, int], Centred] = {}
        self.atoms: dict[tuple[int, int], Vectors] = {}

    def changes(
        self, end: Encoder, vectors: Tensor, seed: int, number: int, fold: Fold, start: Encoder | None = None
    ) -> tuple[Change, ...]:
        """Return the rows of table "changes" of one fit, which ended with the encoder `end`.

        `vectors` are those of the fold's validation and test molecules, in this order, as `end` gives them; at most
        `MOLECULES` of them are used, drawn by seed and fold. `start` is where the fit started, if not here.
        """
        chosen = _drawn(seed, number, fold)
        molecules = fold.held_out[chosen]
        after = Centred(vectors[torch.from_numpy(chosen).to(vectors.device)])
        atoms_before = self._atoms_before(seed, number, molecules)
        if self._is(end):  # an encoder that has not moved gives the vectors that it gave before
            before = after
            atoms = atoms_before
        else:
            before = self._before(seed, number, molecules)
            atoms = atom_vectors(end, self.graphs, molecules)
        classes = self.graphs.classes_of(molecules)
        drawn = sample(classes, LIMIT, generator("changes atoms", seed, number))
        of_atoms = measures(atoms_before[drawn], atoms[drawn], classes[drawn], generator("directions", seed, number))
        of_vectors = [
            ("cka", linear_cka(before, after)),
            ("effective_rank", after.effective_rank),
            ("effective_rank_pretrained", before.effective_rank),
        ]
        rows: list[Change] = []
        if self.probe and start is None:
            of_forces = self.probe.quantities(end)
            rows += [Change(FORCES, quantity, value, self.probe.molecules) for quantity, value in of_forces.items()]
        of_parts = distances(start or self.encoder, end)
        rows += [Change(part, "distance", value, 0) for part, value in of_parts.items()]
        rows += [Change(VECTORS, quantity, value, len(chosen)) for quantity, value in of_vectors]
        rows += [Change(ATOMS, quantity, value, len(chosen)) for quantity, value in of_atoms.items()]
        return tuple(rows)

    def picture(self, end: Encoder, seed: int, number: int, fold: Fold) -> Picture:
        """Return at most `PICTURED` atoms of a class, before and as `end` gives them.

        They are of the molecules of :meth:`changes`.
        """
        molecules = fold.held_out[_drawn(seed, number, fold)]
        before = self._atoms_before(seed, number, molecules)
        after = before if self._is(end) else atom_vectors(end, self.graphs, molecules)
        classes = self.graphs.classes_of(molecules)
        drawn = sample(classes, PICTURED, generator("tsne", seed, number))
        return picture(before[drawn], after[drawn], classes[drawn])

    def _before(self, seed: int, number: int, molecules: np.ndarray) -> Centred:
        if (seed, number) not in self.centred:
            self.centred[seed, number] = Centred(pooled(self.encoder, self.graphs, molecules))
        return self.centred[seed, number]

    def _atoms_before(self, seed: int, number: int, molecules: np.ndarray) -> Vectors:
        if (seed, number) not in self.atoms:
            self.atoms[seed, number] = atom_vectors(self.encoder, self.graphs, molecules)
        return self.atoms[seed, number]

    def _is(self, end: Encoder) -> bool:
        """Return whether the weights and BatchNorm's statistics of `end` are the pretrained ones, to the bit."""
        state = end.state_dict()
        return all(
            torch.equal(tensor, state[name])
            for name, tensor in self.encoder.state_dict().items()
            if tensor.is_floating_point()
        )
