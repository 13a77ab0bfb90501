"""The two pictures of a recommendation: all candidates' scores, and the chosen one's predictions against the labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from roftmol.figures.pages import NARROW
from roftmol.figures.style import FAINT, INK, look, mean_marker
from roftmol.methods import CONSTANT, WITHOUT_ENCODER
from roftmol.tasks import TASKS, metric_title

Array = npt.NDArray[np.float64]

#: Captions and alternative texts.
RANKING = (
    "Small points are the test parts of the cross-validation. The large marker is their mean, the bar its 95% "
    "interval, widened because the training parts overlap. The dotted line is the constant predictor's mean. The "
    "chosen method is bold.",
    "Scores of every method on every test part, with means and intervals; the table above has the numbers.",
)
BEHIND = " Methods with grey names are behind the best beyond doubt."
TESTED_VALUES = (
    "Each point is a molecule: its label, and the mean prediction of the ensembles that had not seen it. The dotted "
    "line is the constant predictor: the mean of the labels.",
    "Scatter of predicted against measured values, with the diagonal.",
)
TESTED_PROBABILITIES = (
    "Predicted probabilities of the molecules of both classes, by ensembles that had not seen the molecule. The dotted "
    "line is the constant predictor: the share of class 1.",
    "Histograms of the predicted probability for both classes.",
)
ROW = 0.27


def ranking(table: pd.DataFrame, scores: pd.DataFrame, narrow: bool) -> Figure:
    """Draw the candidates from the best mean down: points, mean, interval."""
    shown = table[table["place"] > 0].iloc[::-1]
    several = shown.loc[~shown["method"].isin(WITHOUT_ENCODER), "model"].nunique() > 1
    figure = Figure(figsize=(NARROW if narrow else 6.4, 0.8 + ROW * len(shown)), layout="constrained")
    axis = figure.subplots()
    for y, row in enumerate(shown.to_dict("records")):
        values = scores[row["model"], row["method"]].dropna() if (row["model"], row["method"]) in scores else []
        axis.plot(values, np.full(len(values), y), "o", color=look(str(row["method"])).colour, alpha=0.3, markersize=3)
        axis.plot([row["low"], row["high"]], [y, y], color=look(str(row["method"])).colour, linewidth=1.6)
        axis.plot([row["mean"]], [y], **mean_marker(str(row["method"])))
        if row["method"] == CONSTANT:
            axis.axvline(row["mean"], color=look(CONSTANT).colour, linestyle=":", linewidth=1)
    rows = shown.to_dict("records")
    labels = [
        look(str(row["method"])).title
        + (f", {row['model']}" if several and row["method"] not in WITHOUT_ENCODER else "")
        for row in rows
    ]
    axis.set_yticks(range(len(shown)), labels=labels)
    for text, row in zip(axis.get_yticklabels(), rows, strict=True):
        text.set_fontweight("bold" if row["chosen"] else "normal")
        text.set_color("#8B949E" if row["behind"] else INK)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    metric, better = shown["metric"].iloc[0], shown["better"].iloc[0]
    axis.set_xlabel(f"{metric_title(metric)} ({'higher' if better > 0 else 'lower'} is better)")
    return figure


def ranking_words(table: pd.DataFrame) -> tuple[str, str]:
    """Return caption and alternative text of :func:`ranking`."""
    caption, alt = RANKING
    return caption + (BEHIND if table["behind"].any() else ""), alt


def tested_words(task: str) -> tuple[str, str]:
    """Return caption and alternative text of :func:`tested`."""
    return TESTED_PROBABILITIES if TASKS[task].classes else TESTED_VALUES


def tested(truth: Array, predicted: Array, task: str, target: str, scores: str, narrow: bool) -> Figure:
    """Draw predictions for molecules that were not seen against their labels, with the scores in words."""
    figure = (_probabilities if TASKS[task].classes else _values)(truth, predicted, target)
    if narrow:
        figure.set_figwidth(NARROW)
    figure.axes[0].set_title(scores.replace("; ", "\n"), fontsize=7.5, fontweight="normal", loc="left")
    return figure


def _values(truth: Array, predicted: Array, target: str) -> Figure:
    """Draw predicted against measured values."""
    figure = Figure(figsize=(3.8, 3.6), layout="constrained")
    axis = figure.subplots()
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    axis.plot([low, high], [low, high], color=FAINT, linewidth=1)
    axis.axhline(truth.mean(), color=look(CONSTANT).colour, linestyle=":", linewidth=1)
    axis.plot(truth, predicted, "o", color="#0072B2", alpha=0.6, markersize=3.5, markeredgewidth=0)
    axis.set_aspect("equal", "datalim")
    axis.set_xlabel(f"{target}, measured")
    axis.set_ylabel(f"{target}, predicted")
    return figure


def _probabilities(truth: Array, predicted: Array, target: str) -> Figure:
    """Draw histograms of the predicted probability, one a class."""
    figure = Figure(figsize=(4.6, 2.6), layout="constrained")
    axis = figure.subplots()
    bins = [step / 20 for step in range(21)]
    axis.hist(predicted[truth == 0], bins, color="#8C8C8C", alpha=0.7, label=f"{target} = 0")
    axis.hist(predicted[truth == 1], bins, color="#D55E00", alpha=0.6, label=f"{target} = 1")
    axis.axvline(truth.mean(), color=look(CONSTANT).colour, linestyle=":", linewidth=1)
    axis.set_xlabel("predicted probability")
    axis.set_ylabel("molecules")
    axis.legend()
    return figure
