"""The linear head: its penalty is chosen by molecules that are left out with all forms of their substance."""

from dataclasses import replace

import numpy as np
from sklearn.linear_model import Ridge

from roftmol.features.inputs import Inputs
from roftmol.heads import kernel_logistic, linear_head
from roftmol.tasks import TASKS

FORMS = np.random.default_rng(0)


def test_the_penalty_is_chosen_without_a_substances_other_forms():
    Z, y = FORMS.normal(size=(40, 30)), FORMS.normal(size=40)
    substances = np.repeat(np.arange(25), np.tile([1, 1, 3, 2, 1], 5))
    for alpha in (0.1, 30.0):
        errors = linear_head.left_out(Z, y, alpha, substances)
        for substance in range(25):
            held = substances == substance
            ridge = Ridge(alpha=alpha).fit(Z[~held], y[~held])
            np.testing.assert_allclose(errors[held], y[held] - ridge.predict(Z[held]), rtol=1e-8)


def test_copies_of_molecules_do_not_lower_the_penalty():
    Z = FORMS.normal(size=(60, 80))
    y = Z[:, 0] + FORMS.normal(size=60)
    twice = Inputs(120, vectors=np.vstack([Z, Z]))
    labels = np.concatenate([y, y + 0.01 * FORMS.normal(size=60)])[:, None]
    length = {
        name: np.linalg.norm(linear_head.fit(inputs, labels, TASKS["regression"], 0).columns[0].w)
        for name, inputs in (("records", twice), ("substances", replace(twice, substances=np.arange(120) % 60)))
    }
    assert length["records"] > 1.5 * length["substances"]


def test_substances_of_one_record_change_no_bit():
    Z, y = FORMS.normal(size=(40, 30)), FORMS.normal(size=(40, 1))
    for task, labels in (("regression", y), ("classification", (y > 0).astype(float))):
        plain = linear_head.fit(Inputs(40, vectors=Z), labels, TASKS[task], 0)
        alone = linear_head.fit(Inputs(40, vectors=Z, substances=np.arange(40)), labels, TASKS[task], 0)
        assert plain.columns[0].w.tobytes() == alone.columns[0].w.tobytes()


def test_forms_of_a_substance_are_dealt_into_one_fold():
    classes = np.arange(60) % 2.0
    substances = np.arange(60) // 2
    folds = kernel_logistic.dealt(classes, np.random.default_rng(0), substances)
    assert (folds[::2] == folds[1::2]).all()
    assert len(np.unique(folds)) == kernel_logistic.FOLDS
    alone = kernel_logistic.dealt(classes, np.random.default_rng(0), np.arange(60))
    assert alone.tolist() == kernel_logistic.dealt(classes, np.random.default_rng(0)).tolist()
    # A class that is one substance would be in one fold alone.
    assert len(np.unique(kernel_logistic.dealt(classes, np.random.default_rng(0), classes.astype(int)))) == 5
