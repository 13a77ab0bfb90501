"""The page of a recommendation with several targets: what to take for each, joint or single, and what to expect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from roftmol.core.files import atomic
from roftmol.figures.style import look
from roftmol.methods import FULL_FT, JOINT_FT, METHODS
from roftmol.report import environment, inline
from roftmol.report.recommendation import difference
from roftmol.report.table import Cell, Table, decimals, fixed, number_cell, word
from roftmol.tables import schemas
from roftmol.tasks import TASKS, metric_title

#: The files that each target's folder has for this page.
VERDICT, RANKING, TASKS_TABLE = "verdict.json", "ranking.parquet", "tables/tasks.parquet"


@dataclass(frozen=True, eq=False)
class Target:
    """What came of one target."""

    folder: str
    verdict: Mapping[str, Any]
    ranking: pd.DataFrame
    labels: int

    @property
    def column(self) -> str:
        """The column of its labels."""
        return str(self.verdict["target"])

    @property
    def joint(self) -> bool:
        """Whether what is taken was trained with the other targets."""
        return METHODS[self.verdict["choice"]["method"]].joint is not None

    @property
    def taken(self) -> str:
        """The method that is taken, with its model where several encoders compete."""
        model, method = self.verdict["choice"]["model"], self.verdict["choice"]["method"]
        title = METHODS[method].phrase or METHODS[method].title
        encoders = self.ranking.loc[[not METHODS[name].model for name in self.ranking["method"]], "model"]
        return f"{title} of {model}" if encoders.nunique() > 1 and not METHODS[method].model else title

    def sentence(self) -> str:
        """Say in a line what to take and what to expect, or that nothing can be predicted."""
        constant = TASKS[self.verdict["task"]].constant_title
        if not self.verdict["predictable"]:
            return (
                f"{self.column}: cannot be predicted from these structures with {self.labels} labels; its predictions "
                f"are {constant}."
            )
        how = "trained with the other targets" if self.joint else "trained by itself"
        expected, reference = self.verdict["expected"], self.verdict["constant"]["mean"]
        than = "" if reference is None else f", where {constant} has {_figure(reference)}"
        return (
            f"{self.column}: take {self.taken}, {how}; expect {metric_title(self.verdict['metric'])} "
            f"{_figure(expected['mean'])}{than} ({self.labels} labels)."
        )


def build(settings: Mapping[str, Any], folder: Path) -> None:
    """Write verdict.json and report.html on all targets into the recommendation's folder, from those of each.

    `settings` are those of the stage `overview`. Raises `UserError` if a table is missing.
    """
    targets = [_read(folder / name, name) for _, name, _ in settings["targets"]]
    sentences = [target.sentence() for target in targets]
    predictable = [target for target in targets if target.verdict["predictable"]]
    if not predictable:
        sentences.append(
            "None of these targets can be predicted: there is nothing to take. More labels may change that."
        )
    verdict = {
        "name": settings["name"],
        "predictable": bool(predictable),
        "targets": {target.column: f"{target.folder}/verdict.json" for target in targets},
        "sentences": sentences,
    }
    html = (
        environment()
        .get_template("overview.html.jinja")
        .render(
            name=settings["name"],
            verdict=verdict,
            targets=targets,
            learnt=settings["learnt"],
            table=table(targets),
            bundle=f"{folder.name}.roftmol",
            experiment_json=json.dumps(settings["experiment"], indent=2, ensure_ascii=False, default=str),
            style=inline("page.css"),
            script=inline("page.js"),
        )
    )
    for path, text in (
        (folder / VERDICT, json.dumps(verdict, indent=2, ensure_ascii=False) + "\n"),
        (folder / "report.html", html),
    ):
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def table(targets: list[Target]) -> Table:
    """Make a row a target: its labels, what is taken, the score to expect, the constant's, joint against single."""
    rows = []
    for target in targets:
        verdict = target.verdict
        places = decimals(target.ranking["mean"].abs().median())
        taken = target.taken if verdict["predictable"] else "nothing"
        how = ("joint" if target.joint else "single") if verdict["predictable"] else ""
        rows.append(
            [
                word(target.column),
                number_cell(f"{target.labels:,}", target.labels),
                word(taken, "best" if verdict["predictable"] else "soft"),
                word(how),
                word(metric_title(verdict["metric"])),
                _score(verdict["expected"] if verdict["predictable"] else {"mean": None}, places),
                _score(verdict["constant"], places),
                _against_single(target, places),
            ]
        )
    columns = ["Target", "#Labels", "Taken", "Trained", "Metric", "#Expected", "#Constant", "#Joint better by"]
    caption = (
        "Expected: the score on test parts that had no say in the choice, with its 95% interval; constant: that of the "
        "mean of the labels or the share of class 1."
    )
    if any(row[-1].text for row in rows):
        caption += (
            f" “Joint better by”: {look(JOINT_FT).title} of all targets against {look(FULL_FT).title} of this one, on "
            "the same test molecules; coloured where its interval is beside zero."
        )
    return Table(caption, columns, rows)


def _read(folder: Path, name: str) -> Target:
    return Target(
        folder=name,
        verdict=json.loads((folder / VERDICT).read_text(encoding="utf-8")),
        ranking=schemas.read("ranking", folder / RANKING),
        labels=int(schemas.read("tasks", folder / TASKS_TABLE)["labelled"].iloc[0]),
    )


def _score(score: Mapping[str, float | None], places: int) -> Cell:
    """Return the cell of a score with its interval; an empty one where it is not known."""
    mean = score["mean"]
    if mean is None:
        return number_cell("", float("nan"))
    low, high = score.get("low"), score.get("high")
    ends = (
        ""
        if low is None or high is None or low == high
        else f" ({fixed(low, places)}\u00a0to\u00a0{fixed(high, places)})"
    )
    return number_cell(f"{fixed(mean, places)}{ends}", mean)


def _against_single(target: Target, places: int) -> Cell:
    """Return by how much joint training of the first encoder that has it is better than training alone."""
    rows = target.ranking[target.ranking["method"] == JOINT_FT]
    return difference(rows.iloc[0], f"vs_{FULL_FT}", places) if len(rows) else number_cell("", float("nan"))


def _figure(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
