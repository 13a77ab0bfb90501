"""The page of a recommendation: which method to take for one dataset, how sure that is, and how to use the model."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from roftmol.core.files import atomic
from roftmol.figures import recommendation as figures
from roftmol.figures.cells import Results
from roftmol.figures.style import RC, look
from roftmol.methods import COMPARED, CONSTANT, WITHOUT_ENCODER
from roftmol.report import SVG, audit, chart, environment, inline
from roftmol.report.results import TWICE, better_than
from roftmol.report.table import Cell, Table, decimals, duration, fixed, number_cell, signed, word
from roftmol.tables import schemas
from roftmol.tasks import TASKS, metric_title

__all__ = ["build"]


def build(
    tables: Path,
    verdict: Path,
    bundle: Path,
    experiment: Mapping[str, Any],
    out: Path,
    evidence: Path | None = None,
) -> None:
    """Write the page `out` from the aggregated `tables`, the folder of the `verdict` and the `bundle`.

    `experiment` is what the report of an experiment gets, `evidence` its page; the first verdict has none. Raises
    `UserError` if a table is missing.
    """
    names = ("selected", "predictions", "molecules", "rejects", "tasks", "scores", "timings")
    summary = schemas.read("summary", tables / "summary.parquet")
    alphas, coefficients = (schemas.read(name, tables / f"{name}.parquet") for name in ("alphas", "coefficients"))
    read = {name: schemas.read(name, tables / f"{name}.parquet") for name in names}
    ranking = schemas.read("ranking", verdict.parent / "ranking.parquet")
    decided = json.loads(verdict.read_text(encoding="utf-8"))
    chosen = ranking[ranking["chosen"]].iloc[0]
    truth, predicted = _tested(read["predictions"], read["molecules"], chosen, decided["task"])
    scores = read["selected"].pivot(index="seed", columns=["model", "method"], values="test_value")
    with matplotlib.rc_context(RC):
        pictures = [
            _picture(
                partial(figures.ranking, ranking, scores), "Scores of all methods", figures.ranking_words(ranking)
            ),
            _picture(
                partial(figures.tested, truth, predicted, decided["task"], decided["target"], compared(decided)),
                "Measured and predicted",
                figures.tested_words(decided["task"]),
            ),
        ]
    html = (
        environment()
        .get_template("recommendation.html.jinja")
        .render(
            verdict=decided,
            origin=audit.origin(read["timings"], _shown(read["tasks"], decided)),
            method=look(chosen["method"]).title,
            method_line=look(chosen["method"]).summary,
            constant=TASKS[decided["task"]].constant_title,
            ranking=ranking_table(ranking),
            pictures=pictures,
            panels=chart.panels(Results(summary, read["selected"], alphas, coefficients)),
            chart=chart,
            evidence=evidence.name if evidence else "",
            bundle=bundle.name,
            bundle_path=str(bundle),
            data=audit.data_table(*(read[n] for n in ("molecules", "rejects", "tasks", "scores", "selected"))),
            remarks=audit.remarked(*(read[name] for name in ("molecules", "rejects", "tasks"))),
            reasons=audit.reasons_table(read["rejects"]),
            rejected=audit.rejected_table(read["rejects"]),
            rejects_count=len(read["rejects"]),
            failures=audit.failures_table(read["timings"]),
            tasks=audit.tasks_table(read["tasks"]),
            experiment_json=json.dumps(experiment, indent=2, ensure_ascii=False, default=str),
            style=inline("page.css"),
            script=inline("page.js"),
        )
    )
    with atomic(out) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _shown(tasks: pd.DataFrame, decided: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return what the page is about, title and values."""
    labels = [f"{labelled:,}" for labelled in tasks["labelled"]]
    tested = f"{decided['candidates']}, each on {decided['resamples']} test parts"
    return [("Dataset", [decided["name"]]), ("Labels", labels), ("Candidates", [tested])]


def ranking_table(ranking: pd.DataFrame) -> Table:
    """Make the table of the candidates and the constant, best mean first: score, R2, differences, cost.

    Scores and differences have their 95% intervals.
    """
    several = ranking.loc[~ranking["method"].isin(WITHOUT_ENCODER), "model"].nunique() > 1
    places = decimals(ranking["mean"].abs().median())
    explained = ranking["r2"].notna().any()
    differences = [name for name in (f"vs_{name}" for name in COMPARED) if ranking[name].notna().any()]
    rows = []
    for row in ranking.to_dict("records"):
        state = "chosen" if row["chosen"] else "behind" if row["behind"] else "level"
        if row["method"] == CONSTANT:
            state = "reference"
        score = f"{fixed(row['mean'], places)}{_interval(row, places)}"
        seconds = "" if row["method"] == CONSTANT else duration(row["cpu_seconds"])
        cells = [
            number_cell(str(row["place"]) if row["place"] else "–", row["place"] or float("nan")),
            word(look(str(row["method"])).title, "best" if row["chosen"] else ""),
        ]
        if several:
            cells.append(word("" if row["method"] in WITHOUT_ENCODER else row["model"]))
        cells.append(number_cell(score, row["mean"]))
        if explained:
            cells.append(number_cell(fixed(row["r2"], 2), row["r2"]))
        cells += [difference(row, name, places) for name in differences]
        cells.append(word(row["note"] or state, "soft" if row["behind"] else ""))
        cells.append(number_cell(seconds, row["cpu_seconds"]))
        rows.append(cells)
    metric = metric_title(ranking["metric"].iloc[0])
    arrow = "↑" if ranking["better"].iloc[0] > 0 else "↓"
    columns = ["#Rank", "Method"]
    columns += ["Model"] if several else []
    columns += [f"#{metric} {arrow}"]
    columns += ["#R² ↑"] if explained else []
    columns += [f"#{better_than(name.removeprefix('vs_'))}" for name in differences]
    columns += ["Against the best", "#CPU time a test part"]
    caption = (
        "“Better by” is positive if the method is better. In brackets: 95% intervals, widened because the training "
        "parts overlap; in colour where zero is outside. Level: not told apart from the best."
    )
    return Table(caption, columns, rows)


def compared(verdict: Mapping[str, Any]) -> str:
    """Write the score to expect beside the constant predictor's, in a line."""
    metric = metric_title(verdict["metric"])
    parts = []
    for name, score in (("expected", verdict["expected"]), ("constant", verdict["constant"])):
        if score["mean"] is not None:
            explained = "" if score["r2"] is None else f", R² {round(score['r2'], 2) + 0.0:.2f}"
            parts.append(f"{name} {metric} {score['mean']:.3g}{explained}")
    return "; ".join(parts if verdict["predictable"] else parts[1:]).replace("-", "−")


def _interval(row: Mapping[Any, Any], places: int) -> str:
    low, high = row["low"], row["high"]
    return "" if np.isnan(low) else f" ({fixed(low, places)}\u00a0to\u00a0{fixed(high, places)})"


def difference(row: Mapping[Any, Any] | pd.Series, name: str, places: int) -> Cell:
    """Return the cell of how much better a method is than a reference, with its interval, coloured if that is sure."""
    value = row["better"] * row[name]
    if np.isnan(value) or row["method"] in TWICE.get(name.removeprefix("vs_"), set()):
        return number_cell("", float("nan"))
    low, high = sorted(row["better"] * row[f"{name}_{end}"] for end in ("low", "high"))
    tone = ("better" if value > 0 else "worse") if low * high > 0 else ""
    interval = "" if np.isnan(low) else f" ({signed(low, places)}\u00a0to\u00a0{signed(high, places)})"
    return number_cell(f"{signed(value, places)}{interval}", value, tone)


def _tested(
    predictions: pd.DataFrame, molecules: pd.DataFrame, chosen: pd.Series, task: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the chosen method's test predictions and the labels, which are values.

    Each prediction is its molecule's mean over the tests of it.
    """
    tested = predictions[
        (predictions["partition"] == "test")
        & (predictions["model"] == chosen["model"])
        & (predictions["method"] == chosen["method"])
    ]
    values = tested["prediction"].map(lambda values: values[0]).groupby(tested["molecule"]).mean()
    labels = molecules.set_index("molecule")["labels"].map(lambda labels: labels[0])
    truth = TASKS[task].values(labels[values.index].to_numpy(np.float64))
    known = ~np.isnan(truth)
    return truth[known], values.to_numpy(np.float64)[known]


def _picture(draw: Callable[[bool], Figure], title: str, words: tuple[str, str]) -> dict[str, Any]:
    """Return what the page shows of a figure, which is drawn for a wide window and for a narrow one."""
    wide, narrow = draw(False), draw(True)
    caption, alt = words
    address = _address(wide, title)
    file = f"{title.lower().replace(' ', '-')}.svg"
    about = {"title": title, "caption": caption, "alt": alt, "number": 0, "facets": {}, "width": wide.get_figwidth()}
    addresses = {"address": address, "link": address, "narrow_address": _address(narrow, title)}
    return {**about, **addresses, "file": file, "embedded": True}


def _address(figure: Figure, title: str) -> str:
    """Return a picture as an address that holds it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Title": title})
    return f"{SVG}{base64.b64encode(stream.getvalue()).decode()}"
