"""Several targets in one bundle: the numbers of their own bundles, computed once, in a file that is read closed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from roftmol.deploy import bundle, panel_bundle
from roftmol.deploy.bundle import Bundle
from roftmol.deploy.panel_bundle import PanelBundle
from small_bundles import of_constant, of_network

NEW = ["CCO", "c1ccccc1", "C(", "", "C", "CCO"]


def through(bundles: dict[str, Bundle], path: Path) -> PanelBundle:
    panel_bundle.write(bundles, path)
    read = bundle.read(path)
    assert isinstance(read, PanelBundle)
    return read


def test_a_file_gives_the_bundles_back(tmp_path: Path):
    bundles = {"log S": of_network(), "b": of_constant()}
    read = through(bundles, tmp_path / "a.roftmol")
    assert list(read.bundles) == ["log S", "b"]
    found = read.predict(NEW)
    assert found.columns.tolist() == read.columns
    for target, one in bundles.items():
        own = found[[f"{target}_{name}" for name in one.columns]].set_axis(one.columns, axis=1)
        pd.testing.assert_frame_equal(own, one.predict(NEW), check_exact=True)
