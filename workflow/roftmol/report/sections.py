"""The evidence part of the page: which section a figure or a table belongs to, in reading order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roftmol.report.table import Table


@dataclass(frozen=True)
class Section:
    """A headed part of the page: its address, its title, a sentence on what it shows, the kinds of its figures.

    Figures of a kind in `opened` are seen at once, those of the others on a click; a `folded` section opens on one.
    """

    key: str
    title: str
    lead: str
    kinds: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Captioned:
    """A table of a section, under its name.

    A `searchable` table gets a box that searches its rows, a `folded` one opens on a click. `lead` says in a sentence
    or two what the table shows.
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

    @property
    def opened(self) -> list[Mapping[str, Any]]:
        """The figures that are seen at once."""
        return [figure for figure in self.figures if figure["kind"] in self.section.opened]

    @property
    def closed(self) -> dict[str, list[Mapping[str, Any]]]:
        """The other figures, by what they are of."""
        subjects: dict[str, list[Mapping[str, Any]]] = {}
        for figure in self.figures:
            if figure["kind"] not in self.section.opened:
                subjects.setdefault(figure["title"].partition(":")[0], []).append(figure)
        return subjects

    @property
    def contents(self) -> str:
        """What a folded section holds, in words."""
        counts = {"table": len(self.tables), "figure": len(self.figures)}
        return " and ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items() if n)


#: Name a new kind of figure here; a kind that no section names is shown under `FURTHER`.
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
        "Which methods are better than which, over the conditions, and how sure that is.",
        ("ranks", "critical_difference", "forest"),
        ("ranks",),
    ),
    Section(
        "panels",
        "Panels: datasets trained together",
        "What each dataset gains or loses when others train the same encoder.",
        ("loss_weights",),
        ("loss_weights",),
    ),
    Section("budgets", "Number of labels", "How much each method gains from more labels.", ("budgets",), ("budgets",)),
    Section(
        "beyond",
        "Beyond the mean score",
        "What a mean over test molecules hides: a shift of distribution, activity cliffs, how well probabilities and "
        "error bars are calibrated, distance from the training molecules.",
        ("shift", "cliffs", "reliability", "calibration", "similarity"),
    ),
    Section(
        "changes",
        "What fine-tuning does to the encoder",
        "How far weights and vectors move from the pretrained ones, and what lies between the two.",
        ("changes", "collapse", "embeddings", "path", "wise_path", "coefficients", "plane"),
        folded=True,
    ),
    Section(
        "hyperparameters",
        "Selected hyperparameters",
        "The hyperparameters that the seeds selected, and the mean scores with them.",
        folded=True,
    ),
    Section(
        "cost",
        "Cost",
        "Times count every seed and every candidate of the search. WiSE-FT and DWiSE-FT start from full FT's weights; "
        "the time for these is counted with full FT.",
        ("time",),
        folded=True,
    ),
)
FURTHER = Section("further", "Further figures", "Figures that belong to no other section.")


def fill(figures: Sequence[Mapping[str, Any]], tables: Mapping[str, Sequence[Captioned]]) -> list[Filled]:
    """Return the sections that have a figure or a table with a row, their figures numbered in order.

    `tables` are by the section's key. Raises `KeyError` for a key that no section has.
    """
    section_of = {kind: section for section in SECTIONS for kind in section.kinds}
    unknown = tables.keys() - {section.key for section in (*SECTIONS, FURTHER)}
    if unknown:
        raise KeyError(f"no section {sorted(unknown)}")
    filled = []
    number = 0
    for section in (*SECTIONS, FURTHER):
        pictures = [figure for figure in figures if section_of.get(figure["kind"], FURTHER) == section]
        pictures.sort(key=lambda figure: section.kinds.index(figure["kind"]) if figure["kind"] in section.kinds else 0)
        numbered = tuple({**figure, "number": number + count} for count, figure in enumerate(pictures, start=1))
        number += len(pictures)
        shown = tuple(captioned for captioned in tables.get(section.key, ()) if captioned.table.rows)
        if numbered or shown:
            filled.append(Filled(section, shown, numbered))
    return filled
