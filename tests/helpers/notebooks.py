"""Notebooks without Jupyter: their code cells, run one after the other as Python."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run(cells: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what each cell prints; all share their names."""
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells, 1):
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
        yield printed.getvalue()
