"""A user's own file: what is guessed of it, and the one sentence that refuses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from molecule_tables import SMILES
from roftmol.core.errors import UserError
from roftmol.data.user_file import Columns, describe
from roftmol.experiment.config import experiment
from roftmol.methods import DEFAULT_METHODS
from stage_settings import settings_for

MORE = SMILES


def table(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def values(count: int = 40) -> list[str]:
    return [f"{text},{number / 7:.3f}" for number, text in enumerate(MORE[:count])]


def classes(count: int = 40, positive: int = 15) -> list[str]:
    return [f"{text},{int(number < positive)}" for number, text in enumerate(MORE[:count])]


def test_columns_and_task_are_guessed(tmp_path):
    path = table(tmp_path / "a.csv", ["name,SMILES,logS", *(f"x{n},{line}" for n, line in enumerate(values()))])
    assert describe(path) == Columns("SMILES", "logS", "regression")
    path = table(tmp_path / "b.csv", ["Canonical_SMILES;active", *(line.replace(",", ";") for line in classes())])
    assert describe(path) == Columns("Canonical_SMILES", "active", "classification")
    assert describe(path, task="regression").task == "regression"


def test_a_good_file_becomes_an_experiment(tmp_path):
    path = table(tmp_path / "My Data (2).csv", ["smiles,y", *values()])
    found = experiment({"data": str(path), "recommend": {"resamplings": 7, "split": "scaffold"}})
    found.audit()
    assert found.recommendation.name == "my-data-2"
    assert found.folder == Path("results/recommendation/my-data-2")
    assert (found.cells.splits, found.cells.budgets, found.seeds) == (("scaffold_cv",), ("all",), tuple(range(7)))
    assert found.overlaps() == []
    # What is scored is an ensemble as the bundle holds it, of as many members; and the constant is always there.
    assert (found.validation.scheme, found.validation.folds) == ("crossfit", 5)
    assert "constant" in found.cells.methods
    assert "scratch" not in found.cells.methods  # it is no candidate
    assert settings_for("refit", found)["members"] == 5
    assert settings_for("refit", found)["grids"]["none"] == {"constant": [{}]}
    assert (
        experiment({"data": str(table(tmp_path / "esol.csv", ["smiles,y", *values()]))}).recommendation.name
        == "my-esol"
    )


def test_all_defaults_that_have_a_model_compete_in_a_thorough_recommendation_beside_the_others(tmp_path):
    path = table(tmp_path / "a.csv", ["smiles,y", *values()])
    short, thorough = (
        experiment({"data": str(path), "recommend": {"thorough": every}}).cells.methods for every in (False, True)
    )
    assert {*short} < {*thorough}
    assert {*thorough} == {*short, *(name for name in DEFAULT_METHODS if "+" not in name)} - {"scratch"}


def test_a_recommendation_tries_the_middle_setting_of_a_method_that_trains(tmp_path):
    path = table(tmp_path / "a.csv", ["smiles,y", *values()])
    found = experiment({"data": str(path), "selection": "oracle", "grids": {"l2_sp": {"lam": [1, 0.1]}}})
    assert found.selection == "validation"  # never the test labels
    assert [setting["lam"] for setting in found.grid("l2_sp", 5)] == [0.01]
    assert [setting["block"] for setting in found.grid("surgical_ft", 5)] == [2]
    assert [setting["alpha"] for setting in found.grid("wise_ft", 5)] == [0.2, 0.5, 0.8]  # mixtures cost little
    assert len(found.grid("fingerprint", 0)) == 4
    found = experiment({"data": str(path), "recommend": {"members": 3, "grids": {"l2_sp": {"lam": ["1", 0.1]}}}})
    assert [setting["lam"] for setting in found.grid("l2_sp", 5)] == [1, 0.1]
    assert found.validation.folds == 3


@pytest.mark.parametrize(
    ("lines", "config", "told"),
    [
        ([], {}, "the file is empty"),
        (["smiles,y"], {}, "header but no record"),
        (["smile,y", *values()], {}, "no column is called SMILES"),
        (["smiles,y", *values()], {"smiles": "smile"}, "no column 'smile'. Did you mean 'smiles'?"),
        (["smiles,y", *values()], {"target": "z"}, "no column 'z'"),
        (["smiles,SMILES,y", *(f"C,{line}" for line in values())], {}, "'smiles' and 'SMILES' may both hold SMILES"),
        (["smiles,a,b", *(f"{line},1" for line in values())], {}, "'a', 'b' are columns of numbers"),
        (["smiles,y", *values(), "CCO,high"], {}, "line 42: 'high' is not a number"),
        (["smiles,y", *(f"{text},high" for text in MORE[:30])], {}, "line 2: 'high' is not a number"),
        (["smiles,y", *(f"{text}," for text in MORE[:30])], {"target": "y"}, "'y' holds no label"),
        (["smiles,y", *values(5)], {}, "5 molecules with a label can be used, and a recommendation needs 20"),
        (["smiles,y", *(f"{text},2.5" for text in MORE[:40])], {}, "all labels in column 'y' are 2.5"),
        (["smiles,y", *(f"{text},1" for text in MORE[:40])], {}, "all labels in column 'y' are 1"),
        (["smiles,y", *classes(positive=4)], {}, "4 molecules have the label 1"),
        (["smiles,y", *values(), "C(C)CCC,3.25"], {}, "different labels: 0.000 in line 2 and 3.25 in line 42"),
        (["smiles,y", *(f"{text}{salt},{n}" for n, text in enumerate(MORE[:12]) for salt in ("", ".Cl"))], {},
         "the 24 molecules with a label are forms of 12 substances"),
        (["smiles,y", *values(), *(["C(,1"] * 9)], {}, "9 of 49 records would be dropped (9 invalid_smiles)"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, lines, config, told):
    path = table(tmp_path / "mine.csv", lines)
    with pytest.raises(UserError) as caught:
        experiment({"data": str(path), **config}).audit()
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_forms_of_a_substance_are_told(tmp_path):
    path = table(tmp_path / "mine.csv", ["smiles,y", *values(), f"{MORE[0]}.Cl,0.1", f"{MORE[1]}.[Na+].[Cl-],0.2"])
    (told,) = experiment({"data": str(path)}).audit()
    assert told.startswith("2 molecules are forms (salt, ")
    assert told.endswith("of 2 other molecules; they are dealt together.")
    assert experiment({"data": str(table(path, ["smiles,y", *values()]))}).audit() == []


def test_the_user_may_say_what_becomes_of_contradicting_duplicates(tmp_path):
    path = table(tmp_path / "mine.csv", ["smiles,y", *values(), "C(C)CCC,3.25"])
    experiment({"data": str(path), "duplicates": "average"}).audit()
    experiment({"data": str(path), "duplicates": "drop"}).audit()


def test_a_missing_file_and_keys_without_a_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        experiment({"data": str(tmp_path / "none.csv")})
    structures = table(tmp_path / "mine.xyz", ["1", "y=2", "He 0 0 0"])
    with pytest.raises(UserError, match=r"mine\.xyz: a recommendation is made from a CSV"):
        experiment({"data": str(structures)})
    with pytest.raises(UserError, match="in its name; rename the file"):
        experiment({"data": "a{b}.csv"})
    with pytest.raises(UserError, match="target: it is about a file of your own; name that with `data`"):
        experiment({"target": "y"})


@pytest.mark.parametrize("method", ["mft", "mft_same_steps", "mft_wise"])
def test_a_method_that_the_last_fit_cannot_have_is_refused(tmp_path, method):
    path = table(tmp_path / "mine.csv", ["smiles,y", *values()])
    with pytest.raises(UserError, match=f"methods: {method} is not for a recommendation, which has no second task"):
        experiment({"data": str(path), "methods": ["full_ft", method]})
