"""The fingerprint baseline: Morgan counts with a linear model or a random forest, one model a task.

Features are the counts of the environments of radius 2, hashed to 2048, as they are: log(1 + count) is no better for
classification, and worse for ridge where a property adds up over the atoms (ESOL). A missing label leaves its molecule
out of that task. A task with one value in training is predicted by it, one without a label by 0.5 (regression: 0).

Regression targets need no standardising: shifted and scaled targets shift and scale the predictions of both learners.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from scipy.sparse import csr_matrix
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from roftmol.methods.base import Fitted
from roftmol.methods.fingerprint import Settings
from roftmol.seeds import seed_of
from roftmol.similarity import BITS, RADIUS

TREES, FEW_TREES, MANY_TASKS = 100, 20, 30  # few trees for each of ToxCast's 617 tasks

Array = NDArray[np.float64]


def morgan_counts(smiles: Sequence[str]) -> csr_matrix:
    """How often each molecule has each hashed Morgan environment, n x 2048."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    columns: list[int] = []
    counts: list[int] = []
    ends = [0]
    with rdBase.BlockLogs():  # what is odd about a molecule is told where it is read
        for text in smiles:
            found = generator.GetCountFingerprint(Chem.MolFromSmiles(text)).GetNonzeroElements()
            columns += found.keys()
            counts += found.values()
            ends.append(len(columns))
    matrix = csr_matrix((np.array(counts, np.float64), columns, ends), shape=(len(smiles), BITS))
    matrix.sort_indices()
    return matrix


def fit_predict(setting: Settings, task: str, X: csr_matrix, Y: Array, X_new: csr_matrix, seed: int) -> Fitted:
    """Fit each task on the molecules with its label and predict others: probabilities, or values in label units.

    X: n x 2048, Y: n x t with NaN for a missing label, X_new: m x 2048.
    """
    tasks = Y.shape[1]
    trees = TREES if tasks <= MANY_TASKS else FEW_TREES
    predictions = np.empty((X_new.shape[0], tasks))
    parameters = constant = 0
    for number in range(tasks):
        known = ~np.isnan(Y[:, number])
        y = Y[known, number]
        if len(np.unique(y)) < 2:
            unknown = 0.5 if task == "classification" else 0.0
            predictions[:, number] = y[0] if len(y) else unknown
            constant += 1
            continue
        # Trees are drawn for each task by itself, whatever the other tasks are.
        model = learner(setting, task, trees, seed_of("forest", seed, number) % 2**32).fit(X[known], y)
        p = model.predict_proba(X_new)[:, 1] if task == "classification" else model.predict(X_new)
        if setting.learner == "forest":
            parameters += sum(tree.tree_.node_count for tree in model.estimators_)
            if task == "classification":
                # One more tree, which knows the rate alone: no probability is 0 or 1, and the order is as it was.
                p = (trees * p + y.mean()) / (trees + 1)
        else:
            parameters += BITS + 1
        predictions[:, number] = p
    note = f"{constant} of {tasks} tasks constant in training, predicted so" if constant else ""
    return Fitted(predictions, parameters, note)


def learner(setting: Settings, task: str, trees: int, seed: int) -> Any:
    """The untrained scikit-learn model of a setting."""
    if setting.learner == "forest":
        if task == "classification":
            return RandomForestClassifier(trees, random_state=seed, n_jobs=1)
        # A third of the features a split, Breiman's rule: as good as all of them on ESOL and Lipo, and far faster.
        return RandomForestRegressor(trees, max_features=1 / 3, random_state=seed, n_jobs=1)
    assert setting.alpha is not None
    if task == "classification":
        return LogisticRegression(C=1 / setting.alpha, max_iter=1000)
    return Ridge(setting.alpha)
