"""The applicability domain: molecules like the training molecules, by similarity, elements, and simple descriptors.

Similarity alone does not see size: a chain of 800 carbons has the Morgan bits of decane. So the ranges of the
descriptors that chemists look at first count too. A range reaches a tenth of its width beyond the training molecules on
both sides, and at least 1 for a descriptor that counts something. Then 2% of new molecules, drawn as 100 training
molecules were, lie beyond some range; without margins it is 6%. They are still those with the larger errors
(benchmarks/coverage.py margins).

A head also says how unsure it is of a molecule. A molecule is outside if the head is less sure of it than of 99% of the
molecules that calibrated it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, rdMolDescriptors

from roftmol.features.fingerprints import BITS, RADIUS

#: The least similarity of a molecule in the domain is this quantile of the training molecules' own to their nearest.
QUANTILE = 0.05
#: The most that a head may be unsure of a molecule is this quantile of how unsure it was of those that calibrated it.
SURE = 0.99
#: How far a range reaches beyond the training molecules, as a share of its width.
MARGIN = 0.1


def _weight(molecule: Chem.Mol) -> float:
    return float(Descriptors.MolWt(molecule))  # type: ignore[attr-defined]  # RDKit writes it into the module


@dataclass(frozen=True)
class Descriptor:
    """A descriptor of a molecule, the least margin of its range, and the least value that it can have."""

    value_of: Callable[[Chem.Mol], float]
    margin: float = 0.0
    least: float = 0.0


#: The descriptors that have a range, by their names for readers.
DESCRIPTORS = {
    "heavy atoms": Descriptor(lambda molecule: molecule.GetNumHeavyAtoms(), 1),
    "molecular weight": Descriptor(_weight),
    "logP (Crippen)": Descriptor(
        lambda molecule: rdMolDescriptors.CalcCrippenDescriptors(molecule)[0], least=-math.inf
    ),
    "polar surface (TPSA)": Descriptor(rdMolDescriptors.CalcTPSA),
    "H-bond donors": Descriptor(rdMolDescriptors.CalcNumHBD, 1),
    "H-bond acceptors": Descriptor(rdMolDescriptors.CalcNumHBA, 1),
    "rotatable bonds": Descriptor(rdMolDescriptors.CalcNumRotatableBonds, 1),
    "rings": Descriptor(rdMolDescriptors.CalcNumRings, 1),
}


def described(molecule: Chem.Mol) -> dict[str, float]:
    """Return the values of a molecule's descriptors by their names."""
    with rdBase.BlockLogs():
        return {name: float(descriptor.value_of(molecule)) for name, descriptor in DESCRIPTORS.items()}


@dataclass(frozen=True)
class Domain:
    """The least similarity, the training molecules' elements, and the range of each descriptor with its margins.

    `unsure` is the most that a head may be unsure of a molecule, in the unit of its deviation.
    """

    threshold: float
    elements: tuple[int, ...]
    ranges: Mapping[str, tuple[float, float]]
    unsure: float = math.inf

    @classmethod
    def of(
        cls,
        molecules: Sequence[Chem.Mol],
        similarity: npt.NDArray[np.float64],
        margin: float = MARGIN,
        deviations: npt.NDArray[np.float64] | None = None,
    ) -> Domain:
        """Make the domain of training molecules, each with its `similarity` to the nearest other one.

        `deviations` are how unsure heads were of molecules that they did not have.
        """
        ranges = {}
        each = [described(molecule) for molecule in molecules]
        for name, descriptor in DESCRIPTORS.items():
            values = [one[name] for one in each]
            low, high = min(values), max(values)
            beyond = max(margin * (high - low), descriptor.margin) if margin else 0.0
            ranges[name] = (max(low - beyond, descriptor.least), high + beyond)
        elements = sorted(set().union(*map(_elements, molecules)))
        # A head that is as sure of one molecule as of another says nothing by it.
        varies = deviations is not None and np.ptp(deviations) > 0
        unsure = float(np.quantile(deviations, SURE)) if deviations is not None and varies else math.inf
        return cls(float(np.quantile(similarity, QUANTILE)), tuple(elements), ranges, unsure)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Domain:
        """Read what :meth:`to_card` wrote."""
        ranges = {name: tuple(card["ranges"][name]) for name in DESCRIPTORS}
        unsure = card.get("unsure")
        return cls(card["threshold"], tuple(card["elements"]), ranges, math.inf if unsure is None else unsure)

    def to_card(self) -> dict[str, Any]:
        """Return the domain as JSON."""
        return {
            "threshold": self.threshold,
            "elements": list(self.elements),
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
            "unsure": self.unsure if math.isfinite(self.unsure) else None,
            "fingerprint": f"Morgan, radius {RADIUS}, {BITS} bits",
        }

    def outside(
        self, molecule: Chem.Mol, values: Mapping[str, float], similarity: float, deviation: float = 0.0
    ) -> str:
        """Say why a molecule with these values of descriptors is outside the domain; "" if it is inside.

        `deviation` is how unsure a head is of it.
        """
        reasons = []
        if similarity < self.threshold:
            reasons.append(f"similarity {similarity:.2f}, below {self.threshold:.2f}")
        if other_elements := sorted(_elements(molecule) - set(self.elements)):
            reasons.append(f"elements {symbols(other_elements)}")
        if deviation > self.unsure:
            reasons.append(f"the model is unsure: standard deviation {deviation:.3g}, above {self.unsure:.3g}")
        return "; ".join([*reasons, *self.beyond(values)])

    def beyond(self, values: Mapping[str, float]) -> list[str]:
        """Name the ranges that a molecule with these values of descriptors lies beyond."""
        reasons = []
        for name, (low, high) in self.ranges.items():
            if not low <= values[name] <= high:
                side = f"above {high:.4g}" if values[name] > high else f"below {low:.4g}"
                reasons.append(f"{name} {values[name]:.4g}, {side}")
        return reasons


def symbols(elements: Sequence[int]) -> str:
    """Return the symbols of atomic numbers."""
    return ", ".join(Chem.GetPeriodicTable().GetElementSymbol(number) for number in elements)


def _elements(molecule: Chem.Mol) -> set[int]:
    return {atom.GetAtomicNum() for atom in molecule.GetAtoms()}
