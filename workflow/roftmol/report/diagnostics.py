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


def tables(found: Diagnostics) -> list[Captioned]:
    """All of them, by name, in the order of the questions; long ones, so they are folded."""
    named = {
        "Shift of distribution": shift_table(found.shift),
        "Activity cliffs": cliffs_table(found.cliffs),
        "Calibration of probabilities": probabilities_table(found.calibration),
        "Calibration of errors": errors_table(found.calibration),
        "Similarity to the training molecules": similarity_table(found.similarity),
    }
    return [Captioned(name, table, folded=True) for name, table in named.items()]


def shift_table(shift: pd.DataFrame) -> Table:
    """The score in and out of distribution, and the loss with its standard error."""

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
        f"In distribution: {references}. A loss is positive where the score is worse out of distribution, ± its "
        "standard error over seeds; coloured where it exceeds twice that."
    )
    columns = ["Metric", "#In distribution", "#Out of distribution", "#Loss", "#RMSE ratio"]
    return _table(shift, columns, cells, caption)


def cliffs_table(cliffs: pd.DataFrame) -> Table:
    """RMSE on and off activity cliffs."""

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
        "Mean ± standard deviation over seeds; the gap is taken within a seed. Molecules are test molecules, the mean "
        "over seeds. Cliffs are published with the data, or computed as MoleculeACE does."
    )
    columns = ["#RMSE on cliffs", "#RMSE elsewhere", "#Gap", "#On cliffs", "#Elsewhere", "Cliffs"]
    return _table(cliffs, columns, cells, caption)


def probabilities_table(calibration: pd.DataFrame) -> Table:
    """ECE and Brier score of classification."""
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
        "ECE: the expected calibration error of the predictions of all seeds together, in bins of equal count; by "
        "chance: what true probabilities would give in the same bins. Then the mean of each seed's own, which fewer "
        "molecules make larger. Brier score: the mean squared error of probabilities, ± standard deviation over seeds."
    )
    columns = ["#ECE", "#ECE by chance", "#ECE of one seed", "#Brier score", "#Labels", "Note"]
    return _table(wide, columns, cells, caption)


def errors_table(calibration: pd.DataFrame) -> Table:
    """Coverage, ENCE and sharpness of the seeds as an ensemble, for regression."""
    covered = [f"coverage_{level}{kind}" for level in COVERAGES for kind in ("", "_by_few_seeds")]
    wide = _wide(calibration, (*covered, "ence", "sharpness", "rmse"))
    groups = wide.groupby(list(TITLES), sort=False)
    mute = (groups["rmse"].transform("count") == 0) & (groups["note"].transform("nunique") == 1)
    # Where no method has a value, all for one reason, it is said once.
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
        "The seeds as an ensemble: how many labels lie in the central 50 to 95% intervals of a normal distribution "
        "with the seeds' mean and deviation, of how many that so few seeds could hold if the label were one more draw "
        "of the same distribution; ENCE (0 is best), and the typical deviation beside the RMSE of the mean. Only test "
        "molecules that three seeds or more share."
    )
    columns = [*(f"#In {level}%" for level in COVERAGES), "#ENCE", "#Deviation", "#RMSE", "#Molecules", "Note"]
    return _table(wide, columns, cells, caption)


def similarity_table(similarity: pd.DataFrame) -> Table:
    """The error by similarity to the nearest training molecule: a column a bin."""
    edges = sorted(set(zip(similarity["lower"], similarity["upper"], strict=True)))
    by_bin = {key: rows.set_index("lower") for key, rows in similarity.groupby([*TITLES, "method"], sort=False)}

    def cells(row: pd.Series) -> list[Cell]:
        rows = by_bin[tuple(row[name] for name in (*TITLES, "method"))]
        places = decimals(rows["value"].median())
        found = []
        for lower, _ in edges:
            if lower not in rows.index:
                found.append(number_cell("", math.nan))
                continue
            value, error = rows["value"][lower], rows["error"][lower]
            found.append(number_cell(_with_error(fixed(value, places), error, places), value))
        return [word(AXES[row["measure"]]), *found]

    caption = (
        "Error on the test molecules whose similarity to the nearest training molecule lies in each range, ± standard "
        "error by molecule, over all seeds."
    )
    columns = ["Measure", *(f"#{lower:g} to {upper:g}" for lower, upper in edges)]
    return _table(similarity.drop_duplicates([*TITLES, "method"]), columns, cells, caption)


def _table(frame: pd.DataFrame, columns: list[str], cells: Callable[[pd.Series], list[Cell]], caption: str) -> Table:
    """A row a condition and method in reading order: what identifies it, then what `cells` makes of the frame's row."""
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
    """A row a cell, a column a measure and what was seen over seeds; only cells that have the first measure."""
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
    found, expected = row[f"coverage_{level}"], row[f"coverage_{level}_by_few_seeds"]
    return number_cell(f"{share(found)} of {share(expected)}", found)


def _with_error(text: str, error: float, places: int) -> str:
    return text if math.isnan(error) else f"{text} ± {fixed(error, places)}"
