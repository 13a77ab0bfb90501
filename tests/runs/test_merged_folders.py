"""Two results folders of some seeds each, put together: what one run of all seeds gives."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from roftmol import figures, statistics
from roftmol.cli.main import main
from roftmol.core.files import sha256
from roftmol.core.paths import Found
from roftmol.evaluation import aggregate, atom_embeddings, diagnostics
from roftmol.sharing import verify
from roftmol.tables import schemas
from small_results import METHODS, TIMES, made, make, run_of

TABLES = (*aggregate.TABLES, *diagnostics.TABLES, *atom_embeddings.TABLES, *statistics.TABLES)


def exact(name: str, file: Path) -> pd.DataFrame:
    """A table without its times, and without the names of finished fits, which the bytes of their inputs make."""
    return schemas.read(name, file).drop(columns=[*TIMES, "part"] if name == "fits" else list(TIMES), errors="ignore")


def files(folder: Path) -> dict[str, tuple[str, int]]:
    return {str(path): (sha256(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_seeds_of_two_folders_are_those_of_one_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(figures, "draw", partial(figures.draw, kinds=[figures.scores]))  # each kind takes seconds
    a, b = (make(tmp_path / name / "results", seeds) for name, seeds in {"a": (0, 1), "b": (2,)}.items())
    whole = made(tmp_path / "whole", (0, 1, 2))
    before = files(a) | files(b)
    merged = tmp_path / "c" / "results"
    main(["merge", str(a), str(b), "-o", str(merged)])
    assert capsys.readouterr().out == f"{merged / 'report.html'}\n"
    assert files(a) | files(b) == before
    for name in TABLES:
        found, expected = (exact(name, place / "tables" / f"{name}.parquet") for place in (merged, whole))
        pd.testing.assert_frame_equal(found, expected, obj=name)
    assert not exact("planes", merged / "tables/planes.parquet").empty
    for file in Found(whole).tables:
        name = schemas.marks(file)["roftmol.table"]
        pd.testing.assert_frame_equal(exact(name, merged / file.relative_to(whole)), exact(name, file), obj=str(file))
    for method in METHODS:
        named = schemas.read("fits", run_of(merged, method) / "fits.parquet")["part"]
        assert {part.name for part in (run_of(merged, method) / "parts").glob("*")} == set(named) - {""}
    page = (merged / "report.html").read_text()
    assert "Machines and software" in page
    assert page.count("<th") > 10
    assert str(verify.verify(merged)).endswith("all agree within 1e-12, relative")
