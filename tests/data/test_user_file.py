"""A user's own file: what is guessed of it, and the one sentence that refuses it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from openpyxl import Workbook

from molecule_tables import SMILES
from roftmol.core.errors import UserError
from roftmol.data import molecules
from roftmol.data.user_file import Columns, describe
from roftmol.experiment import cost
from roftmol.experiment.claims import claim
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
    described = {"members": 3, "grids": {"hybrid": {"descriptors": ["gfn2"]}}}
    with pytest.raises(UserError, match=r"recommend\.grids\.hybrid\.descriptors: a recommendation reads RDKit's"):
        experiment({"data": str(path), "recommend": described})


@pytest.mark.parametrize(
    ("lines", "config", "told"),
    [
        ([], {}, "the file is empty"),
        (["Solubility,of our", "smiles,y", *values()], {}, "Line 2 looks like the header: remove the lines above it."),
        (["smiles,y"], {}, "header but no record"),
        (["smile,y", *(f"compound {n},{n}.5" for n in range(40))], {}, "no column is called SMILES"),
        (["smiles,y", *values()], {"smiles": "smile"}, "no column 'smile'. Did you mean 'smiles'?"),
        (["smiles,y", *values()], {"target": "z"}, "no column 'z'"),
        (["Project,Owner", "Ligand,y", *values()], {"smiles": "Ligand"}, "no column 'Ligand'. It stands in line 2: if "
         "that is the header, remove the lines above it. The columns are 'Project', 'Owner'."),
        (["smiles,SMILES,y", *(f"C,{line}" for line in values())], {}, "'smiles' and 'SMILES' may both hold SMILES"),
        (["smiles,a,b", *(f"{line},1" for line in values())], {}, "'a', 'b' are columns of numbers; name the one to "
         "predict with `target`, for example target='a'."),
        (["smiles,a,y", *(f"{line.split(',')[0]},{n},{n % 7}.5" for n, line in enumerate(values()))], {},
         "'a', 'y' are columns of numbers; name the one to predict with `target`, for example target='y'."),
        (["smiles,a,a", *(f"{line},1" for line in values())], {}, "column 'a' is there twice"),
        (["smiles,smiles,y", *(f"C,{line}" for line in values())], {"smiles": "smiles"}, "'smiles' is there twice"),
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


def beside(*columns: str, labels: Sequence[str], header: str) -> list[str]:
    """A table of these labels with other columns between SMILES and them; {n} in one is the row's number."""
    rows = [",".join([MORE[n], *(column.format(n=n) for column in columns), label]) for n, label in enumerate(labels)]
    return [header, *rows]


NUMBERS = [f"{number / 7:.3f}" for number in (*range(20, 40), *range(20))]
WORDS = ["active" if number % 3 else "Inactive" for number in range(40)]


@pytest.mark.parametrize(
    "identifier", ["CID", "No.", "#", "MW", "Mol. weight", "compound_id", "CompoundID", "year", "n_atoms",
                   "Batch flag", "", "Unnamed: 0"]
)  # fmt: skip
def test_what_numbers_or_describes_records_is_never_learnt(tmp_path, identifier):
    clean = table(tmp_path / "a.csv", beside("{n}", labels=NUMBERS, header=f"smiles,{identifier},pIC50"))
    assert describe(clean).target == "pIC50"
    for wrong in (">10000", "ND", "5,3", "<5", "n.d."):
        text = f'"{wrong}"' if "," in wrong else wrong
        labels = [*NUMBERS[:7], text, *NUMBERS[8:]]
        path = table(tmp_path / "b.csv", beside("{n}", labels=labels, header=f"smiles,{identifier},pIC50"))
        with pytest.raises(UserError, match=rf"column 'pIC50', line 9: '{wrong}' is not a number"):
            describe(path)
    words = table(tmp_path / "c.csv", beside("{n}", labels=WORDS, header=f"smiles,{identifier},activity"))
    with pytest.raises(UserError, match="column 'activity', line 2: 'Inactive' is not a number"):
        describe(words)
    alone = table(tmp_path / "d.csv", beside("{n}", labels=["x"] * 40, header=f"smiles,{identifier},remark"))
    with pytest.raises(UserError, match=r"no column beside 'smiles' holds|'remark', line 2: 'x' is not a number"):
        describe(alone)


@pytest.mark.parametrize("numbers", [range(7, 287, 7), [number // 4 for number in range(40)]], ids=["differ", "rise"])
def test_a_column_that_may_count_records_is_asked_about(tmp_path, numbers):
    told = "its whole numbers may count or identify the records"
    rows = [f"{text},{number},note {row}" for row, (text, number) in enumerate(zip(MORE, numbers, strict=False))]
    path = table(tmp_path / "a.csv", ["smiles,registered,remark", *rows])
    with pytest.raises(UserError, match=rf"column 'registered' \(line 2: .*{told}; name the one to predict") as caught:
        describe(path)
    assert "target='registered'" in str(caught.value)
    assert describe(path, target="registered", task="regression").target == "registered"


def test_a_column_of_numbers_beside_one_of_a_few_words_is_asked_about(tmp_path):
    grades = [["high", "medium", "low"][number % 3] for number in range(40)]
    decimals = [f"{number / 3:.2f}" for number in range(40)]
    lines = ["smiles,t,grade", *(",".join(row) for row in zip(MORE, decimals, grades, strict=False))]
    with pytest.raises(UserError, match=r"column 't' .* holds numbers, but 'grade' may be the labels"):
        describe(table(tmp_path / "a.csv", lines))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (WORDS, "holds the words 'active' and 'Inactive'. If these are two classes, say which is 1, for example "
         "values='{active: 1, Inactive: 0}'"),
        (["yes", "no"] * 20, """values='{"yes": 1, "no": 0}'"""),
        (["3.5 nM", "< 2 uM"] * 20, "'3.5 nM' is not a number. Write numbers alone, of one unit, or the units into a "
         "column of their own"),
        (["high", "low", "medium", "low"] * 10, "3 classes: 'high', 'low', 'medium'. Two can be learnt"),
        (["1", "0", "-1", "0"] * 10, "holds only -1, 0, 1 (line 4: '-1'). If these are codes of classes, say what each "
         "means, for example values='{1: 1, 0: 0, -1: missing}'; more than two classes cannot be learnt. If they are "
         "measured values, say task=regression."),
        (["1", "-1"] * 20, "values='{1: 1, -1: 0}'"),
        (["1", "2"] * 20, "values='{2: 1, 1: 0}'"),
        (["0", "1", "2", "1"] * 10, "holds only 0, 1, 2"),
        (["1", "2", "3", "4", "5"] * 8, "holds only 1, 2, 3, 4, 5"),
        (["1", "0", "inconclusive", "0"] * 10, "line 4: 'inconclusive' is not a number. Give numbers, for two classes "
         "0 and 1, or leave the cell empty where nothing was measured; or say values='{inconclusive: missing}'"),
    ],
)  # fmt: skip
def test_classes_in_words_and_codes_are_asked_about(tmp_path, labels, told):
    path = table(tmp_path / "a.csv", beside(labels=labels, header="smiles,activity"))
    with pytest.raises(UserError) as caught:
        describe(path)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{path}: column 'activity'")


def test_values_say_what_classes_are(tmp_path):
    path = table(tmp_path / "a.csv", beside(labels=WORDS, header="smiles,activity"))
    found = describe(path, values={"ACTIVE": 1.0, "inactive": 0.0})
    assert found == Columns("smiles", "activity", "classification")
    assert found.classes == ("inactive", "ACTIVE")
    assert str(found) == (
        "target `activity`, classification (class 1 is `ACTIVE`, class 0 `inactive`), 40 labels, column `smiles`"
    )
    codes = table(tmp_path / "b.csv", beside(labels=["1", "0", "-1", "0"] * 10, header="smiles,active"))
    found = describe(codes, values={"-1": "missing"})
    assert str(found) == "target `active`, classification, 30 labels, column `smiles`"
    assert describe(codes, task="regression").task == "regression"
    with pytest.raises(UserError, match=r"no cell of column 'activity' is 'actve', .* Did you mean 'active'\?"):
        describe(path, values={"actve": 1.0, "inactive": 0.0})
    with pytest.raises(UserError, match=r"no cell of column 'active' is '-99', which `values` names\. Correct it"):
        describe(codes, values={"-99": "missing", "-1": "missing"})
    two = table(tmp_path / "d.csv", beside(labels=["1", "0"] * 20, header="smiles,active"))
    with pytest.raises(UserError, match=r"is '-1', which `values` names\. Correct it"):
        describe(two, values={"-1": "missing"})
    odd = table(tmp_path / "c.csv", beside(labels=["1", "0", "ND", "?"] * 10, header="smiles,active"))
    with pytest.raises(UserError, match=r"""'\?' is not a number.* values='{ND: missing, "\?": missing}'"""):
        describe(odd, values={"ND": "missing"})
    with pytest.raises(UserError, match="line 4: '-1' is neither of the classes 0 and 1"):
        describe(codes, task="classification")


def test_values_reach_the_molecules_from_the_configuration(tmp_path):
    path = table(tmp_path / "a.csv", beside(labels=[*WORDS, "-1"], header="smiles,activity"))
    # As YAML reads a file, and as Snakemake reads its command line.
    for given in ({"active": 1, "inactive": 0, -1: "missing"}, {"active": "1", "inactive": "0", "-1": "missing"}):
        found = experiment({"data": str(path), "values": given})
        found.audit()
        assert found.datasets["a"].values == {"active": 1, "inactive": 0, "-1": "missing"}
        assert found.recommendation.learnt.startswith("target `activity`, classification (class 1 is `active`")
        assert settings_for("refit", found)["classes"] == ["inactive", "active"]
    for wrong, told in [
        ({True: 1, False: 0}, "put it in double quotes"),
        ({"active": "yes"}, "has the meaning 'yes'; a label can mean a number, or missing"),
        ("active", "is not of the form"),
    ]:
        with pytest.raises(UserError, match=f"values: .*{told}"):
            experiment({"data": str(path), "values": wrong})


def test_a_column_that_holds_no_smiles_is_named_with_the_one_that_does(tmp_path):
    rows = [f"CHEMBL{number},{line}" for number, line in enumerate(values())]
    path = table(tmp_path / "a.csv", ["Molecule,Ligand,Y", *rows])
    with pytest.raises(UserError) as caught:
        describe(path)
    assert str(caught.value) == (
        f"{path}: column 'Molecule' was taken for the SMILES, but 'CHEMBL0' in line 2 is none; name the column of "
        "SMILES with `smiles`, for example smiles='Ligand'."
    )
    assert describe(path, smiles="Ligand").target == "Y"


@pytest.mark.parametrize("name", ["Structure (SMILES)", "SMILES code", "parent_smiles", "SMILES [as sold]"])
def test_a_column_whose_name_mentions_smiles_is_guessed(tmp_path, name):
    rows = [f"x{number},{line}" for number, line in enumerate(values())]
    assert describe(table(tmp_path / "a.csv", ["Ours", f'id,"{name}",y', *rows])).smiles == name
    both = table(tmp_path / "b.csv", [f'id,smiles,"{name}",y', *(f"x,C,{line}" for line in values())])
    assert describe(both).smiles == "smiles"
    long = table(tmp_path / "c.csv", ["SMILES and solubilities of our compounds", "id,smiles,y", *rows])
    assert describe(long).smiles == "smiles"
    flag = table(tmp_path / "d.csv", ["id,Ligand,smiles ok,y", *(f"x,C,yes,{number}.5" for number in range(40))])
    with pytest.raises(UserError, match="column 'smiles ok' was taken for the SMILES, but 'yes' in line 2 is none"):
        describe(flag)


def test_what_is_merged_unlabelled_or_blank_is_told(tmp_path):
    three = [f"{text},{number}.{again}" for number, text in enumerate(MORE[:40]) for again in range(3)]
    path = table(tmp_path / "a.csv", ["smiles,y", *three])
    with pytest.raises(UserError, match="has different labels: 0.0 in line 2 and 0.1 in line 3 and 0.2 in line 4.*"
                       r"`duplicates=average` or `duplicates=drop` \(120 lines"):  # fmt: skip
        experiment({"data": str(path)}).audit()
    assert experiment({"data": str(path), "duplicates": "average"}).audit() == [
        "120 records, 40 molecules: 120 records share their molecule with others, the labels of a molecule are "
        "averaged (duplicates=average)."
    ]
    half = [line if number % 2 else f"{MORE[number]}," for number, line in enumerate(values())]
    found = experiment({"data": str(table(tmp_path / "b.csv", ["smiles,y", *half, "", ","]))})
    assert found.recommendation.learnt == "target `y`, regression, 20 labels, column `smiles`"
    assert found.audit() == [
        "40 records, 20 molecules: 2 blank lines are skipped; 20 records without a label are left out."
    ]
    same = table(tmp_path / "c.csv", ["smiles,y", *values(), *values()])
    assert "40 records share their molecule with others, the others are left out" in experiment(
        {"data": str(same)}
    ).audit()[0]  # fmt: skip


def test_titles_and_units_around_the_header_are_skipped_and_told(tmp_path):
    rows = [f"x{number},{line}" for number, line in enumerate(values())]
    titles = ["Solubility of our compounds,,", "measured 2023-05-01,,", ",,"]
    path = table(tmp_path / "a.csv", [*titles, "id,SMILES,logS", ",,mol/L", *rows])
    found = experiment({"data": str(path)})
    assert found.recommendation.learnt == "target `logS`, regression, 40 labels, column `SMILES`"
    assert found.audit() == [
        "The header is in line 4; above it 2 lines are skipped: 'Solubility of our compounds', 'measured 2023-05-01'.",
        "Line 5 is skipped: it has no SMILES and no number, but 'mol/L', and is taken for a part of the header.",
    ]
    for title, told in [
        ("Our compounds", "if the header is a title, remove it"),
        ("Our compounds,,", "no column is called SMILES; .* If that is a title, name a column of the header below it"),
    ]:
        unusual = table(tmp_path / "b.csv", [title, "id,Ligand,logS", *rows])
        with pytest.raises(UserError, match=told):
            describe(unusual)
        assert describe(unusual, smiles="Ligand") == Columns("Ligand", "logS", "regression")


def test_a_folder_of_results_is_of_one_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        table(tmp_path / place / "mine.csv", ["smiles,y", *values()])
    here, there = experiment({"data": "here/mine.csv"}), experiment({"data": "there/mine.csv"})
    assert here.folder == there.folder
    here.audit()
    there.audit()  # nobody has the folder yet
    claim(here.folder, Path("here/mine.csv"))
    here.audit()
    with pytest.raises(UserError, match=r"the results on .*here/mine\.csv, and there/mine\.csv .* name=mine-2"):
        there.audit()
    experiment({"data": "there/mine.csv", "name": "mine-2"}).audit()
    (tmp_path / "here/mine.csv").rename(tmp_path / "here/moved.csv")
    there.audit()  # which may be the same file in another place


def test_the_user_may_say_what_becomes_of_contradicting_duplicates(tmp_path):
    path = table(tmp_path / "mine.csv", ["smiles,y", *values(), "C(C)CCC,3.25"])
    experiment({"data": str(path), "duplicates": "average"}).audit()
    experiment({"data": str(path), "duplicates": "drop"}).audit()


def test_a_missing_file_and_keys_without_a_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        experiment({"data": str(tmp_path / "none.csv")})
    structures = table(tmp_path / "mine.xyz", ["1", "y=2", "He 0 0 0"])
    with pytest.raises(UserError, match=r"mine\.xyz: a recommendation is made from a table"):
        experiment({"data": str(structures)})
    with pytest.raises(UserError, match="in its name; rename the file"):
        experiment({"data": "a{b}.csv"})
    with pytest.raises(UserError, match="target: it is about a file of your own; name that with `data`"):
        experiment({"target": "y"})


def test_a_model_that_no_bundle_can_hold_is_refused(tmp_path):
    path = table(tmp_path / "mine.csv", ["smiles,y", *values()])
    code, weights = table(tmp_path / "model.py", [""]), table(tmp_path / "weights.pt", [""])
    own = {"code": str(code), "weights": str(weights), "blocks": ["one"], "pooling": "mean", "pretraining": "both"}
    given = {"own_models": {"shallow": own}, "recommend": {"models": ["gin-distilled", "shallow"]}}
    with pytest.raises(UserError, match=r"recommend\.models: shallow is a model of your own, .* holds no code"):
        experiment({"data": str(path), **given})


@pytest.mark.parametrize("method", ["mft", "mft_same_steps", "mft_wise"])
def test_a_method_that_the_last_fit_cannot_have_is_refused(tmp_path, method):
    path = table(tmp_path / "mine.csv", ["smiles,y", *values()])
    with pytest.raises(UserError, match=f"methods: {method} is not for a recommendation, which has no second task"):
        experiment({"data": str(path), "methods": ["full_ft", method]})


def test_the_only_column_that_holds_smiles_is_guessed_and_told(tmp_path):
    lines = [f"x{n},{line}" for n, line in enumerate(values())]
    found = describe(table(tmp_path / "a.csv", ["code,ours,logS", *lines]))
    assert (found.smiles, found.target) == ("ours", "logS")
    assert str(found).endswith("column `ours` (no column is called SMILES, and it is the only one that holds some)")
    # by its name, nothing is to be said
    assert str(describe(table(tmp_path / "b.csv", ["code,smiles,logS", *lines]))).endswith("column `smiles`")


def test_of_two_columns_that_hold_smiles_it_is_asked_which(tmp_path):
    lines = [f"{line.split(',')[0]},{line}" for line in values()]
    with pytest.raises(UserError, match=r"no column is called SMILES.* 'ours' and 'parent' hold some: smiles='ours'"):
        describe(table(tmp_path / "a.csv", ["ours,parent,logS", *lines]))


@pytest.mark.parametrize("name", ["Drug", "Molecule SMILES", "drug"])
def test_names_of_other_tools_are_names_of_smiles(tmp_path, name):
    lines = [f"CHEMBL{n},{line}" for n, line in enumerate(values())]
    found = describe(table(tmp_path / "a.csv", [f"Drug_ID,{name},Y", *lines]))
    assert (found.smiles, found.target, found.guessed) == (name, "Y", "")


def test_a_workbook_becomes_an_experiment(tmp_path):
    book = Workbook()
    book.active.title = "May"
    for line in ["SMILES,logS", *values()]:
        text, label = line.split(",")
        book.active.append([text, label if label == "logS" else float(label)])
    book.copy_worksheet(book.active).title = "June"
    book.save(tmp_path / "mine.xlsx")
    given = {"data": str(tmp_path / "mine.xlsx")}
    with pytest.raises(UserError, match=r"the sheets 'May', 'June' name a column of SMILES"):
        experiment(given)
    found = experiment({**given, "sheet": "June"})
    found.audit()
    assert found.datasets["mine"].sheet == "June"
    assert settings_for("molecules", found, "mine")["dataset"]["sheet"] == "June"
    assert cost.estimate(found).fits > 0
    kept, rejects, _ = molecules.read(tmp_path / "mine.xlsx", found.datasets["mine"], max_rejected=0)
    assert (len(kept), len(rejects)) == (40, 0)
    with pytest.raises(UserError, match="sheet: it is about a file of your own"):
        experiment({"sheet": "June"})


def test_a_smi_with_labels_becomes_an_experiment(tmp_path):
    path = table(tmp_path / "mine.smi", [line.replace(",", f" x{n} ") for n, line in enumerate(values())])
    found = experiment({"data": str(path)})
    told = found.audit()
    assert "There is no header: the columns are called SMILES, column 2 and so on." in told
    assert found.recommendation.target.column == "column 3"
    # the workflow brings it under another name
    (tmp_path / "source").write_bytes(path.read_bytes())
    kept, _, _ = molecules.read(tmp_path / "source", found.datasets["mine"], max_rejected=0)
    assert len(kept) == 40


def several(tmp_path, *, active=None, **columns):
    """A file of three targets: a class, and two values of which one has gaps."""
    logs = [f"{number / 7:.3f}" for number in range(40)]
    given = {
        "smiles": MORE[:40],
        "hERG": active or ["1", "0"] * 20,
        "LogD": logs,
        "HLM (human)": ["" if number % 3 == 0 else text for number, text in enumerate(logs)],
        **columns,
    }
    lines = [",".join(given), *(",".join(cells) for cells in zip(*given.values(), strict=True))]
    return str(table(tmp_path / "mine.csv", lines))


TARGETS = ["hERG", "LogD", "HLM (human)"]


def test_several_targets_are_datasets_of_one_panel(tmp_path):
    found = experiment({"data": several(tmp_path), "target": TARGETS})
    assert found.recommendation.learnt.splitlines() == [
        "target `hERG`, classification, 40 labels, column `smiles`",
        "target `LogD`, regression, 40 labels, column `smiles`",
        "target `HLM (human)`, regression, 26 labels, column `smiles`",
        "3 targets; records with a label of each: 26",
    ]
    assert list(found.datasets) == ["mine-herg", "mine-logd", "mine-hlm-human"]
    assert found.panels == {"mine": ("mine-herg", "mine-hlm-human", "mine-logd")}
    assert found.cells.splits == ("joint_cv",)
    assert found.dealt_with("mine-logd", "joint_cv") == found.panels["mine"]
    assert "joint_ft" in found.cells.methods
    assert found.folder == Path("results/recommendation/mine")
    assert found.exposures() == []
    told = found.audit()
    assert "HLM (human): 40 records, 26 molecules: 14 records without a label are left out." in told
    one = found.about("hlm-human")
    assert one.folder == Path("results/recommendation/mine/hlm-human")
    assert one.cells.datasets == ("mine-hlm-human",)
    assert settings_for("verdict", one)["target"] == "HLM (human)"
    assert settings_for("refit", one)["dataset"] == "mine-hlm-human"
    assert [entry["task"] for entry in settings_for("refit", one)["panel"]] == [
        "classification",
        "regression",
        "regression",
    ]
    scaffolds = experiment({"data": several(tmp_path), "target": TARGETS, "recommend": {"split": "scaffold"}})
    assert scaffolds.cells.splits == ("joint_scaffold_cv",)


def test_a_list_of_one_target_is_that_target(tmp_path):
    data = several(tmp_path)
    assert experiment({"data": data, "target": ["LogD"]}) == experiment({"data": data, "target": "LogD"})


def test_keys_serve_the_targets_that_have_such_cells(tmp_path):
    words = ["yes", "no"] * 19 + ["ND", "ND"]
    # A target whose labels leave open what they are, and limits in another one.
    grades = [str(number % 4) for number in range(40)]
    limits = [">10", *(f"{number / 3:.2f}" for number in range(39))]
    data = several(tmp_path, active=words, grade=grades, CL=limits)
    given = {"data": data, "target": ["hERG", "LogD", "grade", "CL"], "censored": "one_sided", "task": "regression"}
    found = experiment({**given, "values": {"yes": 1, "no": 0, "ND": "missing"}})
    assert {name: entry.task for name, entry in found.datasets.items()} == {
        "mine-herg": "classification",
        "mine-logd": "censored_regression",
        "mine-grade": "censored_regression",
        "mine-cl": "censored_regression",
    }
    assert found.recommendation.targets["herg"].classes == ("no", "yes")
    assert found.recommendation.targets["logd"].classes is None
    assert found.datasets["mine-logd"].values == {}
    with pytest.raises(UserError, match="column 'grade' holds only 0, 1, 2, 3"):
        experiment({**given, "values": {"yes": 1, "no": 0, "ND": "missing"}, "task": None})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"target": [*TARGETS, "LogD"]}, "'LogD' is named twice among the targets; name it once"),
        ({"target": [*TARGETS, "logd"]}, "no column 'logd'. Did you mean 'LogD'"),
        ({"target": [*TARGETS, "smiles"]}, "'smiles' is named as the SMILES and as the target"),
        ({"values": {"yes": 1}}, "no cell of the columns 'hERG', 'LogD', 'HLM .human.' is 'yes'"),
        ({"target": "hERG,LogD"}, r"no column 'hERG,LogD'. Several targets are a list: target='.hERG, LogD.'"),
        ({"units": {"nM": 1}}, "units: it is about the labels of one target, and 2 are measured values"),
        ({"methods": ["joint_wise_ft"]}, "joint_wise_ft goes on from joint weights"),
        ({"target": ["hERG"], "methods": ["joint_ft"]}, "joint_ft is for panels, and this recommendation is of one"),
    ],
)
def test_what_cannot_be_several_targets_is_refused(tmp_path, given, told):
    with pytest.raises(UserError, match=told):
        experiment({"data": several(tmp_path), "target": TARGETS, **given})


def test_targets_whose_columns_of_predictions_would_have_one_name_are_refused_before_hours_of_fitting(tmp_path):
    path = several(tmp_path)
    text = Path(path).read_text()
    Path(path).write_text(text.replace("hERG", "LogD_low", 1))
    with pytest.raises(UserError, match="'LogD_low' would be the name of two things, of the target 'LogD_low' or"):
        experiment({"data": path, "target": ["LogD_low", "LogD"]})


def test_a_column_of_relations_beside_several_values_is_asked_about(tmp_path):
    signs = ["="] * 30 + [">"] * 10
    data = several(tmp_path, relation=signs)
    with pytest.raises(UserError, match=r"'relation' holds relations or units, .* of 'LogD', 'HLM \(human\)'"):
        experiment({"data": data, "target": TARGETS})
    # With one target of values it is that target's, as ever.
    found = experiment({"data": data, "target": ["hERG", "LogD"], "censored": "drop"})
    assert "10 are dropped" in " ".join(found.audit())


def test_a_target_with_too_few_labels_is_named(tmp_path):
    data = several(tmp_path, few=["1.5", "2.5"] * 5 + [""] * 30)
    found = experiment({"data": data, "target": ["LogD", "few"], "task": "regression"})
    with pytest.raises(
        UserError, match=r"target 'few', which may be left out: .*10 molecules with a label can be used"
    ):
        found.audit()


def test_folders_of_targets_are_told_apart_and_none_is_taken(tmp_path):
    columns = {
        "A b": ["1", "0"] * 20,
        "a-B": ["0", "1"] * 20,
        "Tables": ["1", "1", "0", "0"] * 10,
        "%": ["0", "1"] * 20,
    }
    found = experiment({"data": several(tmp_path, **columns), "target": list(columns)})
    assert list(found.recommendation.targets) == ["a-b", "a-b-2", "tables-2", "target"]
