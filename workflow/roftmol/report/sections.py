"""The evidence part of the page: which section a figure or a table belongs to, in reading order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roftmol.report.table import Table


@dataclass(frozen=True)
class Section:
    """A headed part of the page: its address, its title, what it shows in a sentence, the kinds of its figures."""

    key: str
    title: str
    lead: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Captioned:
    """A table of a section under its name; `searchable` ones get a box to search their rows, `folded` ones are shut.

    `lead` is what the table says in a sentence or two.
    """

    name: str
    table: Table
    searchable: bool = False
    folded: bool = False
    lead: str = ""


@dataclass(frozen=True)
class Filled:
    """A section with what it has to show."""

    section: Section
    tables: tuple[Captioned, ...]
    figures: tuple[Mapping[str, Any], ...]


#: A new kind of figure is named here; one that is not comes under `FURTHER`.
SECTIONS = (
    Section(
        "scores",
        "Scores",
        "Test score of each method with the hyperparameters that its seeds selected.",
        ("scores",),
    ),
    Section(
        "comparisons",
        "Comparisons",
        "Which methods are better than which, over the conditions, and how surely.",
        ("ranks", "critical_difference", "forest"),
    ),
    Section("budgets", "Number of labels", "What more labels are worth to each method.", ("budgets",)),
    Section(
        "beyond",
        "Beyond the mean score",
        "What a mean over test molecules hides: a shift of distribution, activity cliffs, how far stated "
        "probabilities and errors hold, distance from the training molecules.",
        ("shift", "cliffs", "reliability", "calibration", "similarity"),
    ),
    Section(
        "changes",
        "What fine-tuning does to the model",
        "How far the weights and what they compute move from the pretrained ones, and what lies between the two.",
        ("changes", "collapse", "embeddings", "path", "wise_path", "coefficients", "plane"),
    ),
    Section(
        "hyperparameters",
        "Selected hyperparameters",
        "How many seeds selected which hyperparameters, and the mean scores of what was selected.",
    ),
    Section(
        "cost",
        "Cost",
        "Every seed and every candidate of the search is counted. WiSE-FT and DWiSE-FT start from full FT's weights, "
        "whose time is counted with full FT.",
        ("time",),
    ),
)
FURTHER = Section("further", "Further figures", "Figures of kinds that have no section of their own.")


def fill(figures: Sequence[Mapping[str, Any]], tables: Mapping[str, Sequence[Captioned]]) -> list[Filled]:
    """The sections that have a figure or a table with a row, figures numbered as they come.

    `tables` are by the section's key. Raises `KeyError` for a key that no section has.
    """
    place = {kind: section for section in SECTIONS for kind in section.kinds}
    unknown = tables.keys() - {section.key for section in (*SECTIONS, FURTHER)}
    if unknown:
        raise KeyError(f"no section {sorted(unknown)}")
    filled, number = [], 0
    for section in (*SECTIONS, FURTHER):
        own = [figure for figure in figures if place.get(figure["kind"], FURTHER) == section]
        own.sort(key=lambda figure: section.kinds.index(figure["kind"]) if figure["kind"] in section.kinds else 0)
        numbered = tuple({**figure, "number": number + count} for count, figure in enumerate(own, start=1))
        number += len(own)
        shown = tuple(captioned for captioned in tables.get(section.key, ()) if captioned.table.rows)
        if numbered or shown:
            filled.append(Filled(section, shown, numbered))
    return filled
