"""GFN2-xTB's descriptors in heads: standardised on training molecules, 0 and a mark where missing, never NaN."""

from __future__ import annotations

import numpy as np
import pytest

from roftmol.core.errors import UserError
from roftmol.features.inputs import GFN2_FIELDS, Inputs
from roftmol.heads import kernel_head
from roftmol.heads.gfn2 import CHOICES, QW4, MaskedStandardiser, beside_vector, qw4, with_nan
from roftmol.heads.kernels import Kernels
from roftmol.tasks import TASKS

N, FIELDS = 30, len(GFN2_FIELDS)
TRAIN, TEST = np.arange(20), np.arange(20, N)


def made_up(missing: tuple[int, ...] = ()) -> Inputs:
    rng = np.random.default_rng(0)
    gfn2 = np.hstack([rng.normal(5, 3, (N, FIELDS)), np.ones((N, FIELDS))]).astype(np.float32)
    gfn2[list(missing)] = 0
    rdkit = rng.normal(size=(N, 3)).astype(np.float32)
    return Inputs(N, descriptors=rdkit, gfn2=gfn2)


def test_a_missing_number_is_0_and_marked():
    X = with_nan(made_up(missing=(3, 25)).gfn2)
    Z = MaskedStandardiser.of(X[TRAIN])(X)
    assert Z.shape == (N, 2 * FIELDS)
    assert not Z[[3, 25]].any()
    there = np.delete(Z[TRAIN], 3, axis=0)
    assert there[:, :FIELDS].mean(0) == pytest.approx(0, abs=1e-6)
    assert there[:, :FIELDS].std(0) == pytest.approx(1)
    assert (there[:, FIELDS:] == 1).all()


def test_a_mark_that_training_molecules_share_is_left_out():
    X = with_nan(made_up(missing=(25,)).gfn2)
    Z = MaskedStandardiser.of(X[TRAIN])(X)
    assert Z.shape == (N, FIELDS)
    assert not Z[25].any()
    nothing = with_nan(made_up(missing=tuple(TRAIN)).gfn2)
    assert MaskedStandardiser.of(nothing[TRAIN])(nothing).shape == (N, 0)


def test_what_a_network_reads_beside_its_vector():
    molecules = made_up(missing=(3, 25))
    read = {choice: beside_vector(choice, molecules, TRAIN) for choice in CHOICES}
    widths = {"none": 0, "rdkit": 3, "gfn2": 14, "both": 17, "qw4": 11}
    assert {choice: matrix.shape for choice, matrix in read.items()} == {c: (N, w) for c, w in widths.items()}
    assert all(matrix.dtype == np.float32 and np.isfinite(matrix).all() for matrix in read.values())
    assert np.array_equal(read["both"], np.hstack([read["rdkit"], read["gfn2"]]))
    # As published: the four as they are, then their marks.
    assert np.array_equal(read["qw4"], np.hstack([read["rdkit"], qw4(molecules.gfn2)]))
    places = [GFN2_FIELDS.index(name) for name in QW4]
    assert np.array_equal(qw4(molecules.gfn2)[0], [*molecules.gfn2[0, places], 1, 1, 1, 1])
    assert not qw4(molecules.gfn2)[3].any()


@pytest.mark.parametrize("choice", CHOICES)
def test_other_molecules_change_nothing_of_the_training_molecules(choice: str):
    molecules, others = made_up(missing=(3,)), made_up(missing=(3, 25))
    others.gfn2[26] *= 10
    others.descriptors[27] *= 10
    both = (beside_vector(choice, inputs, TRAIN)[TRAIN] for inputs in (molecules, others))
    assert np.array_equal(*both)


def test_a_choice_that_cannot_be_read_is_named():
    with pytest.raises(UserError, match=r"'xtb' is unknown; choose one of none, rdkit, gfn2, both, qw4"):
        beside_vector("xtb", made_up(), TRAIN)
    with pytest.raises(UserError, match=r"both reads a file of gfn2, and none is given"):
        beside_vector("both", made_up().only({"descriptors"}), TRAIN)


def test_kernels_take_them_for_a_source_of_their_own():
    molecules = made_up(missing=(3, 25)).only({"gfn2"})
    kernels = Kernels.of(molecules[TRAIN])
    assert kernels.names == ("gfn2, linear", "gfn2, RBF")
    assert np.isfinite(kernels.between(molecules[TEST])).all()
    y = molecules.gfn2[:, 0] - molecules.gfn2[:, 2]
    head = kernel_head.fit(molecules[TRAIN], y[TRAIN, None], TASKS["regression"], 0)
    predicted = head.predict(molecules[TEST]).mean[:, 0]
    assert np.corrcoef(predicted, y[TEST])[0, 1] > 0.9
    again = kernel_head.read(head.arrays()).predict(molecules[TEST]).mean[:, 0]
    assert again == pytest.approx(predicted)
