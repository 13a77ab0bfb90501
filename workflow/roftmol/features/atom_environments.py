"""Atom environments: which atoms every message-passing network must give the same vector.

A network whose layers see an atom's own vector and its neighbours' vectors and bonds, and nothing else, cannot tell two
atoms apart whose neighbourhoods look the same that many bonds deep (Morris et al. 2019, arXiv 1810.02244). So what it
computes for one of them, in eval mode, it has computed for all. Found by colour refinement (Weisfeiler & Leman 1968),
exactly: classes are compared, not hashed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Classes = npt.NDArray[np.int64]


def equal_rows(rows: npt.NDArray[np.generic]) -> Classes:
    """Return the class of every row of whole numbers, n x k -> n: equal rows have one number, from 0 up."""
    classes = np.zeros(len(rows), np.int64)
    for column in rows.T:
        classes = _paired(classes, column.astype(np.int64))
    return classes


def refine(classes: Classes, indptr: Classes, senders: Classes, bonds: Classes) -> Classes:
    """Return the classes after one more layer, n -> n.

    Two atoms stay in one class if they were in one and receive the same bonds from the same classes, in any order.
    `senders` and `bonds` (classes of bonds) are in CSR form: atom i receives those in [indptr[i], indptr[i + 1]).
    """
    degree = np.diff(indptr)
    receivers = np.repeat(np.arange(len(classes)), degree)
    messages = _paired(classes[senders], bonds)
    messages = messages[np.lexsort((messages, receivers))]
    for position in range(degree.max(initial=0)):
        more = degree > position
        message = np.full(len(classes), -1)
        message[more] = messages[indptr[:-1][more] + position]
        classes = _paired(classes, message)
    return classes


def _paired(one: Classes, other: Classes) -> Classes:
    """Return the class of every pair; entries of `other` may be -1."""
    return pd.factorize(one * (other.max(initial=0) + 2) + other + 1)[0].astype(np.int64)
