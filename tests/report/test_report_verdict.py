"""The verdict over all conditions: advice that corrected comparisons support, in words that do not say more."""

import math

import numpy as np
import pandas as pd
import pytest

import made_up_tables
import null_simulation
from roftmol.figures.cells import Results
from roftmol.report.answers import answers
from roftmol.report.verdict import advised, answers_table, verdict
from roftmol.statistics import stage
from roftmol.tables import schemas

DEFAULT = (
    "By default, take the fingerprint baseline, which needs no network. That is not a claim that it is better here."
)
#: Levels of ROC-AUC; the constant predictor has one half, always.
LEVEL = {"full_ft": 0.7, "l2_sp": 0.7, "bss": 0.7, "fingerprint": 0.7}
L2_SP_AHEAD = LEVEL | {"l2_sp": 0.85}


def results(
    conditions: dict[str, dict[str, float]], seeds: int = 10, constant: bool = True, noise: float = 0.01, **cell: str
) -> Results:
    """The results of one condition a dataset: methods about these levels, over so many seeds."""
    frames = []
    for number, (dataset, levels) in enumerate(conditions.items()):
        rng = np.random.default_rng(7 + number)
        hard = 0.02 * rng.normal(size=seeds)
        values = {name: list(level + hard + noise * rng.normal(size=seeds)) for name, level in levels.items()}
        values |= {"constant": [0.5] * seeds} if constant else {}
        frames.append(made_up_tables.selected_rows(values, dataset=dataset, **{"metric": "roc_auc", **cell}))
    selected = pd.concat(frames, ignore_index=True)
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    return Results(made_up_tables.summarise(selected), selected, *blank, **stage.made(selected, replicates=300))


def said(found: Results) -> list[str]:
    return verdict(found, answers(found, schemas.empty("left_out")))


def conditions_table(found: Results) -> list[dict[str, str]]:
    table = answers_table(answers(found, schemas.empty("left_out")), found.runs)
    titles = [column.removeprefix("#") for column in table.columns]
    return [dict(zip(titles, [cell.text for cell in row], strict=True)) for row in table.rows]


def test_where_nothing_differs_the_default_is_no_claim():
    advice, predictable, counted = said(results({"a": LEVEL}))
    assert advice == f"No method is known to be better than the others. {DEFAULT}"
    assert predictable == (
        "The labels can be predicted from the structures. Some method is better than predicting the mean "
        "for every molecule, beyond doubt."
    )
    assert counted == (
        "Of 5 comparisons with full FT and the fingerprint baseline on a, none shows a difference beyond chance."
    )


def test_on_one_data_set_its_seeds_decide():
    advice, findings, *_ = said(results({"a": L2_SP_AHEAD}))
    assert advice == "Fine-tune with L2-SP on a: better than the fingerprint baseline, beyond doubt."
    assert findings == "Known beyond doubt: L2-SP is better than full FT on a."


def test_on_several_data_sets_these_decide_and_not_their_seeds():
    two = results(dict.fromkeys("ab", L2_SP_AHEAD))
    advice, *rest = said(two)
    assert advice.startswith("No method is known to be better than the others.")
    few = (
        "2 datasets are too few to say which method is better over datasets in general. "
        "With 5 comparisons, that takes 8 or more."
    )
    assert few in rest
    # what holds on each of them is said of it, not of others
    beyond = [row["Known beyond doubt"] for row in conditions_table(two)]
    assert beyond == ["better than full FT: L2-SP; better than the fingerprint baseline: L2-SP"] * 2
    advice, *_ = said(results(dict.fromkeys("abcdefghi", L2_SP_AHEAD)))
    assert advice == "Fine-tune with L2-SP over 9 datasets: better than the fingerprint baseline, beyond doubt."


def test_too_few_seeds_show_nothing_and_the_page_says_so():
    """The best of several is ahead by twice its standard error in most experiments; that is not enough."""
    levels = {f"method{number}": 0.7 for number in range(9)} | {"full_ft": 0.7, "fingerprint": 0.7}
    found = results({"a": levels | {"method0": 0.74}}, seeds=3, noise=0.02)
    advice, *rest = said(found)
    assert advice == f"No method is known to be better than the others. {DEFAULT}"
    assert rest[-1] == (
        "3 repeats (seeds) of every fit are too few to say which method is better on a dataset. "
        "With 19 comparisons, that takes 4 or more."
    )
    (row,) = conditions_table(found)
    assert row["Known beyond doubt"] == "too few seeds to tell"
    assert "▲" not in " ".join(row.values())


def test_one_seed_gives_no_advice():
    advice, *rest = said(results({"a": L2_SP_AHEAD}, seeds=1, constant=False))
    assert advice.startswith("No method is known to be better than the others.")
    assert rest[-1].startswith("1 repeat (seed) of every fit is too few to say which method is better on a dataset.")


def test_the_fingerprint_where_it_is_better_than_all():
    behind = dict.fromkeys(LEVEL, 0.6) | {"fingerprint": 0.85}
    advice, *rest = said(results({"a": behind}))
    assert advice == "Use the fingerprint baseline on a: better than every fine-tuned model there, beyond doubt."
    assert not any("Known beyond doubt" in sentence for sentence in rest)
    # where it is better than some, these are named and nothing is advised
    advice, findings, *_ = said(results({"a": LEVEL | {"bss": 0.55}}))
    assert advice.startswith("No method is known to be better than the others.")
    assert findings == (
        "Known beyond doubt: BSS is worse than full FT on a; BSS is worse than the fingerprint baseline on a."
    )


def test_full_ft_where_the_fingerprint_says_nothing():
    without = {name: level for name, level in L2_SP_AHEAD.items() if name != "fingerprint"}
    advice, *_ = said(results({"a": without}))
    assert advice == "Fine-tune with L2-SP on a: better than full FT, beyond doubt."
    level = results({"a": LEVEL | {"full_ft": 0.55, "bss": 0.705}}, noise=0.015)
    advice, *_ = said(level)
    assert advice.startswith("If you fine-tune, do so with L2-SP and BSS on a: better than full FT, beyond doubt.")
    assert advice.endswith("Whether that is also better than the fingerprint baseline is not known.")
    advice, *_ = said(results({"a": {"full_ft": 0.7, "l2_sp": 0.7}}))
    assert advice.endswith(
        "By default, take full FT, which is the plainest. That is not a claim that it is better here."
    )


def test_labels_that_nothing_predicts():
    nothing = dict.fromkeys(LEVEL, 0.5) | {"bss": 0.45}
    advice, why, *_, below = said(results({"a": nothing, "b": nothing}, noise=0.03))
    assert advice == (
        "These labels cannot be predicted from these structures with all labels: no method is better than predicting "
        "the mean in either condition, beyond doubt."
    )
    assert why == "Take no model."
    assert below.endswith("mean test scores are worse than that of predicting the mean.")


def test_labels_that_are_predicted_on_some_data_sets():
    nothing = dict.fromkeys(LEVEL, 0.5)
    _, predictable, *_ = said(found := results({"a": LEVEL, "b": nothing}))
    assert predictable == (
        "On b, no method is better than predicting the mean for every molecule, beyond doubt. So the labels there "
        "cannot be predicted from the structures with all labels, as far as these test molecules can tell."
    )
    assert [row["Better than the mean label"] for row in conditions_table(found)] == ["4 of 4", "nothing"]


def test_who_is_better_at_predicting_nothing_is_not_said():
    found = results({"a": dict.fromkeys(LEVEL, 0.3) | {"l2_sp": 0.45}})
    rows = found.comparisons[found.comparisons["reference"] != "constant"]
    assert (rows["verdict"] == "better").any()
    assert not any(null_simulation.PREFERS.search(sentence) for sentence in said(found))
    (row,) = conditions_table(found)
    assert row["Known beyond doubt"] == "nothing"
    assert "▲" not in row["Better than Full FT by"]


def test_without_the_constant_predictor_nothing_is_said_of_it():
    found = results({"a": L2_SP_AHEAD}, constant=False)
    assert not any("predict" in sentence for sentence in said(found))
    assert conditions_table(found)[0]["Better than the mean label"] == "not compared"


def test_what_varies_is_said_of_a_place():
    frames = [results({"a": L2_SP_AHEAD}, budget=budget).selected for budget in ("50", "100")]
    selected = pd.concat(frames, ignore_index=True)
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    found = Results(made_up_tables.summarise(selected), selected, *blank, **stage.made(selected, replicates=300))
    advice, *_ = said(found)
    assert advice.startswith("Fine-tune with L2-SP on a (50 labels) and on a (100 labels): better than the fingerprint")


def test_no_advice_without_a_fine_tuned_model():
    assert said(results({"a": {"fingerprint": 0.8}})) == []
    assert said(results({"a": {"full_ft": math.nan, "fingerprint": math.nan}}, constant=False)) == []


@pytest.mark.parametrize("levels", [LEVEL, L2_SP_AHEAD, LEVEL | {"fingerprint": 0.9}])
def test_a_row_says_what_the_means_are(levels):
    found = results({"bbbp": levels})
    (answer,) = answers(found, schemas.empty("left_out"))
    table = answers_table([answer], found.runs)
    (cells,) = table.rows
    row = {column.removeprefix("#"): cell for column, cell in zip(table.columns, cells, strict=True)}
    means = found.selected.groupby("method")["test_value"].mean()
    best = str(means.idxmax())
    assert answer.best
    assert answer.tuned
    assert answer.best.method == best
    assert row["Best mean"].text == answer.best.title
    assert row["Test score"].sort == pytest.approx(means[best])
    if best != "full_ft":
        assert row["Better than Full FT by"].sort == pytest.approx(means[best] - means["full_ft"])
    over = row["Pretrained better than best reference by"]
    assert over.sort == pytest.approx(means[answer.tuned.method] - means["fingerprint"])
    assert over.text.endswith("(Fingerprint)")
    assert row["Best pretrained"].text.startswith("the same" if best != "fingerprint" else answer.tuned.title)
    assert table.facets == [answer.condition._asdict()]


def test_a_head_is_used_and_not_fine_tuned():
    advice, *_ = said(results({"a": LEVEL | {"hybrid": 0.9}}))
    assert advice.startswith("Use Hybrid head on a: better than the fingerprint baseline, beyond doubt.")
    advice, *_ = said(results({"a": LEVEL | {"hybrid": LEVEL["fingerprint"]}}))
    assert advice.endswith(
        "By default, take the hybrid head, for its record on other datasets. That is not a claim that "
        "it is better here."
    )


def test_a_pretrained_model_is_measured_by_the_best_reference():
    found = results({"bbbp": LEVEL | {"classical": 0.9, "descriptors": 0.85, "fingerprint": 0.6}})
    (answer,) = answers(found, schemas.empty("left_out"))
    assert answer.reference
    assert answer.over_reference
    assert answer.tuned
    assert answer.reference.method == "classical"
    means = found.selected.groupby("method")["test_value"].mean()
    assert answer.over_reference.gain == pytest.approx(means[answer.tuned.method] - means["classical"])
    without = results({"bbbp": {name: value for name, value in LEVEL.items() if name != "fingerprint"}})
    (answer,) = answers(without, schemas.empty("left_out"))
    assert answer.over_reference is None  # the constant is no reference that could be beaten
    assert answers_table([answer], without.runs).rows


def test_a_setting_without_a_score_keeps_its_row():
    found = results({"bbbp": LEVEL, "bace": {"full_ft": math.nan}}, seeds=2, constant=False)
    table = answers_table(answers(found, schemas.empty("left_out")), found.runs)
    assert "no score" in [cell.text for cell in table.rows[0]]
    assert {len(row) for row in table.rows} == {len(table.columns)}


def two_models(levels: dict[str, float], constant: bool = True) -> Results:
    """The results of two models on three datasets, whose references are the same fits."""
    frames = []
    for model in ("one", "other"):
        found = results(dict.fromkeys("abc", levels), constant=constant, model=model)
        frames.append(found.selected)
    selected = pd.concat(frames, ignore_index=True).drop_duplicates(["model", "dataset", "method", "seed"])
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    return Results(made_up_tables.summarise(selected), selected, *blank, **stage.made(selected, replicates=300))


def test_the_fits_of_a_reference_are_counted_once_beside_all_models():
    levels = LEVEL | {"fingerprint": 0.85, "classical": 0.45}
    found = two_models(levels)
    predictable, below = (
        next(sentence for sentence in said(found) if sentence.startswith(start))
        for start in ("The labels can", "Three of")
    )
    assert predictable.startswith(
        "The labels can be predicted from the structures on all three datasets. Some method is better there than"
    )
    # three methods of two models and two references, on three datasets: 24 means, 30 rows of the page
    assert below == "Three of 24 mean test scores are worse than that of predicting the mean."
    bests = [row["Best mean"] for row in conditions_table(found)]
    assert bests == ["Fingerprint"] * 3 + ["Fingerprint, the same fits"] * 3
    nothing = said(two_models(dict.fromkeys(LEVEL, 0.5)))[0]
    assert "in any of the three conditions" in nothing


def test_the_advice_names_what_it_says_to_take():
    def taken(found: Results) -> list[str]:
        return advised(found, answers(found, schemas.empty("left_out")))

    assert taken(results({"a": L2_SP_AHEAD})) == ["l2_sp"]
    assert taken(results({"a": LEVEL})) == ["fingerprint"]
    assert taken(results({"a": dict.fromkeys(LEVEL, 0.6) | {"fingerprint": 0.85}})) == ["fingerprint"]
    assert taken(results({"a": dict.fromkeys(LEVEL, 0.5)}, noise=0.03)) == []
    assert taken(results({"a": {"fingerprint": 0.8}})) == []
