"""The force field that an atomistic model was pretrained as, kept as the second task (MFT, arXiv 2601.08486).

    L = p_e mean over molecules of (E - E*)^2 / n  +  p_f mean over atoms and axes of (F - F*)^2

E is the energy (eV) of a molecule of n atoms and F = -dE/dR the forces (eV/Angstrom); E* and F* are labels of
conformers of other molecules. The prefactors go from the forces to the energy as the learning rate falls a hundredfold,
p(t) = p_end + (p_start - p_end) 0.01^t, with t the share of the epochs that are allowed. In the protocol `paper` the
rate falls so for every model of atoms in space; in `honest` it stays, for fits end early there.

Labels of another method have another zero of energy: an offset an element is fitted by least squares between the labels
and the pretrained model's energies, and taken off.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from roftmol.encoders.base import Encoder, Spatial
from roftmol.features.graphs import Batch, Graphs
from roftmol.methods.protocols import RATE_FALL

#: The energy's prefactor, at the start and at the end.
ENERGY = (0.2, 20.0)
#: The forces' prefactor, at the start and at the end.
FORCES = (100.0, 60.0)
#: The largest norm of a gradient.
CLIP = 5.0
#: Conformers a batch. They are few, since a step on forces costs three times one on a property.
BATCH = 8
#: Conformers a batch where nothing trains.
EVALUATION = 64


@dataclass(frozen=True, eq=False)
class Labels:
    """Conformers with energies and forces."""

    conformers: Graphs
    energies: npt.NDArray[np.float64]  #: conformers, eV: thousands, of which float32 would lose what is learnt
    forces: npt.NDArray[np.float32]  #: atoms x 3, eV/Angstrom, in the order of the conformers' atoms

    def forces_of(self, batch: Batch) -> Tensor:
        """Return the forces on a batch's atoms, n x 3."""
        offsets = self.conformers.offsets
        rows = np.concatenate([np.arange(offsets[m], offsets[m + 1]) for m in batch.molecules])
        return torch.from_numpy(self.forces[rows]).to(batch.atoms.device)


def labelled_by(model: Spatial, conformers: Graphs) -> Labels:
    """Return the conformers with the energies and forces that the model gives them."""
    device = next(model.parameters()).device
    energies = []
    forces = []
    model.eval()
    for batch in conformers.batches(np.arange(len(conformers)), EVALUATION):
        energy, force = model.energies_and_forces(batch.to(device))
        energies.append(energy.cpu().numpy().astype(np.float64))
        forces.append(force.cpu().numpy())
    return Labels(conformers, np.concatenate(energies), np.concatenate(forces))


def aligned(labels: Labels, pretrained: Labels) -> Labels:
    """Return the labels with an offset an element taken off.

    The offsets bring the energies nearest to those of `pretrained`, by least squares.
    """
    counts = composition(labels.conformers)
    offsets, *_ = np.linalg.lstsq(counts, labels.energies - pretrained.energies, rcond=None)
    return replace(labels, energies=labels.energies - counts @ offsets)


def composition(conformers: Graphs) -> npt.NDArray[np.float64]:
    """Return how many atoms of each element that occurs a molecule has: molecules x elements."""
    molecule = np.repeat(np.arange(len(conformers)), np.diff(conformers.offsets))
    elements, column = np.unique(conformers.atoms[:, 0], return_inverse=True)
    counts = np.zeros((len(conformers), len(elements)))
    np.add.at(counts, (molecule, column), 1)
    return counts


@dataclass(frozen=True, eq=False)
class Probe:
    """Conformers that nothing learns from, with forces of another method and of the pretrained model."""

    labels: Labels
    pretrained: Labels

    @property
    def molecules(self) -> int:
        """How many conformers there are."""
        return len(self.labels.conformers)

    def quantities(self, encoder: Encoder) -> dict[str, float]:
        """Return the mean absolute differences of the encoder's forces from both, in eV/Angstrom an axis."""
        assert isinstance(encoder, Spatial)
        forces = labelled_by(encoder, self.labels.conformers).forces
        return {
            "force_drift": float(np.abs(forces - self.pretrained.forces).mean()),
            "force_error": float(np.abs(forces - self.labels.forces).mean()),
        }


@dataclass(frozen=True, eq=False)
class ForceField:
    """The task on labelled conformers, with the checkpoint's heads, which are part of the encoder's module."""

    labels: Labels
    encoder: Spatial | None = None  #: that a fit trains
    clip: float = CLIP
    extra: list[Tensor] = field(default_factory=list)

    def on(self, encoder: Encoder) -> ForceField:
        """Return the task on this encoder."""
        assert isinstance(encoder, Spatial)
        return replace(self, encoder=encoder)

    def train(self) -> None:
        """Let the force field's heads take gradients."""
        assert self.encoder
        self.encoder.force_field.requires_grad_(True)

    def loss(self, progress: float, rng: np.random.Generator) -> Tensor:
        """Return the loss on conformers drawn at random."""
        assert self.encoder
        conformers = self.labels.conformers
        chosen = rng.choice(len(conformers), min(BATCH, len(conformers)), replace=False)
        batch = conformers.batch(chosen).to(next(self.encoder.parameters()).device)
        energies, forces = self.encoder.energies_and_forces(batch, training=True)
        labels = torch.from_numpy(self.labels.energies[chosen]).to(energies.device)
        error = (energies - labels).square() / batch.sizes
        weights = [end + (start - end) * RATE_FALL**progress for start, end in (ENERGY, FORCES)]
        return weights[0] * error.mean() + weights[1] * (forces - self.labels.forces_of(batch)).square().mean()
