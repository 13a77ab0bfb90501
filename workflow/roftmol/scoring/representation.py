"""Whether atoms' vectors still tell kinds of atoms apart after a fit, and how far the fit has moved them.

Representation collapse as in arXiv 2601.08486: ten kinds of atoms ("environments": the element and how many neighbours
it has), at most a limit of atoms of each, and their vectors before and after a fit. One measure is

    Davies-Bouldin = 1/k sum_i max_{j != i} (S_i + S_j) / M_ij

of k classes, with S the mean distance of a class's vectors from their centre and M the distance of two centres (Davies
& Bouldin 1979, IEEE PAMI 1:224). It grows as the classes run together. The other is the sliced 1-Wasserstein distance
of the two clouds of vectors: the mean over directions u of the distance of their projections (Bonneel et al. 2015,
J. Math. Imaging Vis. 51:22),

    mean_u W_1(X u, Y u) / scale,    scale^2 = mean_a ||x_a - mean(x)||^2 over the vectors x before the fit

It does not depend on which atom went where. The paper takes Davies-Bouldin on the plane of a t-SNE, which changes with
the start and the perplexity of the t-SNE. Here both measures are of the vectors themselves. The t-SNE is for pictures;
its index, in table "tsne", is for comparison with the paper.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roftmol.features.atom_kinds import CLASSES, Classes

#: Atoms of a class that are compared; the paper has 2,000.
LIMIT = 200
#: Atoms of a class in a picture, whose t-SNE takes some seconds.
PICTURED = 100
#: Random directions of the sliced distance.
DIRECTIONS = 200
#: Centres nearer than this part of the scale are one: vectors come in single precision.
TOUCHING = 1e-6

Vectors = NDArray[np.floating]


def sample(classes: Classes, limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw at most `limit` atoms of each class without replacement, and return their indices in rising order.

    Atoms without a class are left out. `LIMIT` is the usual `limit`.
    """
    drawn = []
    for index in range(len(CLASSES)):
        members = np.flatnonzero(classes == index)
        drawn.append(members if len(members) <= limit else rng.choice(members, limit, replace=False))
    return np.sort(np.concatenate(drawn))


# -- measures --------------------------------------------------------------------------------------------------------


def _centred(vectors: Vectors) -> tuple[NDArray[np.float64], float]:
    """Return the vectors minus their mean, n x d, and the root mean square of their lengths after that.

    This scale is exactly 0 if all vectors are the same, and NaN if there are none or one is not finite.
    """
    X = vectors.astype(np.float64)
    if not len(X) or not np.isfinite(X).all():
        return X, math.nan
    X = X - X[0]  # makes equal vectors exactly zero, which subtracting their rounded mean would not
    X = X - X.mean(0)
    return X, math.sqrt(np.square(X).sum(1).mean())


def davies_bouldin(vectors: Vectors, classes: Classes) -> float:
    """Return the Davies-Bouldin index of vectors, n x d, by their classes, n: 0 and up, larger if they run together.

    Only classes of at least two atoms count; class -1 does not. The index is NaN for fewer than two such classes, if a
    vector is not finite, and if two classes have the same centre.
    """
    present, sizes = np.unique(classes[classes >= 0], return_counts=True)
    present = present[sizes > 1]
    kept = np.isin(classes, present)
    labels = classes[kept]
    X, scale = _centred(vectors[kept])
    if len(present) < 2 or not scale > 0:
        return math.nan
    X = X / scale
    members = [X[labels == index] for index in present]
    centres = np.stack([rows.mean(0) for rows in members])
    S = np.array([np.linalg.norm(rows - centre, axis=1).mean() for rows, centre in zip(members, centres, strict=True)])
    M = np.linalg.norm(centres[:, None] - centres[None], axis=2) + np.diag(np.full(len(centres), np.inf))
    # Two classes with one centre are the worst collapse, but their ratio could be anything, even the best value.
    return float(((S[:, None] + S) / M).max(1).mean()) if M.min() > TOUCHING else math.nan


def sliced_wasserstein(
    before: Vectors, after: Vectors, rng: np.random.Generator, directions: int = DIRECTIONS
) -> float:
    """Return the sliced 1-Wasserstein distance of two clouds of vectors, both n x d, in units of the scale of `before`.

    A shift by one scale gives about sqrt(2 / (pi d)), because in many dimensions a random direction sees little of it.
    So multiply by sqrt(d) to compare encoders of different widths. The distance is NaN if the vectors of `before` are
    all the same, or if one of either is not finite.
    """
    if before.shape != after.shape:
        raise ValueError(f"vectors before {before.shape} and after {after.shape} must be n x d alike")
    _, scale = _centred(before)
    if not scale > 0 or not np.isfinite(after).all():
        return math.nan
    u = rng.standard_normal((directions, before.shape[1]))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    # Of equally many points, W_1 on a line is the mean distance of the first to the first, the second to the second ...
    one, other = (np.sort(X.astype(np.float64) @ u.T, axis=0) for X in (before, after))
    return float(np.abs(one - other).mean() / scale)


def measures(before: Vectors, after: Vectors, classes: Classes, rng: np.random.Generator) -> dict[str, float]:
    """Measure what a fit did to the vectors of some atoms, both n x d, with n classes; return the measures by name.

    They are "davies_bouldin" after the fit, "davies_bouldin_ratio" (after / before; NaN if that was 0), and
    "wasserstein", which is over all atoms, those without a class too.
    """
    first, last = davies_bouldin(before, classes), davies_bouldin(after, classes)
    return {
        "davies_bouldin": last,
        "davies_bouldin_ratio": last / first if first > 0 else math.nan,
        "wasserstein": sliced_wasserstein(before, after, rng),
    }


# -- pictures --------------------------------------------------------------------------------------------------------


class Picture(NamedTuple):
    """Vectors of some atoms before and after a fit, both n x d in float16, and their classes, n in int8."""

    before: Vectors
    after: Vectors
    classes: Classes


def picture(before: Vectors, after: Vectors, classes: Classes) -> Picture:
    """Store the vectors, both n x d, minus the mean of `before` and in units of its scale; equal ones stay equal.

    Numbers too large for float16 become infinite.
    """
    _, scale = _centred(before)
    # Half precision has three digits; of vectors far from the origin, all three would be spent on the distance to it.
    with np.errstate(over="ignore", invalid="ignore"):
        mean = before.mean(0, dtype=np.float64) if len(before) else 0.0
        first, last = (((X - mean) / (scale if scale > 0 else 1.0)).astype(np.float16) for X in (before, after))
    return Picture(first, last, classes)


def planes(shown: Picture, seed: int) -> tuple[Vectors, Vectors]:
    """Run one t-SNE of both clouds of a picture; return where its atoms lie before and after, both n x 2."""
    if np.array_equal(shown.before, shown.after):
        plane = tsne(shown.before, seed)
        return plane, plane
    n = len(shown.classes)
    plane = tsne(np.concatenate([shown.before, shown.after]), seed)
    return plane[:n], plane[n:]


def tsne(vectors: Vectors, seed: int, perplexity: float = 30) -> Vectors:
    """Map vectors to a plane by t-SNE, n x d -> n x 2; the same seed gives the same plane.

    It starts from the two principal components, so another seed changes little if anything. The perplexity is at most a
    third of the number of other atoms, so that few atoms can be drawn too. All points are at 0 if the vectors are all
    the same, and NaN if one is not finite. `davies_bouldin` of the plane is the paper's measure.
    """
    from sklearn.manifold import TSNE

    X, scale = _centred(vectors)
    if not scale > 0:
        return np.full((len(X), 2), scale, np.float32)
    return TSNE(
        perplexity=max(1.0, min(perplexity, (len(X) - 1) / 3)),
        init="pca",
        random_state=seed % 2**32,  # the largest that scikit-learn takes
        n_jobs=1,
    ).fit_transform(X / scale)
