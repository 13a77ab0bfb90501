"""GFN2-xTB of one molecule at one geometry, by tblite: what force labels and descriptors are computed by.

Bannwarth, Ehlert and Grimme, J. Chem. Theory Comput. 15, 1652 (2019). tblite is no part of the default installation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import constants

from roftmol.core.errors import UserError

Array = npt.NDArray[np.float64]

HARTREE = constants.value("Hartree energy in eV")  #: eV
BOHR = constants.value("Bohr radius") / constants.angstrom  #: A
#: D, of an elementary charge at a Bohr radius; 1 D is 1e-21 / c Cm.
DEBYE = constants.value("atomic unit of electric dipole mom.") * constants.speed_of_light / 1e-21


class SinglePointError(Exception):
    """Why there is no result: recorded, not raised to the user."""


class SinglePoint(NamedTuple):
    """What GFN2-xTB says of n atoms, in atomic units; m orbitals, those of the core not among them."""

    energy: float
    gradient: Array  #: n x 3
    dipole: Array  #: 3
    orbitals: Array  #: m energies, ascending
    occupations: Array  #: m, from 0 to 2


def single_point(numbers: npt.NDArray[np.integer], positions: Array, charge: int = 0, uhf: int = 0) -> SinglePoint:
    """Return GFN2-xTB's result for atomic numbers (n) at positions (n x 3, A), with so many unpaired electrons.

    Raises `SinglePointError` if the charges do not converge, atoms are too close, or an element has no parameters.
    """
    # Here, for OpenMP reads its number of threads when the library is loaded: see `one_thread`.
    from tblite.exceptions import TBLiteRuntimeError
    from tblite.interface import Calculator

    try:
        calculator = Calculator("GFN2-xTB", numbers, positions / BOHR, charge=float(charge), uhf=uhf)
        calculator.set("verbosity", 0)
        result = calculator.singlepoint()
    except TBLiteRuntimeError as error:
        raise SinglePointError(f"GFN2-xTB: {error}") from error
    parts = ("gradient", "dipole", "orbital-energies", "orbital-occupations")
    return SinglePoint(float(result.get("energy")), *(result.get(name) for name in parts))


def check_installed() -> None:
    """Raise `UserError` if tblite is not installed."""
    if find_spec("tblite") is None:
        raise UserError(
            "descriptors by GFN2-xTB are computed by tblite, which is not installed. Install it by `pip install "
            "--no-deps --require-hashes --requirement requirements-atomistic.txt`, or leave them out: "
            "`descriptors: rdkit` reads RDKit's alone."
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let tblite be loaded with one thread, in this process and in those that it starts meanwhile.

    Several threads on a small molecule wait for each other, up to 75 times as long as one takes.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
