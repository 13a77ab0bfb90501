"""The report in a real browser: it loads whole, answers first, and its filters, sorting and chart do what they say."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

import browser
import made_up_tables
from roftmol import figures, report
from roftmol.deploy.verdict import VerdictSettings, judge
from roftmol.figures import time
from roftmol.figures.cells import Results
from roftmol.figures.style import RC
from roftmol.report import recommendation
from roftmol.tables import schemas

MODELS = ("gin_masking", "gin_supervised")
METHODS = ("full_ft", "linear_probing", "l2_sp", "bss", "wise_ft", "dwise_ft", "fingerprint")
FACETS = ("protocol", "model", "dataset", "split", "budget")
#: Everything that may be filtered: its facets, and whether it is hidden.
FILTERED = """
Array.from(document.querySelectorAll("main tr, main figure, main article, main .panel"))
  .filter((element) => Object.keys(element.dataset).length)
  .map((element) => ({facets: {...element.dataset}, hidden: element.hidden, kind: element.localName}))
"""
CHOOSE = """
(([name, value]) => {
  const select = document.querySelector(`#filters [name=${name}]`);
  select.value = value;
  select.dispatchEvent(new Event("change", {bubbles: true}));
})
"""
OUTPUT = "document.querySelector('#filters output').textContent.split(',')[0]"
SCORES = "document.querySelector('#scores table')"
FOCUSED = "document.activeElement.getAttribute('aria-label')"
TIP = "document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText"


@pytest.fixture(scope="module")
def selected() -> pd.DataFrame:
    """A model on two datasets, another on a third, two budgets, and not more methods than are quickly drawn."""
    rows = made_up_tables.experiment_rows(seeds=3)
    rows = rows[rows["method"].isin(METHODS)].reset_index(drop=True)
    rows.loc[(rows["dataset"] == "bace") & (rows["method"] != "fingerprint"), "model"] = MODELS[1]
    return rows


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, selected: pd.DataFrame) -> str:
    folder: Path = tmp_path_factory.mktemp("report")
    few = selected[selected["budget"] == "50"]  # a figure of three settings has all that one of six has
    tables = made_up_tables.write_tables(
        folder / "tables",
        selected,
        alphas=made_up_tables.alphas_of(few),
        changes=made_up_tables.changes_of(few),
        paths=made_up_tables.paths_of(few),
        planes=made_up_tables.planes_of(few),
    )
    figures.draw(tables, folder / "figures")
    report.build(tables, folder / "figures", {"seeds": [0, 1, 2]}, folder / "report.html")
    return (folder / "report.html").as_uri()


#: What is wider or taller than what shows it: cells, titles, and all that they stand in; and cells outside the window.
CUT = """
Array.from(document.querySelectorAll("main td, main th"))
  .filter((cell) => cell.getClientRects().length)
  .flatMap((cell) => {
    const cut = [];
    for (let box = cell; box !== document.body; box = box.parentElement) {
      if (box.clientWidth && box.scrollWidth > box.clientWidth + 1) cut.push(box.localName + "." + box.className);
    }
    const place = cell.getBoundingClientRect();
    if (place.left < 0 || place.right > document.documentElement.clientWidth) cut.push("window");
    return cut.map((what) => `${what}: ${cell.textContent}`);
  })
"""
OPEN = 'document.querySelectorAll("details").forEach((fold) => { fold.open = true; });'
UNFOLD = f"""
{OPEN}
document.querySelectorAll(".tools [aria-expanded=false]").forEach((more) => more.click());
new Promise((done) => setTimeout(done, 100))
"""
#: By picture, how many pixels high its smallest text is; every text of a figure's SVG has a scale of its own.
TEXT_HEIGHTS = """
document.querySelectorAll(".turned").forEach((figure) => figure.classList.remove("turned"));
Array.from(document.images, (image) => {
  const svg = atob(image.currentSrc.split(",")[1]);
  const points = Math.min(...Array.from(svg.matchAll(/scale\\((0\\.\\d+) -/g), ([, scale]) => 100 * scale));
  return [image.alt.slice(0, 40), points * 96 / 72 * image.clientWidth / image.naturalWidth];
})
"""
#: Pairs of texts of one picture that lie on each other, and texts that reach out of it; texts may stand at an angle.
OVERLAPS = """
((pictures, texts) => Array.from(document.querySelectorAll(pictures)).flatMap((svg) => {
  const edge = svg.getBoundingClientRect();
  const boxes = Array.from(svg.querySelectorAll(texts)).flatMap((text) => {
    const {x, y, width, height} = text.getBBox();
    if (!width || !height) return [];
    const matrix = text.getScreenCTM();
    const inset = 0.12 * height;
    const across = [x + inset, x + width - inset], down = [y + inset, y + height - inset];
    const corner = ([i, j]) => new DOMPoint(across[i], down[j]).matrixTransform(matrix);
    const words = (text.parentElement.innerHTML.match(/<!-- (.*?) -->/)?.[1] ?? text.textContent).trim();
    return [{corners: [[0, 0], [1, 0], [1, 1], [0, 1]].map(corner), words}];
  });
  const apart = (a, b) => [a, b].some(({corners: [p, q, , r]}) => [[p, q], [p, r]].some(([from, to]) => {
    const along = (point) => point.x * (to.x - from.x) + point.y * (to.y - from.y);
    const [one, other] = [a, b].map((box) => box.corners.map(along));
    return Math.max(...one) < Math.min(...other) || Math.max(...other) < Math.min(...one);
  }));
  const pairs = boxes.flatMap((a, place) => boxes.slice(place + 1).map((b) => [a, b]));
  const found = pairs.filter(([a, b]) => !apart(a, b)).map(([a, b]) => [a.words, b.words]);
  const out = boxes.filter(({corners}) => corners.some(
    ({x, y}) => x < edge.left - 1 || x > edge.right + 1 || y < edge.top - 1 || y > edge.bottom + 1));
  return [...found, ...out.map(({words}) => [words, "the edge"])];
}))
"""


@pytest.fixture(scope="module")
def tab() -> Iterator[browser.Page]:
    program = browser.installed()
    if program is None:
        pytest.skip(f"no browser is on the PATH under a name of {', '.join(browser.NAMES)}")
    with browser.running(program) as running:
        yield browser.Page(running)


@pytest.fixture
def page(tab: browser.Page, address: str) -> Iterator[browser.Page]:
    """The report, freshly opened; whatever a test does to it must go without a complaint."""
    tab.open(address)
    yield tab
    assert tab.complaints() == []


def choose(page: browser.Page, **facets: str) -> None:
    for name, value in facets.items():
        page(f"{CHOOSE}({[name, value]})")


def belongs(facets: dict[str, str], chosen: dict[str, str]) -> bool:
    return all(value in facets[name].split("\n") for name, value in chosen.items() if name in facets)


def test_every_picture_is_there(page, address):
    widths = page("Promise.all(Array.from(document.images, (i) => i.decode().then(() => i.naturalWidth)))")
    assert len(widths) == 21
    assert min(widths) > 0
    assert page("Array.from(document.images).every((image) => image.alt)")


def test_a_fault_would_be_noticed(tab, address):
    tab.open(address)
    tab(
        "setTimeout(() => missing()); fetch('https://example.org').catch(() => {});"
        "new Promise((done) => setTimeout(done, 50))"
    )
    complaints = " ".join(tab.complaints())
    assert "missing is not defined" in complaints
    assert "example.org" in complaints


@pytest.mark.parametrize("width", [1300, 420])
def test_the_first_screen_answers(tab, address, width):
    tab.open(address, width)
    below = tab(
        "Array.from(document.querySelectorAll('.lead, .own, .verdict'), (p) => p.getBoundingClientRect().bottom)"
    )
    assert len(below) == 4  # what to do, what that is, how to get it for one's own file, and why
    assert max(below) < 900
    assert "roftmol recommend mine.csv" in tab("document.querySelector('.own code').textContent")
    assert tab("document.querySelector('.own').textContent").startswith("Fingerprint: ")
    cells = "Array.from(document.querySelectorAll('#conditions tbody tr:first-child td'))"
    score = f"{cells}.find((cell) => /\\d\\s±/.test(cell.textContent))"
    assert tab(f"{score}.getBoundingClientRect().right") <= width
    assert tab("document.querySelector('#conditions tbody tr').getBoundingClientRect().bottom") < 900


@pytest.mark.parametrize("width", [420, 800, 1300])
def test_the_page_never_scrolls_sideways(tab, address, width):
    tab.open(address, width)
    tab("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    assert tab("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1300, 1100, 420])
def test_no_table_loses_a_digit(tab, address, recommended, width):
    for page in (address, recommended):
        tab.open(page, width)
        tab(UNFOLD)
        assert tab("document.querySelectorAll('td').length") > 40
        assert tab(CUT) == []


def test_what_does_not_fit_says_so_and_keeps_its_first_column(tab, address):
    tab.open(address, 1200)
    tab("document.querySelector('#scores .scroll').style.width = '500px'; new Promise((done) => setTimeout(done, 100))")
    box = "document.querySelector('#scores .scroll')"
    assert tab(f"{box}.classList.contains('cut')")
    left = f"{box}.querySelector('td').getBoundingClientRect().left"
    before = tab(left)
    tab(f"{box}.scrollLeft = 200")
    assert tab(f"{box}.scrollLeft") == 200
    assert tab(left) == before


@pytest.mark.parametrize("width", [1300, 420])
def test_no_text_lies_on_text_in_the_charts(tab, address, recommended, width):
    for page in (address, recommended):
        tab.open(page, width)
        tab(UNFOLD)
        assert tab("document.querySelectorAll('.panel text').length") > 5
        assert tab("Array.from(document.querySelectorAll('.panel')).every((panel) => panel.clientHeight)")
        assert tab(f"{OVERLAPS}('.panel svg', 'text')") == []


def test_no_text_lies_on_text_in_the_figures(tab, address):
    folder = Path(address.removeprefix("file://")).parent / "figures"
    files = sorted(folder.glob("*.svg"))
    assert len(files) == 42  # for wide windows and for narrow ones
    found = {}
    for file in files:
        tab.open(file.as_uri())
        assert tab("document.querySelectorAll('g[id^=text_] > g:not([id])').length") > 2
        if overlaps := tab(f"{OVERLAPS}('svg', 'g[id^=text_] > g:not([id])')"):
            found[file.name] = overlaps
    assert found == {}


def test_a_page_is_read_in_ten_screens_and_with_all_its_folds_open_in_25(page):
    assert page("document.documentElement.scrollHeight") <= 10 * 900
    page(f"{OPEN} new Promise((done) => setTimeout(done, 100))")
    assert page("document.documentElement.scrollHeight") <= 25 * 900


@pytest.mark.parametrize("width", [1300, 420])
def test_the_text_of_every_figure_is_nine_pixels_high(tab, address, recommended, width):
    for page in (address, recommended):
        tab.open(page, width)
        tab(UNFOLD)
        heights = tab(TEXT_HEIGHTS)
        assert len(heights) >= 2
        assert [one for one in heights if not 9 <= one[1] < 20] == []


def test_one_figure_of_a_kind_is_seen_and_buttons_turn_to_the_others(page):
    page(f"{OPEN} new Promise((done) => setTimeout(done, 100))")
    box = "document.querySelector('#cost .turns')"
    titles = (
        f"Array.from({box}.querySelectorAll('figure')).filter((one) => one.offsetParent).map((one) => one.innerText)"
    )
    buttons = f"Array.from({box}.querySelectorAll('.turn button'), (one) => one.innerText)"
    assert page(buttons) == list(MODELS)
    (first,) = page(titles)
    assert MODELS[0] in first
    page(f"{box}.querySelectorAll('.turn button')[1].click()")
    (second,) = page(titles)
    assert MODELS[1] in second
    choose(page, model=MODELS[0])  # the figure that is seen is filtered away
    assert page(titles) == [first]
    assert page(f"{box}.querySelector('.turn').hidden")


def test_a_folded_section_opens_for_whoever_goes_there(page, address):
    folded = "document.querySelector('#changes details.whole')"
    assert not page(f"{folded}.open")
    page("document.querySelector('nav a[href=\"#changes\"]').click()")
    assert page(f"{folded}.open")
    page.open(f"{address}#cost")
    assert page("document.querySelector('#cost details.whole').open")


SAVED = """
(async (press) => {
  const saved = [];
  const {createObjectURL} = URL;
  const {click} = HTMLAnchorElement.prototype;
  URL.createObjectURL = (blob) => { saved.push(blob); return createObjectURL(blob); };
  let name = "";
  HTMLAnchorElement.prototype.click = function () { name = this.download; };
  press();
  for (let tries = 0; !saved.length && tries < 100; tries += 1) await new Promise((done) => setTimeout(done, 20));
  URL.createObjectURL = createObjectURL;
  HTMLAnchorElement.prototype.click = click;
  return [name, saved[0].type, saved[0].size, saved[0].type == "text/csv" ? await saved[0].text() : ""];
})
"""


def test_tables_and_figures_are_saved_from_the_page_itself(page, selected):
    button = (
        "Array.from(document.querySelectorAll('#scores .tools button')).find((b) => b.textContent == 'Save as CSV')"
    )
    name, kind, _, text = page(f"{SAVED}(() => {button}.click())")
    assert (name, kind) == ("all-scores.csv", "text/csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 6 * len(METHODS)  # the rows behind the button too
    chosen = next(row for row in rows if (row["Dataset"], row["Labels"], row["Method"]) == ("esol", "50", "L2-SP"))
    values = selected.query("dataset == 'esol' and budget == '50' and method == 'l2_sp'")["test_value"]
    assert chosen["Test score"].startswith(f"{values.mean():.3f} ± {values.std():.3f}")
    assert not re.search("[−\xa0]", text)
    # what is equal in all rows is no column of the page, and one of the file
    lean = "document.querySelector('table[data-same]')"
    same = json.loads(page(f"{lean}.dataset.same"))
    *_, text = page(f"{SAVED}(() => {lean}.parentElement.nextElementSibling.lastElementChild.click())")
    assert same
    assert not same.keys() & set(page(f"Array.from({lean}.tHead.rows[0].cells, (cell) => cell.innerText.trim())"))
    assert all(same.items() <= row.items() for row in csv.DictReader(io.StringIO(text)))
    picture = "document.querySelector('#comparisons figure')"
    assert page(f"{picture}.querySelector('a.save').href == {picture}.querySelector('img').src")
    assert page(f"{picture}.querySelector('a.save').download").endswith(".svg")
    name, kind, size, _ = page(f"{SAVED}(() => {picture}.querySelector('button.save').click())")
    assert name.endswith(".png")
    assert (kind, size > 10_000) == ("image/png", True)


def test_nothing_is_cut_off_in_print(tab, address):
    tab.send("Emulation.setEmulatedMedia", media="print")
    try:
        tab.open(address, 720)
        assert tab("document.querySelector('nav').offsetParent") is None  # it is the print's style
        assert tab("document.documentElement.scrollWidth") <= 720
    finally:
        tab.send("Emulation.setEmulatedMedia", media="")


def test_headings_are_in_order(page):
    levels = page("Array.from(document.querySelectorAll('h1, h2, h3, h4'), (heading) => Number(heading.localName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize(
    "chosen",
    [
        {"dataset": "bbbp"},
        {"model": MODELS[1]},
        {"budget": "50"},
        {"dataset": "esol", "budget": "all", "model": MODELS[0]},
        {"dataset": "esol", "model": MODELS[1]},
    ],
)
def test_filters_hide_exactly_the_others(page, selected, chosen):
    before = page(FILTERED)
    assert not any(element["hidden"] for element in before)
    assert {element["kind"] for element in before} == {"tr", "figure", "article", "div"}
    choose(page, **chosen)
    after = page(FILTERED)
    assert [element["hidden"] for element in after] == [not belongs(e["facets"], chosen) for e in before]

    with_model = selected[selected["method"] != "fingerprint"]
    conditions = with_model[list(FACETS)].drop_duplicates()
    shown = conditions[[belongs(row, chosen) for row in conditions.to_dict("records")]]
    assert page(OUTPUT) == f"{len(shown)} of {len(conditions)} conditions"
    visible = "Array.from(document.querySelectorAll('{} tbody tr')).filter((row) => row.offsetParent).length"
    assert page(visible.format("#conditions")) == len(shown)
    rows = len(shown) * len(METHODS)
    assert page(visible.format("#scores")) == (rows if rows <= 12 else 10)
    more = "Array.from(document.querySelectorAll('#scores .tools button')).find((one) => one.textContent == %r)"
    if rows > 12:
        page(f"{more % f'Show all {rows} rows'}.click()")
        assert page(visible.format("#scores")) == rows
        page(f"{more % 'Show the first 10 rows'}.click()")
    assert page("document.querySelectorAll('.panel:not([hidden])').length") == len(shown)

    page("document.querySelector('#filters button').click(); new Promise((done) => setTimeout(done))")
    assert page(FILTERED) == before
    assert page("location.hash") == ""


def test_a_search_and_a_filter_hide_together(page):
    box = "document.querySelector('#scores input')"
    typed = f"{box}.value = %r; {box}.dispatchEvent(new Event('input'))"
    shown = "Array.from(document.querySelectorAll('#scores tbody tr')).filter((row) => !row.hidden).length"
    page(typed % "L2-SP")
    assert page(shown) == 6
    choose(page, dataset="bace")
    assert page(shown) == 2
    page(typed % "")
    assert page(shown) == 2 * len(METHODS)


def test_nothing_left_is_said_and_empty_sections_go(page):
    choose(page, dataset="bbbp")
    table = "document.querySelector('#failures .scroll')"
    assert page(f"{table}.classList.contains('empty')")  # only esol has failures
    assert "Nothing here" in page(f"getComputedStyle({table}, '::after').content")
    choose(page, dataset="esol", model=MODELS[1])  # which did not meet
    assert page(OUTPUT) == "0 of 6 conditions"
    assert page("document.getElementById('budgets').hidden")
    assert page("document.querySelector('nav a[href=\"#budgets\"]').parentElement.hidden")
    assert not page("document.getElementById('cost').hidden")  # it has a table


def test_the_address_keeps_the_view(page, address):
    choose(page, dataset="bace", budget="50")
    assert page("location.hash") == "#dataset=bace&budget=50"
    hidden = page(FILTERED)
    page("document.querySelector('nav a[href=\"#cost\"]').click()")
    assert page("location.hash") == "#dataset=bace&budget=50&at=cost"
    page.open(f"{address}#dataset=bace&budget=50&at=cost")
    assert page("Array.from(document.querySelectorAll('#filters select'), (select) => select.value)") == [
        "",
        "bace",
        "50",
    ]
    assert page(FILTERED) == hidden
    page("location.hash = '#dataset=esol'; new Promise((done) => setTimeout(done, 50))")
    assert page(OUTPUT) == "2 of 6 conditions"


def test_an_address_of_another_report_filters_nothing(page, address):
    page.open(f"{address}#dataset=unheard_of&nonsense=1")
    assert page(OUTPUT) == "6 of 6 conditions"


def test_sorting_by_pointer_and_keyboard(page):
    column = page(f"Array.from({SCORES}.tHead.rows[0].cells, (cell) => cell.innerText.trim()).indexOf('Test score')")
    header, button = (
        f"{SCORES}.tHead.rows[0].cells[{column}]",
        f"{SCORES}.tHead.rows[0].cells[{column}].firstElementChild",
    )
    values = f"Array.from({SCORES}.tBodies[0].rows, (row) => row.cells[{column}].dataset.sort)"
    before = page(values)
    page(f"{button}.click()")
    ascending = [float(value) for value in page(values) if value]
    assert ascending == sorted(ascending)
    assert page(values)[len(ascending) :] == [""] * before.count("")  # what has no score is last
    assert page(f"{header}.getAttribute('aria-sort')") == "ascending"
    page(f"{button}.focus()")
    page.press("Enter")
    assert [float(value) for value in page(values) if value] == ascending[::-1]
    assert page(values)[len(ascending) :] == [""] * before.count("")
    assert page(f"{header}.getAttribute('aria-sort')") == "descending"
    assert sorted(page(values)) == sorted(before)


def test_the_chart_is_read_by_keyboard(page, selected):
    page("document.querySelector('#conditions summary').focus()")
    page.press("Tab")
    assert page(FOCUSED).startswith("Full FT\nmean ")
    assert page(TIP).startswith("Full FT\nmean ")
    page.press("ArrowDown")
    first = selected.query("model == @MODELS[0] and dataset == 'bbbp' and budget == '50'")
    values = first.loc[first["method"] == "linear_probing", "test_value"]
    lines = [f"seed {seed}: {value:.3f}" for seed, value in enumerate(values)]
    assert page(TIP).splitlines() == [
        "Linear probing", f"mean {values.mean():.3f} ± {values.std():.3f} †", *lines,
    ]  # fmt: skip
    page.press("Escape")
    assert page(TIP) == ""
    page.press("End")
    assert page(TIP).startswith("Fingerprint\n")
    page.press("Home")
    page.press("Tab")  # one stop a panel
    assert (
        page("Array.from(document.querySelectorAll('.panel')).indexOf(document.activeElement.closest('.panel'))") == 1
    )


@pytest.mark.parametrize("width", [420, 1300])
def test_the_chart_is_read_by_pointer_within_the_window(tab, address, width):
    tab.open(address, width)
    tab("document.querySelector('.panels').scrollIntoView({behavior: 'instant'})")
    place = tab("document.querySelector('.panel .row:nth-of-type(3) circle').getBoundingClientRect().toJSON()")
    tab.point(place["x"] + 1, place["y"] + 1)
    assert tab(TIP).startswith("Linear probing\nmean ")
    tip = tab("document.getElementById('tip').getBoundingClientRect().toJSON()")
    assert 0 <= tip["left"] < tip["right"] <= width
    assert 0 <= tip["top"] < tip["bottom"] <= 900
    tab.point(1, 1)
    assert tab(TIP) == ""


def test_without_scripts_all_is_there_to_read(tab, address):
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(address)
        assert tab("document.getElementById('tip')") is None  # no script ran
        assert tab("document.querySelector('#filters').offsetParent") is None
        assert tab("document.querySelector('#scores .filter').offsetParent") is None
        assert not any(element["hidden"] for element in tab(FILTERED))
        assert "mean " in tab("document.querySelector('.panel .row title').textContent")
        rows = "Array.from(document.querySelectorAll('#scores tbody tr')).filter((row) => row.offsetParent).length"
        assert tab(rows) == 6 * len(METHODS)
        beside = tab("document.querySelector('#comparisons figure a.save').getAttribute('href')")
        assert (Path(address.removeprefix("file://")).parent / beside).is_file()
        tab.open(address, 420)
        assert tab(CUT) == []
    finally:
        tab.send("Emulation.setScriptExecutionDisabled", value=False)


@pytest.fixture(scope="module")
def recommended(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a recommendation, from tables of two methods and the baseline over ten parts."""
    folder: Path = tmp_path_factory.mktemp("recommendation")
    rng = np.random.default_rng(1)
    levels = {"full_ft": 1.4, "linear_probing": 1.1, "fingerprint": 1.2}
    values = {name: list(level + 0.1 * rng.normal(size=10)) for name, level in levels.items()}
    rows = made_up_tables.selected_rows(values, dataset="mine", metric="rmse", split="cv", budget="all")
    cells = rows.assign(partition="test", molecule=0, prediction=[[0.5]] * len(rows), spread=None)
    predictions = cells[schemas.schema("predictions").names]
    tables = made_up_tables.write_tables(folder / "tables", rows, predictions=predictions)
    timings = schemas.read("timings", tables / "timings.parquet")
    settings = VerdictSettings("mine", "log<i>S", "regression", "rmse", "cv")
    ranking, verdict = judge(rows, timings, settings)
    schemas.write("ranking", ranking, folder / "ranking.parquet")
    (folder / "verdict.json").write_text(json.dumps(verdict))
    page = folder / "report.html"
    recommendation.build(tables, folder / "verdict.json", folder / "mine.roftmol", {"seeds": list(range(10))}, page)
    return page.as_uri()


@pytest.mark.parametrize("width", [420, 1300])
def test_a_recommendation_is_read_in_any_window(tab, recommended, width):
    tab.open(recommended, width)
    below = tab("Array.from(document.querySelectorAll('.lead, .own'), (p) => p.getBoundingClientRect().bottom)")
    assert len(below) == 3  # what to take, what that is, how to predict with it
    assert max(below) < 900
    assert "roftmol predict mine.roftmol" in tab("document.querySelector('.own code').textContent")
    assert "log<i>S" in tab("document.querySelector('h1').textContent")
    assert tab("document.documentElement.scrollWidth") <= width
    assert min(tab("Array.from(document.images, (image) => image.naturalWidth)")) > 0
    tab("document.querySelector('.panel .row').focus()")
    assert tab(TIP).startswith("Full FT\nmean 1.")
    assert len(tab(TIP).splitlines()) == 12  # its name, its mean, ten parts
    first = "document.querySelector('#methods tbody tr').cells[1].textContent"
    assert tab(first) == "Linear probing"
    by_score = "document.querySelectorAll('#methods th button')[2].click()"
    tab(by_score)
    assert tab(first) == "Linear probing"
    tab(by_score)
    assert tab(first) == "Full FT"
    assert tab.complaints() == []


def test_no_legend_of_long_names_is_cut_off(tab, tmp_path):
    names = [
        name + head for head in ("", "+hybrid") for name in ("full_ft", "lp_ft", "wise_ft", "l2_sp", "lp_ft_closed")
    ]
    rows = pd.concat(
        made_up_tables.selected_rows({name: [0.7, 0.8] for name in names}, dataset=dataset) for dataset in "abc"
    )
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    with matplotlib.rc_context(RC):
        (drawing,) = time.drawings(Results(made_up_tables.summarise(rows), rows, *blank))
        drawing.figure.savefig(tmp_path / "time.svg")
    tab.open((tmp_path / "time.svg").as_uri())
    assert tab("document.querySelectorAll('g[id^=text_] > g:not([id])').length") > len(names)
    assert tab(f"{OVERLAPS}('svg', 'g[id^=text_] > g:not([id])')") == []
