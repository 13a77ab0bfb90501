"""Measures of atoms' vectors: by hand, against scipy and scikit-learn, and where there is no answer."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from rdkit import Chem
from scipy.stats import wasserstein_distance
from sklearn.metrics import davies_bouldin_score

from roftmol.core.seeds import seed_of
from roftmol.features.atom_kinds import CLASSES, classes_of
from roftmol.scoring.representation import LIMIT, davies_bouldin, measures, sample, sliced_wasserstein, tsne
from small_dataset import SMILES

#: What is undefined is found out beforehand.
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def gaussian(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def rotation(d: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(gaussian(d, d, seed))[0]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def classes() -> np.ndarray:
    """Of all atoms of the usual molecules."""
    return np.concatenate([classes_of(Chem.MolFromSmiles(text)) for text in SMILES])


@pytest.fixture(scope="module")
def vectors(classes) -> np.ndarray:
    """One for each of these atoms, around its class's centre."""
    return 2 * gaussian(len(CLASSES) + 1, 12, 1)[classes] + gaussian(len(classes), 12, 2)


def test_a_sample_has_the_limit_of_each_class_or_all_there_are(classes):
    limit = 5
    found = sample(classes, limit, rng())
    assert np.all(np.diff(found) > 0)
    everything = np.bincount(classes[classes >= 0], minlength=len(CLASSES))
    assert everything.max() > limit > everything.min()
    np.testing.assert_array_equal(
        np.bincount(classes[found], minlength=len(CLASSES)), np.minimum(everything, limit)
    )  # fails for a -1 too
    np.testing.assert_array_equal(sample(classes, limit, rng()), found)
    assert not np.array_equal(sample(classes, limit, rng(1)), found)
    np.testing.assert_array_equal(sample(classes, LIMIT, rng()), np.flatnonzero(classes >= 0))
    assert len(sample(classes[:0], limit, rng())) == 0


def test_every_atom_of_a_class_is_as_likely():
    classes = np.zeros(10, np.int8)
    generator = rng()
    drawn = np.bincount(np.concatenate([sample(classes, 3, generator) for _ in range(2000)]), minlength=10)
    assert np.abs(drawn - 600).max() < 5 * math.sqrt(2000 * 0.3 * 0.7)


# -- the Davies-Bouldin index ----------------------------------------------------------------------------------------


SQUARE = np.array([[0, 1], [0, -1], [4, 1], [4, -1.0]])  # two classes with S = 1 each and M = 4
PAIRS = np.array([0, 0, 1, 1], np.int8)


@pytest.mark.parametrize("unit", [1e-12, 1, 1e12])
@pytest.mark.parametrize("shift", [0, 1e4])
def test_davies_bouldin_by_hand_in_any_unit(unit, shift):
    assert davies_bouldin(unit * (SQUARE + shift), PAIRS) == pytest.approx(0.5, rel=1e-9)


def test_davies_bouldin_takes_the_worst_pair_of_each_class():
    # A third class at (0, 3) with S = 0: 1/3 for the first with it, 1/5 for the second with it.
    X = np.vstack([SQUARE, [[0, 3], [0, 3]]])
    wanted = np.mean([max(2 / 4, 1 / 3), max(2 / 4, 1 / 5), max(1 / 3, 1 / 5)])
    assert davies_bouldin(X, np.array([0, 0, 1, 1, 7, 7], np.int8)) == pytest.approx(wanted, rel=1e-6)


def test_davies_bouldin_leaves_out_lone_atoms_and_those_of_no_class():
    X = np.vstack([SQUARE, [[9, 9], [5, 5], [-7, 0]]])
    assert davies_bouldin(X, np.array([*PAIRS, 4, -1, -1], np.int8)) == pytest.approx(0.5)


def test_classes_that_run_together_have_a_larger_index(classes, vectors):
    spread = vectors - 2 * gaussian(len(CLASSES) + 1, 12, 1)[classes]
    found = [davies_bouldin(spread + share * (vectors - spread), classes) for share in (2, 1, 0.5, 0.25)]
    assert found == sorted(found)
    # The vectors of a class are as far from their centre as before, and centres are about a quarter as far apart.
    assert found[3] > 2 * found[1]


def test_davies_bouldin_is_undefined():
    assert math.isnan(davies_bouldin(SQUARE, np.zeros(4, np.int8)))
    assert math.isnan(davies_bouldin(SQUARE, np.array([0, 1, 2, 3], np.int8)))
    assert math.isnan(davies_bouldin(SQUARE, np.array([0, 0, -1, -1], np.int8)))
    assert math.isnan(davies_bouldin(SQUARE[:0], PAIRS[:0]))
    assert math.isnan(davies_bouldin(np.where(SQUARE == 4, np.inf, SQUARE), PAIRS))


def test_the_worst_collapse_is_not_the_best_value():
    equal = np.full((6, 3), 0.1, np.float32)
    classes = np.array([0, 0, 0, 1, 1, 2], np.int8)
    assert math.isnan(davies_bouldin(equal, classes))
    # All classes have one centre, and then two of three.
    cross = np.array([[1, 0], [-1, 0], [0, 1], [0, -1.0]])
    assert math.isnan(davies_bouldin(cross, PAIRS))
    assert math.isnan(davies_bouldin(np.vstack([cross, [[5, 5], [6, 6]]]), np.array([*PAIRS, 2, 2], np.int8)))


# -- the sliced distance ---------------------------------------------------------------------------------------------


def scale(X: np.ndarray) -> float:
    return math.sqrt(np.square(X - X.mean(0)).sum(1).mean())


def test_identical_clouds_have_no_distance_whatever_the_order(vectors):
    assert sliced_wasserstein(vectors, vectors, rng()) == 0
    assert sliced_wasserstein(vectors, vectors[::-1], rng()) == pytest.approx(0, abs=1e-12)


def test_the_distance_is_scipys_over_the_same_directions(vectors):
    after = vectors**2 + 0.3
    u = rng(3).standard_normal((10, vectors.shape[1]))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    wanted = np.mean([wasserstein_distance(vectors @ one, after @ one) for one in u]) / scale(vectors)
    assert sliced_wasserstein(vectors, after, rng(3), 10) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("d", [1, 2, 3, 12, 300])
def test_the_distance_of_a_shift(d):
    """By c along one axis: c E|u_1| over the scale, with u uniform on the sphere."""
    X, c, directions = gaussian(30, d) * 5 + 2, 0.7, 4000
    shifted = X + c * np.eye(d)[0]
    mean = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    error = math.sqrt(max(1 / d - mean**2, 0) / directions)  # E u_1^2 = 1 / d
    found = sliced_wasserstein(X, shifted, rng(d), directions) * scale(X) / c
    assert abs(found - mean) < 4 * error + 1e-9


def test_the_distance_of_an_encoder_in_another_unit_is_the_same(vectors):
    after = vectors + gaussian(*vectors.shape, 5)
    wanted = sliced_wasserstein(vectors, after, rng())
    assert wanted > 0
    assert sliced_wasserstein(1e-6 * vectors, 1e-6 * after, rng()) == pytest.approx(wanted, rel=1e-9)
    single = sliced_wasserstein(vectors.astype(np.float32), after.astype(np.float32), rng())
    assert single == pytest.approx(wanted, rel=1e-5)


def test_the_distance_is_undefined_or_refused(vectors):
    equal = np.full_like(vectors, 0.1)
    assert math.isnan(sliced_wasserstein(equal, vectors, rng()))
    assert sliced_wasserstein(vectors, equal, rng()) > 0
    assert math.isnan(sliced_wasserstein(vectors, vectors * np.inf, rng()))
    assert math.isnan(sliced_wasserstein(vectors[:0], vectors[:0], rng()))
    with pytest.raises(ValueError, match="must be n x d alike"):
        sliced_wasserstein(vectors, vectors[:1], rng())


# -- all of a fit ----------------------------------------------------------------------------------------------------


def test_measures_of_a_fit_by_their_definitions(classes, vectors):
    after = vectors / 2 + gaussian(*vectors.shape, 5)
    found = measures(vectors, after, classes, rng(1))
    first, last = davies_bouldin(vectors, classes), davies_bouldin(after, classes)
    assert found == {
        "davies_bouldin": last,
        "davies_bouldin_ratio": last / first,
        "wasserstein": sliced_wasserstein(vectors, after, rng(1)),
    }
    assert found["davies_bouldin_ratio"] > 1


def test_a_rotation_of_both_changes_none_and_of_one_only_the_distance(classes, vectors):
    after = vectors / 2 + gaussian(*vectors.shape, 5)
    Q = rotation(vectors.shape[1])
    wanted = measures(vectors, after, classes, rng())
    turned = measures(vectors @ Q, after @ Q, classes, rng())
    for name in ("davies_bouldin", "davies_bouldin_ratio"):
        assert turned[name] == pytest.approx(wanted[name], rel=1e-9)
    # The directions are turned with them, as uniform ones may be; else they would be other ones.
    there = SimpleNamespace(standard_normal=lambda shape: rng().standard_normal(shape) @ Q)
    assert measures(vectors @ Q, after @ Q, classes, there)["wasserstein"] == pytest.approx(wanted["wasserstein"])
    alone = measures(vectors, vectors @ Q, classes, rng())
    assert alone["davies_bouldin_ratio"] == pytest.approx(1, rel=1e-9)
    assert alone["wasserstein"] > 0.1


def test_a_fit_of_a_collapsed_encoder_has_no_ratio():
    points = np.array([[0, 0], [0, 0], [1, 1], [1, 1.0]])  # classes are points: the index before is 0
    found = measures(points, SQUARE, PAIRS, rng())
    assert found["davies_bouldin"] == pytest.approx(0.5)
    assert math.isnan(found["davies_bouldin_ratio"])
    found = measures(SQUARE, np.ones_like(SQUARE), PAIRS, rng())
    assert math.isnan(found["davies_bouldin"])
    assert math.isnan(found["davies_bouldin_ratio"])
    assert found["wasserstein"] > 0


# -- t-SNE -----------------------------------------------------------------------------------------------------------


def test_tsne_twice_is_the_same_to_the_bit_and_keeps_classes_together(classes, vectors):
    kept = sample(classes, 20, rng())
    seed = seed_of("tsne")
    plane = tsne(vectors[kept], seed)
    assert plane.shape == (len(kept), 2)
    np.testing.assert_array_equal(tsne(vectors[kept], seed), plane)
    shuffled = rng().permutation(classes[kept])
    assert davies_bouldin(plane, classes[kept]) < davies_bouldin(plane, shuffled) / 2


def test_tsne_does_not_depend_on_the_unit(vectors):
    np.testing.assert_array_equal(tsne(2.0**-60 * vectors[:50], 0), tsne(vectors[:50], 0))


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_tsne_of_few(n):
    plane = tsne(gaussian(n, 4), 0)
    assert plane.shape == (n, 2)
    assert np.isfinite(plane).all()
    assert len(np.unique(plane, axis=0)) == n


def test_tsne_of_what_has_no_picture():
    np.testing.assert_array_equal(tsne(np.full((6, 3), 0.1), 0), np.zeros((6, 2)))
    np.testing.assert_array_equal(tsne(gaussian(1, 3), 0), np.zeros((1, 2)))
    assert tsne(gaussian(0, 3), 0).shape == (0, 2)
    broken = gaussian(6, 3)
    broken[2, 1] = np.nan
    assert np.isnan(tsne(broken, 0)).all()


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_davies_bouldin_is_scikit_learns(classes):
    vectors = gaussian(300, 17, classes) * 40 + 3
    labels = rng(classes).integers(0, classes, 300)
    vectors[:, 0] += 60 * labels
    assert davies_bouldin(vectors, labels.astype(np.int8)) == pytest.approx(
        davies_bouldin_score(vectors, labels), rel=1e-12
    )
