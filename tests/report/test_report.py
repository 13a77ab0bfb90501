"""The report: one page that stands alone, names the right winner in careful words, and hides nothing."""

import base64
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import made_up_tables
from roftmol import figures, report
from roftmol.core.errors import UserError
from roftmol.figures import forest, ranks, scores, time
from roftmol.figures.cells import Results
from roftmol.report import changes, provenance
from roftmol.report.answers import Answer, Comparison, answers
from roftmol.report.table import decimals, duration, fixed, signed
from roftmol.tables import schemas

VOID = {"meta", "img", "input", "br", "hr", "link", "source"}
MARKUP = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Checks that tags nest, and gathers ids, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "action", "srcset", "data", "poster"):
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def build(folder: Path, selected: pd.DataFrame | None = None, experiment: dict | None = None, **tables) -> str:
    """The page of these tables, with an empty set of figures unless `folder` has one."""
    made_up_tables.write_tables(folder / "tables", selected, **tables)
    if not (folder / "figures").exists():
        (folder / "figures").mkdir()
        (folder / "figures" / "figures.json").write_text("[]")
    report.build(folder / "tables", folder / "figures", experiment or {}, folder / "report.html")
    return (folder / "report.html").read_text()


def answer(values: dict[str, list[float]], **cell: str) -> Answer:
    selected = made_up_tables.selected_rows(values, **cell)
    tables = schemas.empty("alphas"), schemas.empty("coefficients")
    return answers(Results(made_up_tables.summarise(selected), selected, *tables), schemas.empty("left_out"))[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, drawn_experiment: Path) -> str:
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(drawn_experiment, folder, dirs_exist_ok=True)
    experiment = {
        "models": {"gin_masking": {"pretraining": "self-supervised"}},
        "seeds": (0, 1, 2),
        "tsne": False,
        "versions": {"torch": "2.13.0"},
        "mirror": None,
    }
    report.build(folder / "tables", folder / "figures", experiment, folder / "report.html")
    return (folder / "report.html").read_text()


def test_page_stands_alone(page):
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    # Files beside the page are offered, and nothing of it is in them.
    outside = [address for address in parsed.addresses if not address.startswith(("#", "data:image/svg+xml;base64,"))]
    assert {address.partition("/")[0] for address in outside} == {"figures", "tables"}
    assert not re.search(r"<(?!a )[^>]*(?:figures|tables)/", page)
    assert {address[1:] for address in parsed.addresses if address.startswith("#")} <= set(parsed.ids)
    assert not re.search(r"https?://|url\(|@import", page)
    assert not {"link", "iframe", "object", "embed", "base"} & set(parsed.tags)
    assert len(page.encode()) < 8e6


def test_page_has_every_part(page):
    parsed = Page(page)
    assert parsed.tags.count("figure") == 13
    for words in (
        "What was run",
        "gin_masking",
        "torch 2.13.0",
        "Selected hyperparameters",
        "Leaderboard",
        "95 of 96",
        "Data audit",
        "Glossary",
    ):
        assert words in parsed.text
    assert "Mirror" not in parsed.text
    assert "aria-sort" in page
    assert "addEventListener" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_the_header_and_the_first_words_say_what_this_is(page):
    text = Page(page).text
    header = text[: text.index("What should I do?")]
    for words in ("2026-11-25", "0123456789ab", "bace, bbbp, esol", "Labels 50, all", "Seeds 3", "gin_masking"):
        assert words in header
    answer = text[text.rindex("What should I do?") :][:1200]
    assert "roftmol recommend mine.csv tests these methods on your labels and leaves a model that predicts" in answer


def test_no_word_of_the_machine_is_shown(page):
    text = Page(page).text
    text = text[: text.index("The experiment, as this report was given it")]  # which is JSON
    assert not re.search(r"\b(?:True|False|None|nan)\b", text)
    assert not re.search(r"\b(?:contradicting|missing|invalid)_\w+", text)
    assert not re.search(r'\{"', text)


def test_failures_fallbacks_and_rejects_are_shown(page):
    text = Page(page).text
    assert "the training loss was NaN in epoch 3" in text
    assert "validation metric undefined: selected by loss" in text
    assert "BSS (2 of 3 seeds" in text
    assert "From scratch (0 of 3 seeds" in text
    assert "36 records with a remark" in text  # of three datasets
    assert "C1CC(" in text


def test_only_the_first_rejects_are_listed(tmp_path):
    many = made_up_tables.data_tables("bbbp", "classification", rejects=201)["rejects"]
    text = Page(build(tmp_path, made_up_tables.selected_rows({"full_ft": [0.7]}), rejects=many)).text
    assert "the first 200 of 201 records" in text


def test_what_is_dealt_together_is_told(tmp_path):
    molecules = made_up_tables.data_tables("bbbp", "classification")["molecules"]
    forms = molecules.assign(parent=[molecules["parent"].iloc[0]] * 3 + molecules["parent"].iloc[3:].tolist())
    page = build(tmp_path, made_up_tables.selected_rows({"full_ft": [0.7]}), molecules=forms)
    told = "2 molecules are forms (salt, charge, isotope, stereoisomer or tautomer) of 1 other molecule"
    assert f"bbbp: {told}; they are dealt together." in Page(page).text


def test_names_are_text(tmp_path):
    data = made_up_tables.data_tables(MARKUP, "classification", name=MARKUP)
    data["rejects"]["smiles"] = data["rejects"]["reason"] = data["rejects"]["detail"] = MARKUP
    selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.8], MARKUP: [0.7, 0.9]}, dataset=MARKUP, model=MARKUP)
    selected["note"] = MARKUP
    page = build(tmp_path, selected, {MARKUP: [MARKUP], "nested": {MARKUP: MARKUP}, "title": MARKUP}, **data)
    assert Page(page).tags.count("script") == 1
    assert MARKUP not in page


def test_oracle_is_loud(tmp_path, page):
    chosen = build(tmp_path, made_up_tables.selected_rows({"full_ft": [0.7]}, rule="oracle"))
    assert Page(chosen).text.count("Oracle selection") == 1
    assert 'class="warning"' in chosen
    assert 'class="warning"' not in page


def test_missing_figures_are_named(tmp_path):
    made_up_tables.write_tables(tmp_path / "tables")
    with pytest.raises(UserError, match=r"figures\.json"):
        report.build(tmp_path / "tables", tmp_path / "figures", {}, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_experiment_is_given_back_whole(tmp_path):
    experiment = {"seeds": [0, 1], "grids": {"l2_sp": {"lam": [1, 0.1]}}}
    page = build(tmp_path, made_up_tables.selected_rows({"full_ft": [0.7]}), experiment)
    shown = re.search(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert shown
    assert json.loads(shown[1].replace("&#34;", '"')) == experiment


def test_contaminated_cells_are_marked(page):
    text = Page(page).text
    assert "† Pretraining saw 1.47% of the test molecules, without labels." in text
    assert "‡ Pretraining saw 3.3% of the test molecules, with labels." in text
    for words in ("† structures 1.47%", "‡ labels 3.3%", "not checkable", "no pretraining"):
        assert words in text
    plates = re.findall(r"<h3>([^<]*)</h3>\s*<div class=\"plate\".*?<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    captions = [caption for title, caption in plates if "(2 of 2)" not in title]  # there is esol alone
    assert len(captions) == 12
    assert all("† pretraining saw" in caption and "‡ pretraining saw" in caption for caption in captions)
    assert "zinc250k" in text
    assert "1 to 3" in text  # hits by seed
    assert "cells were left out" not in text


@pytest.mark.parametrize("seen", [0.0, math.nan])
def test_a_suspicion_is_no_finding(tmp_path, seen):
    page = build(tmp_path, made_up_tables.selected_rows({"full_ft": [0.7]}, seen=(seen, "labels")))
    assert "‡ Pretraining is suspected to have learnt labels of bbbp." in Page(page).text
    assert "‡ labels suspected" in page


def test_what_cannot_be_checked_is_said_once_a_row_and_not_in_figures(tmp_path):
    selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.8]}, seen=(math.nan, "unknown"))
    tables = made_up_tables.write_tables(tmp_path / "tables", selected)
    figures.draw(tables, tmp_path / "figures")
    text = Page(build(tmp_path, selected)).text
    assert "† pretraining" not in text
    assert "‡ pretraining" not in text
    assert "1 condition has a pretrained encoder" in text
    assert "1 cannot be checked" in text


def test_what_is_left_out_is_listed(tmp_path):
    selected = made_up_tables.selected_rows({"full_ft": [0.7], "l2_sp": [0.8], "scratch": [0.6], "fingerprint": [0.7]})
    gone = selected["method"].isin(["full_ft", "l2_sp"])
    left_out = selected.loc[gone, list(schemas.CELL)].assign(seen=0.02, contamination="labels")
    text = Page(build(tmp_path, selected[~gone], left_out=left_out)).text
    assert "2 cells were left out for what pretraining has seen of the test molecules (labels): which ." in text
    assert "No fine-tuning method has results. Left out for what pretraining has seen: Full FT, L2-SP." in text
    assert "2 cells are left out of every other table" in text
    assert "‡ labels 2%" in text


def test_everything_may_be_left_out(tmp_path):
    selected = made_up_tables.selected_rows({"full_ft": [0.7]})
    left_out = selected[list(schemas.CELL)].assign(seen=math.nan, contamination="unknown")
    tables = made_up_tables.write_tables(tmp_path / "tables", selected, left_out=left_out)
    for name in ("selected", "summary", "scores", "timings"):
        schemas.write(name, schemas.empty(name), tables / f"{name}.parquet")
    figures.draw(tables, tmp_path / "figures")
    report.build(tables, tmp_path / "figures", {}, tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text()).text
    assert "1 cell was left out for what pretraining has seen of the test molecules (unknown)" in text


def test_models_that_are_one_share_a_row():
    about = made_up_tables.models_of(made_up_tables.selected_rows({"full_ft": [0.7]})).iloc[0].to_dict()
    twins = {"a": ["b", "c"], "x": [], "b": ["a", "c"]}
    models = pd.DataFrame([about | {"model": name, "same_as": others} for name, others in twins.items()])
    table = provenance.models_table(models, {"a": {"overlaps": "a is known"}}, {"chembl": {"title": "ChEMBL"}})
    assert [row[0].text for row in table.rows] == ["a = b = c (not run here)", "x"]
    assert table.rows[0][2].text == "zinc250k (without labels; compared); ChEMBL (with labels; not checkable)"
    assert table.rows[0][3].text == "a is known"


def test_the_best_mean_and_its_differences():
    found = answer({"full_ft": [0.70, 0.72, 0.71], "l2_sp": [0.80, 0.83, 0.81], "fingerprint": [0.79, 0.86, 0.75]})
    assert found.best
    assert (found.best.method, found.best.seeds, found.best.score) == ("l2_sp", 3, "0.813 ± 0.015")
    assert found.versus["full FT"].gain == pytest.approx(0.31 / 3)
    # what is ahead by more than twice its standard error is no finding: ten methods are compared by three seeds
    assert found.versus["full FT"].words == "0.103 ± 0.006 better, which may be chance"
    assert found.versus["the fingerprint baseline"].words.endswith("better, which may be chance")


def test_lower_rmse_wins():
    found = answer({"full_ft": [1.2, 1.3], "bss": [1.0, 1.1], "fingerprint": [1.4, 1.5]}, dataset="esol")
    assert found.best
    assert found.best.method == "bss"
    assert found.best.r2 == "0.72"
    assert found.versus["full FT"].words == "0.200 ± 0.000 better, which may be chance"


def test_a_reference_may_have_the_best_mean():
    found = answer({"full_ft": [0.70, 0.71], "lp_ft": [0.72, 0.73], "fingerprint": [0.80, 0.82]})
    assert found.best
    assert found.best.method == "fingerprint"
    assert found.tuned
    assert found.tuned.method == "lp_ft"
    assert found.versus["the fingerprint baseline"].gain < 0


def test_full_ft_is_not_compared_with_itself():
    found = answer({"full_ft": [0.8, 0.8], "lp_ft": [0.7, 0.7]})
    assert found.versus == {}
    constant = answer({"full_ft": [0.8, 0.8], "constant": [0.5, 0.5]})
    assert constant.versus == {}
    assert constant.below == ()


def test_methods_below_the_constant_predictor_are_named():
    found = answer({"full_ft": [1.4, 1.5], "bss": [1.0, 1.1], "constant": [1.3, 1.3]}, dataset="esol")
    assert found.below == ("Full FT",)
    assert found.tuned
    assert found.tuned.method == "bss"  # a reference is no way of fine-tuning
    assert found.methods == 3


def test_a_method_with_fewer_seeds_cannot_win():
    found = answer({"full_ft": [0.70, 0.71], "bss": [0.95, math.nan], "lp_ft": [0.60, 0.61]})
    assert found.best
    assert found.best.method == "full_ft"
    assert found.incomplete == ("BSS (1 of 2 seeds, mean 0.950)",)


def test_nothing_to_answer(tmp_path):
    selected = made_up_tables.selected_rows({"full_ft": [math.nan, math.nan], "bss": [math.nan, math.nan]})
    assert "No method has a defined ROC-AUC" in Page(build(tmp_path, selected)).text


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("better", "0.100 ± 0.020 better, beyond doubt"),
        ("equivalent", "0.100 ± 0.020 better, practically equal"),
        ("undecided", "0.100 ± 0.020 better, which may be chance"),
        ("few", "0.100 ± 0.020 better, too few seeds to tell"),
    ],
)
def test_a_difference_in_words(verdict, words):
    assert Comparison(0.1, 0.02, 4, 3, verdict).words == words
    assert Comparison(math.nan, math.nan, 0, 3).words == "no seed in common"
    assert Comparison(-0.1, math.nan, 1, 3).words == "0.100 worse, which may be chance"


def test_the_evidence_of_a_recommendation_repeats_its_verdict_and_gives_no_other(tmp_path):
    sentences = ["Take the fingerprint baseline.", "Expect RMSE 1.2."]
    (tmp_path / "verdict.json").write_text(json.dumps({"sentences": sentences}))
    values = {"full_ft": [0.6] * 10, "l2_sp": list(np.linspace(0.89, 0.91, 10)), "fingerprint": [0.5] * 10}
    selected = made_up_tables.selected_rows(values)
    own = Page(build(tmp_path, selected)).text
    assert "Fine-tune with Full FT and L2-SP on bbbp" in own
    report.build(tmp_path / "tables", tmp_path / "figures", {}, tmp_path / "evidence.html", tmp_path / "verdict.json")
    page = (tmp_path / "evidence.html").read_text()
    text = Page(page).text
    assert " ".join(sentences) in text
    assert 'href="report.html"' in page
    assert "Fine-tune with" not in text
    assert "Known beyond doubt" not in text
    assert "Better than the mean label" not in text


def test_numbers_are_readable():
    assert [decimals(scale) for scale in (0.71, 1.2, 12.0, 5_000.0, 0.02, 0.0, math.nan)] == [3, 3, 2, 0, 4, 3, 3]
    assert fixed(-0.5, 2) == "−0.50"
    assert fixed(math.nan, 2) == "–"
    assert [signed(value, 2) for value in (0.125, -0.125, 0.001, -0.001)] == ["+0.12", "−0.12", "0.00", "0.00"]
    assert [duration(seconds) for seconds in (2.5, 90, 7200)] == ["2.5 s", "1.5 min", "2.0 h"]


def test_what_fine_tuning_changes_has_its_section(page):
    text = Page(page).text
    assert "What fine-tuning does to the encoder" in text
    assert "Farthest part" in text
    assert "layer 5" in text


def test_the_table_of_changes():
    selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.8], "linear_probing": [0.7, 0.8], "fingerprint": [0.6]})
    changed = made_up_tables.changes_of(selected)
    tables = schemas.empty("alphas"), schemas.empty("coefficients")
    table = changes.changes_table(Results(made_up_tables.summarise(selected), selected, *tables, changes=changed))
    rows = [dict(zip(table.columns, (cell.text for cell in row), strict=True)) for row in table.rows]
    assert [row["Method"] for row in rows] == ["Full FT", "Linear probing"]
    assert rows[0]["#Distance"] == "0.140 ± 0.000"
    assert rows[0]["Farthest part"] == "layer 5"
    assert (rows[1]["#Distance"], rows[1]["Farthest part"]) == ("0.000 ± 0.000", "none")
    assert rows[1]["#CKA"] == "1.00 ± 0.00"
    assert rows[0]["#Rank before"] == "55.0 ± 0.0"
    of_other_settings = changed.assign(setting='{"lam":9}')
    assert not changes.changes_table(
        Results(made_up_tables.summarise(selected), selected, *tables, changes=of_other_settings)
    ).rows


def test_pictures_beyond_what_a_page_holds_are_linked(tmp_path, monkeypatch):
    selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.8], "l2_sp": [0.8, 0.9]})
    tables = made_up_tables.write_tables(tmp_path / "tables", selected)
    figures.draw(tables, tmp_path / "figures", kinds=(scores, ranks, time, forest))
    whole = build(tmp_path, selected)
    manifest = json.loads((tmp_path / "figures" / "figures.json").read_text())
    pictures = [(tmp_path / "figures" / manifest[0][key]).read_bytes() for key in ("file", "narrow")]
    first = sum(len(base64.b64encode(picture)) for picture in pictures)
    monkeypatch.setattr(report, "PICTURES", first + 10)
    page = build(tmp_path, selected)
    assert len(manifest) > 3
    assert whole.count("data:image/svg+xml") == 2 * len(manifest)  # for wide windows and for narrow ones
    assert page.count("data:image/svg+xml") == 2
    links = re.findall(r'more pictures than one page holds: <a href="([^"]+)"', page)
    assert sorted(links) == sorted(f"figures/{entry['file']}" for entry in manifest[1:])
    assert all((tmp_path / link).is_file() for link in links)
