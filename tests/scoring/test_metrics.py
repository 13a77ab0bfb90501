import time
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from roftmol.scoring import metrics
from roftmol.tasks import METRICS, PRIMARY, TASK_OF, TASKS
from roftmol.tasks.classification import pr_auc, roc_auc

NAN = np.nan


def columns(*tasks):
    return np.array(tasks, dtype=np.float32).T


@pytest.mark.parametrize("levels", [3, 10, 10_000], ids=["many ties", "some ties", "no ties"])
def test_areas_equal_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    for _ in range(20):
        y = np.append(rng.integers(0, 2, 60), [0, 1]).astype(float)
        p = rng.integers(0, levels, 62) / levels
        assert roc_auc(y, p) == pytest.approx(sklearn.roc_auc_score(y, p), abs=1e-12)
        assert pr_auc(y, p) == pytest.approx(sklearn.average_precision_score(y, p), abs=1e-12)


def test_areas_by_hand():
    # positives 0.8, 0.4 against negatives 0.4, 0.1: of four pairs three are right and one is a tie
    assert roc_auc(np.array([1, 1, 0, 0]), np.array([0.8, 0.4, 0.4, 0.1])) == 3.5 / 4
    # precision 1 at the first threshold, 2/3 at the second, which the tie shares
    assert pr_auc(np.array([1, 1, 0, 0]), np.array([0.8, 0.4, 0.4, 0.1])) == pytest.approx((1 + 2 / 3) / 2)


def test_macro_mean_covers_the_defined_tasks_and_the_labelled_molecules():
    labels = columns([1, 0, NAN, 1], [1, 1, 1, NAN], [NAN] * 4)
    predictions = columns([0.9, 0.1, 0.99, 0.05], [0.2, 0.4, 0.1, 0.3], [0.5] * 4)
    assert metrics.primary("roc_auc", labels, predictions) == 0.5
    assert np.isnan(metrics.primary("roc_auc", labels[:, 1:], predictions[:, 1:]))
    # task 1: errors 3 and 4; task 2: one molecule, error 2
    labels, predictions = columns([0, 0, NAN], [NAN, NAN, 1]), columns([3, 4, 100], [100, 100, 3])
    assert metrics.primary("rmse", labels, predictions) == pytest.approx((np.sqrt(12.5) + 2) / 2)


def test_a_prediction_that_is_not_finite_makes_its_task_undefined():
    labels = columns([1, 0, 1], [1, 0, NAN])
    predictions = columns([0.9, NAN, 0.2], [0.9, 0.1, NAN])
    assert np.isnan(metrics.per_task(roc_auc, labels, predictions)).tolist() == [True, False]


def test_loss_is_the_mean_over_labelled_entries():
    labels, predictions = columns([1, 0], [NAN, 1]), columns([0.8, 0.4], [0.123, 0.5])
    assert metrics.loss("classification", labels, predictions) == pytest.approx(-np.log([0.8, 0.6, 0.5]).mean())
    assert metrics.loss("regression", labels, predictions) == pytest.approx((0.04 + 0.16 + 0.25) / 3)
    assert np.isnan(metrics.loss("regression", labels * NAN, predictions))


def test_log_loss_is_finite_for_a_certain_mistake():
    certain = metrics.loss("classification", columns([1, 0]), columns([0, 1]))
    assert certain == pytest.approx(-np.log(1e-7), rel=1e-6)


def test_classification_scores_equal_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (50, 2)).astype(float)
    predictions = rng.uniform(0.01, 0.99, (50, 2)).round(1).clip(0.01, 0.99)
    labels[rng.random((50, 2)) < 0.2] = NAN
    scores = metrics.all_scores("classification", labels, predictions, ["a", "b"]).set_index(["metric", "task"])
    reference = {
        "roc_auc": sklearn.roc_auc_score,
        "pr_auc": sklearn.average_precision_score,
        "log_loss": sklearn.log_loss,
    }
    for metric, function in reference.items():
        for column, name in enumerate(["a", "b"]):
            known = ~np.isnan(labels[:, column])
            row = scores.loc[metric, name]
            assert row["value"] == pytest.approx(function(labels[known, column], predictions[known, column]))
            assert (row["molecules"], row["tasks"], row["undefined"]) == (known.sum(), 1, 0)
        assert scores.loc[(metric, "macro"), "value"] == pytest.approx(scores.loc[metric]["value"][["a", "b"]].mean())


def test_regression_scores_equal_scikit_learn_and_scipy():
    rng = np.random.default_rng(1)
    y, p = rng.normal(size=30), rng.normal(size=30)
    scores = metrics.all_scores("regression", y[:, None], p[:, None], ["logS"]).set_index(["metric", "task"])["value"]
    assert scores["rmse", "macro"] == pytest.approx(np.sqrt(sklearn.mean_squared_error(y, p)))
    assert scores["mae", "logS"] == pytest.approx(sklearn.mean_absolute_error(y, p))
    assert scores["r2", "logS"] == pytest.approx(sklearn.r2_score(y, p))
    assert scores["spearman", "logS"] == pytest.approx(stats.spearmanr(y, p).statistic)


def test_undefined_is_nan_and_counted_without_a_warning():
    names = ["both", "one class", "empty"]
    labels = columns([1, 0, 1], [0, 0, NAN], [NAN] * 3)
    predictions = columns([0.9, 0.1, 0.8], [0.5, 0.5, 0.5], [0.5] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = metrics.all_scores("classification", labels, predictions, names).set_index(["metric", "task"])
        constant = metrics.all_scores("regression", columns([2, 2, 2]), columns([1, 2, 3]), ["k"])
        single = metrics.all_scores("regression", columns([2]), columns([3]), ["k"])
    for metric in ("roc_auc", "pr_auc"):
        assert scores.loc[metric, "macro"][["value", "tasks", "undefined"]].tolist() == [1, 3, 2]
        assert np.isnan(scores.loc[(metric, "one class"), "value"])
        assert scores.loc[(metric, "one class"), "undefined"] == 1
    assert scores.loc["log_loss", "one class"]["value"] == pytest.approx(np.log(2))
    assert scores.loc["log_loss", "macro"]["undefined"] == 1
    assert scores.loc["roc_auc", "macro"]["molecules"] == 3
    for frame in (constant, single):
        undefined = frame.groupby("metric")["value"].apply(lambda values: values.isna().all())
        assert undefined.to_dict() == {"rmse": False, "mae": False, "r2": True, "spearman": True}


def test_the_macro_row_counts_molecules_with_any_label():
    labels = columns([1, 0, NAN, NAN], [NAN, 0, 1, NAN])
    scores = metrics.all_scores("classification", labels, np.full((4, 2), 0.5), ["a", "b"])
    macro = scores[scores["task"] == metrics.MACRO]
    assert macro["molecules"].tolist() == [3, 3, 3]
    assert scores.loc[scores["task"] == "a", "molecules"].tolist() == [2, 2, 2]


def test_no_two_task_types_have_a_metric_of_one_name():
    assert [name for task in TASKS.values() for name in (metric.name for metric in task.metrics)] == list(METRICS)
    assert [task.primary.name for task in TASKS.values()] == list(PRIMARY) == list(TASK_OF)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="n x t"):
        metrics.primary("roc_auc", np.zeros((3, 1)), np.zeros(3))


def test_as_many_tasks_as_toxcast_fit_into_an_epoch():
    rng = np.random.default_rng(2)
    labels, predictions = rng.integers(0, 2, (900, 617)).astype(float), rng.random((900, 617))
    start = time.perf_counter()
    metrics.primary("roc_auc", labels, predictions)
    assert time.perf_counter() - start < 2
