"""The verdict over all settings: advice that the scores support, in words that do not say more."""

import math

import pandas as pd
import pytest

import synthetic
from roftmol import schemas
from roftmol.figures.cells import Results
from roftmol.report.answers import Answer, answers
from roftmol.report.verdict import answers_table, verdict

#: Paired differences of at most a thousandth of spread: a lead of 0.1 is far beyond it, one of nothing within.
STEADY = [0.0, 0.001, -0.001]


def scores(level: float, shift: float = 0.0) -> list[float]:
    return [level + seed * shift for seed in (-1, 0, 1)]


def steady(level: float) -> list[float]:
    return [level + wobble for wobble in STEADY]


def results(settings: dict[str, dict[str, list[float]]]) -> Results:
    """The results of one setting a dataset."""
    frames = [synthetic.selected_rows(values, dataset=name, metric="roc_auc") for name, values in settings.items()]
    selected = pd.concat(frames, ignore_index=True)
    return Results(synthetic.summarise(selected), selected, schemas.empty("alphas"), schemas.empty("coefficients"))


def given(**settings: dict[str, list[float]]) -> list[Answer]:
    return answers(results(settings), schemas.empty("left_out"))


FINGERPRINT_AHEAD = {"full_ft": scores(0.6), "l2_sp": scores(0.61), "fingerprint": steady(0.8)}
FINE_TUNING_AHEAD = {"full_ft": scores(0.6), "l2_sp": steady(0.9), "fingerprint": scores(0.8)}
NEITHER = {"full_ft": scores(0.6), "l2_sp": scores(0.79, 0.2), "fingerprint": scores(0.8)}


def test_the_fingerprint_where_nothing_beats_it():
    advice, leaders, against = verdict(given(a=FINGERPRINT_AHEAD, b=NEITHER, c=NEITHER))
    assert advice == (
        "Use the fingerprint baseline: nothing else was ahead of it by more than the spread of the seeds in any of the "
        "three settings."
    )
    assert leaders == "The fingerprint baseline has the best mean score in all three settings."
    assert against == (
        "Against the fingerprint baseline, the best fine-tuned model is behind in one and within the spread of the "
        "seeds in two of three settings."
    )


def test_fine_tuning_where_it_wins_and_only_there():
    advice, leaders, against = verdict(given(a=FINE_TUNING_AHEAD, b=FINE_TUNING_AHEAD, c=FINGERPRINT_AHEAD))
    assert advice == (
        "Fine-tune on a and b, with L2-SP: ahead of the fingerprint baseline by more than the spread of the seeds. Not "
        "so in one other setting: use the fingerprint baseline."
    )
    assert leaders == (
        "No method is best everywhere: L2-SP has the best mean score in two of three settings and the fingerprint "
        "baseline in one."
    )
    assert against.endswith("is ahead in two and behind in one of three settings.")


def test_several_winners_are_left_to_the_table():
    other = {"full_ft": scores(0.6), "bss": steady(0.9), "fingerprint": scores(0.8)}
    advice, *_ = verdict(given(a=FINE_TUNING_AHEAD, b=other))
    assert advice.startswith("Fine-tune, with the methods of the table: ahead of the fingerprint baseline by more")
    assert advice.endswith("in both settings.")


def test_settings_are_counted_where_a_dataset_has_several():
    frames = [
        synthetic.selected_rows(values, dataset="a", budget=budget)
        for budget, values in {"50": FINE_TUNING_AHEAD, "100": FINE_TUNING_AHEAD, "all": NEITHER}.items()
    ]
    selected = pd.concat(frames, ignore_index=True)
    tables = schemas.empty("alphas"), schemas.empty("coefficients")
    found = answers(Results(synthetic.summarise(selected), selected, *tables), schemas.empty("left_out"))
    advice, *_ = verdict(found)
    assert advice.startswith("Fine-tune in two settings of a, with L2-SP")
    assert "Not so in one other setting" in advice


def test_many_winners_are_counted():
    advice, *_ = verdict(given(**dict.fromkeys("abcde", FINE_TUNING_AHEAD), f=NEITHER))
    assert advice.startswith("Fine-tune in five settings, with L2-SP")


def test_without_the_fingerprint_full_ft_is_the_reference():
    best = {"full_ft": scores(0.9), "l2_sp": scores(0.6)}
    ahead = {"full_ft": scores(0.6), "l2_sp": steady(0.9)}
    advice, _, against = verdict(given(a=best, b=best))
    assert advice == "Use full FT: nothing else was ahead of it by more than the spread of the seeds in either setting."
    assert against == "Against full FT, the best fine-tuned model is full FT itself in both settings."
    advice, _, against = verdict(given(a=best, b=ahead))
    assert advice.startswith("Fine-tune on b, with L2-SP: ahead of full FT")
    assert (
        against
        == "Against full FT, the best fine-tuned model is ahead in one and full FT itself in one of two settings."
    )


def test_one_seed_gives_no_advice():
    advice, leaders, against = verdict(given(a={"full_ft": [0.6], "l2_sp": [0.9], "fingerprint": [0.8]}))
    assert advice.startswith("Nothing can be told apart yet")
    assert leaders == "L2-SP has the best mean score."
    assert against == "Against the fingerprint baseline, the best fine-tuned model is of unknown spread."


def test_no_advice_without_a_fine_tuned_model():
    assert verdict(given(a={"fingerprint": scores(0.8)})) == []
    assert verdict(given(a={"full_ft": [math.nan], "fingerprint": [math.nan]})) == []
    assert verdict([]) == []


@pytest.mark.parametrize("values", [FINGERPRINT_AHEAD, FINE_TUNING_AHEAD, NEITHER])
def test_a_row_says_what_the_answer_says(values):
    found = results({"bbbp": values})
    (answer,) = answers(found, schemas.empty("left_out"))
    table = answers_table([answer], found.runs)
    (cells,) = table.rows
    row = {column.removeprefix("#"): cell for column, cell in zip(table.columns, cells, strict=True)}
    means = {method: sum(seeds) / 3 for method, seeds in values.items()}
    best = max(means, key=lambda method: means[method])
    assert answer.best
    assert row["Best mean"].text == answer.best.title
    assert row["Test score"].sort == pytest.approx(means[best])
    assert row["− Full FT"].sort == pytest.approx(means[best] - means["full_ft"])
    assert row["Fine-tuning − fingerprint"].sort == pytest.approx(means["l2_sp"] - means["fingerprint"])
    assert row["Best fine-tuning"].text.startswith("the same" if best == "l2_sp" else "L2-SP")
    apart = {"L2-SP"} if values is NEITHER else set()
    assert row["Not told apart from the best"].text == (", ".join(apart) or "nothing")
    assert table.facets == [answer.setting._asdict()]


def test_a_setting_without_a_score_keeps_its_row():
    found = results({"bbbp": NEITHER, "bace": {"full_ft": [math.nan, math.nan]}})
    table = answers_table(answers(found, schemas.empty("left_out")), found.runs)
    assert [row[1].text for row in table.rows] == ["no score", "Fingerprint"]
    assert {len(row) for row in table.rows} == {len(table.columns)}
