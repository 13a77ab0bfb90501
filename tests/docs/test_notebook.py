"""The notebook runs from its first cell to its last, and prints what it shows."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import notebooks

NOTEBOOK = Path(__file__).parents[2] / "examples" / "solubility100.ipynb"
NUMBER = re.compile(r"-?\d+\.\d+")


def shown(cell: dict[str, Any]) -> str:
    return "".join(line for output in cell["outputs"] for line in output["text"])


def test_the_notebook_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """But the last digits, which another processor's sums may change."""
    shutil.copy(NOTEBOOK.with_suffix(".csv"), tmp_path)
    monkeypatch.chdir(tmp_path)
    cells = notebooks.code_cells(NOTEBOOK)
    printed = list(notebooks.run(cells))
    assert len(printed) > 3
    for cell, text in zip(cells, printed, strict=True):
        assert NUMBER.sub("#", text) == NUMBER.sub("#", shown(cell))
        numbers = [[float(number) for number in NUMBER.findall(words)] for words in (text, shown(cell))]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.05)


def test_its_links_lead_somewhere():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    text = "".join(line for cell in cells if cell["cell_type"] == "markdown" for line in cell["source"])
    links = re.findall(r"\]\(([^()\s]+)\)", text)
    assert links
    assert [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []
