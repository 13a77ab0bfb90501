"""The words of the report, each in a line or two."""

from __future__ import annotations

from roftmol.tables.descriptions.reference import descriptions

PROTOCOLS: dict[str, str] = {
    "honest": "A budget of N labels counts every label that is used, for validation and for fitting coefficients too. "
    "Subset and split are drawn anew with every seed (a size split stays, its subsets vary). Test labels are read "
    "once.",
    "paper": "As published, so that numbers can be compared. Only the training labels are cut to the budget, and one "
    "split serves all seeds, so the spread over seeds does not show the choice of molecules. Hyperparameters are "
    "still selected on validation.",
}


def table_lines() -> dict[str, str]:
    """Return a line for each table that lies in the folder of aggregated tables."""
    return {name: about.line for name, about in descriptions().items() if f"tables/{name}.parquet" in about.files}
