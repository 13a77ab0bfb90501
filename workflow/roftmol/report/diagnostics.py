"""The tables of what lies behind the mean score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pandas as pd

from roftmol.figures.cells import Condition, Diagnostics, conditions_of, rows_of
from roftmol.figures.shift import reference_title
from roftmol.figures.similarity import AXES
from roftmol.figures.style import in_order, look
from roftmol.report.results import TITLES, constant_caption, identity, identity_columns
from roftmol.report.sections import Captioned
from roftmol.report.table import Cell, Facets, Table, count, decimals, fixed, number_cell, share, signed, spread, word
from roftmol.tasks import metric_title

#: The measures of a regression's calibration in the order of their columns.
COVERAGES = (50, 80, 90, 95)


def tables(diagnostics: Diagnostics) -> list[Captioned]:
    """Return all tables of diagnostics, in reading order, folded because they are long."""
    named = {
        "Shift of distribution": shift_table(diagnostics.shift),
        "Activity cliffs": cliffs_table(diagnostics.cliffs),
        "Calibration of probabilities": probabilities_table(diagnostics.calibration),
        "Calibration of errors": errors_table(diagnostics.calibration),
        "Similarity to the training molecules": similarity_table(diagnostics.similarity),
    }
    return [Captioned(name, table, folded=True) for name, table in named.items()]


def shift_table(shift: pd.DataFrame) -> Table:
    """Make the table of scores in and out of distribution, and of the loss with its standard error."""

    def cells(row: pd.Series) -> list[Cell]:
        places = decimals(abs(row["reference_mean"]))
        lost = abs(row["drop"]) > 2 * row["drop_error"]
        return [
            word(metric_title(row["metric"]) + (" ↑" if row["better"] > 0 else " ↓")),
            number_cell(spread(row["reference_mean"], row["reference_std"], places), row["reference_mean"]),
            number_cell(spread(row["shifted_mean"], row["shifted_std"], places), row["shifted_mean"]),
            number_cell(
                _with_error(signed(row["drop"], places), row["drop_error"], places),
                row["drop"],
                ("worse" if row["drop"] > 0 else "better") if lost else "",
            ),
            number_cell("" if math.isnan(row["ratio"]) else f"× {row['ratio']:.2f}", row["ratio"]),
        ]

    references = ", ".join(sorted({reference_title(name) for name in shift["reference"]}))
    caption = (
        f"In distribution: {references}. A loss is positive if the score is worse out of distribution. It is given ± "
        "its standard error over seeds, and coloured if it exceeds twice that."
    )
    columns = ["Metric", "#In distribution", "#Out of distribution", "#Loss", "#RMSE ratio"]
    return _table(shift, columns, cells, caption)


def cliffs_table(cliffs: pd.DataFrame) -> Table:
    """Make the table of the RMSE on and off activity cliffs."""

    def cells(row: pd.Series) -> list[Cell]:
        places = decimals(row["other_rmse"])
        return [
            number_cell(spread(row["cliff_rmse"], row["cliff_std"], places), row["cliff_rmse"]),
            number_cell(spread(row["other_rmse"], row["other_std"], places), row["other_rmse"]),
            number_cell(spread(row["gap"], row["gap_std"], places), row["gap"]),
            count(row["cliff_molecules"]),
            count(row["other_molecules"]),
            word(row["origin"]),
        ]

    caption = (
        "Mean ± standard deviation over seeds; the gap is taken within a seed. The numbers of test molecules are means "
        "over seeds. Cliffs are published with the data, or computed as MoleculeACE computes them."
    )
    columns = ["#RMSE on cliffs", "#RMSE elsewhere", "#Gap", "#On cliffs", "#Elsewhere", "Cliffs"]
    return _table(cliffs, columns, cells, caption)


def probabilities_table(calibration: pd.DataFrame) -> Table:
    """Make the table of ECE and Brier score, for classification."""
    wide = _wide(calibration, ("ece", "ece_by_chance", "brier"))

    def cells(row: pd.Series) -> list[Cell]:
        return [
            number_cell(fixed(row["ece"], 3), row["ece"]),
            number_cell(fixed(row["ece_by_chance"], 3), row["ece_by_chance"]),
            number_cell(spread(row["ece_seed_mean"], row["ece_seed_std"], 3), row["ece_seed_mean"]),
            number_cell(spread(row["brier"], row["brier_seed_std"], 3), row["brier"]),
            count(row["molecules"]),
            word(row["note"], "long"),
        ]

    caption = (
        "ECE: the expected calibration error of the predictions of all seeds together, in bins of equal count. ECE by "
        "chance: what true probabilities would give in the same bins. ECE of one seed: the mean over seeds, larger "
        "because a seed has fewer molecules. Brier score: the mean squared error of probabilities, ± standard "
        "deviation over seeds."
    )
    columns = ["#ECE", "#ECE by chance", "#ECE of one seed", "#Brier score", "#Labels", "Note"]
    return _table(wide, columns, cells, caption)


def errors_table(calibration: pd.DataFrame) -> Table:
    """Make the table of coverage, ENCE and sharpness of the seeds as an ensemble, for regression."""
    covered = [f"coverage_{level}{kind}" for level in COVERAGES for kind in ("", "_by_few_seeds")]
    wide = _wide(calibration, (*covered, "ence", "sharpness", "rmse"))
    groups = wide.groupby(list(TITLES), sort=False)
    mute = (groups["rmse"].transform("count") == 0) & (groups["note"].transform("nunique") == 1)
    # If no method has a value, and all for one reason, a single row says so.
    once = wide[mute].drop_duplicates(list(TITLES)).assign(method="every method")
    wide = pd.concat([wide[~mute], once], ignore_index=True)

    def cells(row: pd.Series) -> list[Cell]:
        if math.isnan(row["rmse"]):
            empty = [number_cell("", math.nan)] * (len(COVERAGES) + 3)
            return [*empty, count(row["molecules"]), word(row["note"], "long soft")]
        places = decimals(row["rmse"])
        return [
            *(_covered(row, level) for level in COVERAGES),
            number_cell(fixed(row["ence"], 2), row["ence"]),
            number_cell(fixed(row["sharpness"], places), row["sharpness"]),
            number_cell(fixed(row["rmse"], places), row["rmse"]),
            count(row["molecules"]),
            word(row["note"], "long soft"),
        ]

    caption = (
        "The seeds are taken as an ensemble. In 50 to 95%: the share of labels inside the central interval of a normal "
        "distribution with the seeds' mean and deviation, “of” the share that so few seeds would hold if the label "
        "were one more draw of that distribution. ENCE: 0 is best. Deviation: the typical deviation over seeds, beside "
        "the RMSE of their mean. Only test molecules that at least three seeds share count."
    )
    if mute.all():
        caption = "Whether the seeds' spread holds as an error bar cannot be told here."
    columns = [*(f"#In {level}%" for level in COVERAGES), "#ENCE", "#Deviation", "#RMSE", "#Molecules", "Note"]
    return _table(wide, columns, cells, caption)


def similarity_table(similarity: pd.DataFrame) -> Table:
    """Make the table of errors by similarity to the nearest training molecule, a column a bin."""
    edges = sorted(set(zip(similarity["lower"], similarity["upper"], strict=True)))
    by_bin = {key: rows.set_index("lower") for key, rows in similarity.groupby([*TITLES, "method"], sort=False)}

    def cells(row: pd.Series) -> list[Cell]:
        rows = by_bin[tuple(row[name] for name in (*TITLES, "method"))]
        places = decimals(rows["value"].median())
        errors = []
        for lower, _ in edges:
            if lower not in rows.index:
                errors.append(number_cell("", math.nan))
                continue
            value, error = rows["value"][lower], rows["error"][lower]
            errors.append(number_cell(_with_error(fixed(value, places), error, places), value))
        return [word(AXES[row["measure"]]), *errors]

    caption = (
        "Error on the test molecules whose similarity to the nearest training molecule lies in each range, over all "
        "seeds, ± its standard error over molecules."
    )
    columns = ["Measure", *(f"#{lower:g} to {upper:g}" for lower, upper in edges)]
    return _table(similarity.drop_duplicates([*TITLES, "method"]), columns, cells, caption)


def _table(frame: pd.DataFrame, columns: list[str], cells: Callable[[pd.Series], list[Cell]], caption: str) -> Table:
    """Make a table of a row a condition and method, in reading order; `cells` makes the cells of a frame's row."""
    conditions = conditions_of(frame)
    varying = identity_columns(conditions)
    rows: list[list[Cell]] = []
    facets: list[Facets] = []
    for condition, row in _rows(frame, conditions):
        rows.append([*identity(condition, varying), word(look(row["method"]).title), *cells(row)])
        facets.append(condition._asdict())
    same = constant_caption(conditions, varying)
    return Table(f"{caption} {same}".strip(), [*(TITLES[name] for name in varying), "Method", *columns], rows, facets)


def _rows(frame: pd.DataFrame, conditions: list[Condition]) -> Iterator[tuple[Condition, pd.Series]]:
    for condition in conditions:
        here = {row["method"]: row for _, row in rows_of(frame, condition).iterrows()}
        for name in in_order(here):
            yield condition, here[name]


def _wide(calibration: pd.DataFrame, measures: tuple[str, ...]) -> pd.DataFrame:
    """Return a row a cell, with columns for each measure and its mean and deviation over seeds.

    Only cells that have the first measure have a row.
    """
    keys = [*TITLES, "method"]
    chosen = calibration[calibration["measure"].isin(measures)]
    parts = [
        chosen[chosen["measure"] == name]
        .set_index(keys)[["value", "seed_mean", "seed_std"]]
        .rename(columns={"value": name, "seed_mean": f"{name}_seed_mean", "seed_std": f"{name}_seed_std"})
        for name in measures
    ]
    about = chosen[chosen["measure"] == measures[0]].set_index(keys)[["seeds", "molecules", "note"]]
    return pd.concat([about, *parts], axis=1).reset_index()


def _covered(row: pd.Series, level: int) -> Cell:
    observed = row[f"coverage_{level}"]
    expected = row[f"coverage_{level}_by_few_seeds"]
    return number_cell(f"{share(observed)} of {share(expected)}", observed)


def _with_error(text: str, error: float, places: int) -> str:
    return text if math.isnan(error) else f"{text} ± {fixed(error, places)}"
