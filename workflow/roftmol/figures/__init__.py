"""Tables to pictures: every figure of the report, as SVG and PNG, with a manifest of titles, captions and alt texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from roftmol import statistics
from roftmol.core.files import atomic
from roftmol.figures import (
    budgets,
    changes,
    cliffs,
    coefficients,
    collapse,
    critical_difference,
    embeddings,
    forest,
    loss_weights,
    path,
    plane,
    ranks,
    reliability,
    scores,
    shift,
    similarity,
    time,
    wise_path,
)
from roftmol.figures.cells import Diagnostics, Results
from roftmol.figures.pages import Drawing
from roftmol.figures.style import RC
from roftmol.tables import schemas

__all__ = ["draw"]

KINDS = (
    *(scores, budgets, wise_path, coefficients, ranks, time),
    *(critical_difference, forest, loss_weights),
    *(shift, cliffs, reliability, similarity),
    *(changes, collapse, embeddings, path, plane),
)


def draw(tables: Path, out: Path, kinds: Sequence[ModuleType] = KINDS) -> None:
    """Draw every figure of these `kinds` that the tables allow into `out`, also for narrow windows.

    `out/figures.json` lists them.

    Equal tables give equal bytes. Raises `UserError` if a table is missing or of another version.
    """
    landscapes, pictures = ("paths", "planes"), ("embeddings", "tsne")
    of_runs = ("summary", "selected", "alphas", "coefficients", "loss_weights", "changes")
    names = (*of_runs, *landscapes, *pictures, *statistics.TABLES)
    read = {name: schemas.read(name, Path(tables) / f"{name}.parquet") for name in names}
    results = Results(**read, diagnostics=Diagnostics.read(Path(tables)))
    with matplotlib.rc_context(RC):
        manifest = [_save(drawing, Path(out)) for kind in kinds for drawing in kind.drawings(results)]
    with atomic(Path(out) / "figures.json") as temporary:
        temporary.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _save(drawing: Drawing, out: Path) -> dict[str, object]:
    """Save a drawing in both formats and for a narrow window, and return its entry in the manifest."""
    _write_svg(drawing.figure, out / f"{drawing.name}.svg", drawing.title)
    _write_svg(drawing.narrow(), out / f"{drawing.name}-narrow.svg", drawing.title)
    drawing.figure.set_layout_engine("none")  # all has its place by now
    drawing.figure.set_dpi(200)
    with atomic(out / f"{drawing.name}.png") as temporary:
        FigureCanvasAgg(drawing.figure).print_png(temporary)
    return {
        "file": f"{drawing.name}.svg",
        "narrow": f"{drawing.name}-narrow.svg",
        "png": f"{drawing.name}.png",
        "kind": drawing.kind,
        "title": drawing.title,
        "caption": drawing.caption,
        "alt": drawing.alt,
        "width": drawing.figure.get_figwidth(),
        "facets": drawing.facets,
    }


def _write_svg(figure: Figure, path: Path, title: str) -> None:
    """Write a figure by its canvas, which draws it once; `savefig` draws it twice, the first time for its layout."""
    with atomic(path) as temporary:
        FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None, "Title": title})
