"""What panels leave beside their datasets' runs, put together: joint fits with their parts, and exposures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from roftmol.core.errors import UserError
from roftmol.sharing import merge as merging
from roftmol.tables import schemas

JOINT = Path("panels/honest/tiny/liver/random-30/joint_ft")
EXPOSURE = Path("exposure/honest/liver/random-30.parquet")
CELL = {"protocol": "honest", "split": "random", "budget": "30"}


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch):
    """Tables and report are made of runs, which are none here."""
    monkeypatch.setattr(merging, "build", lambda *_: None)


def folder(
    place: Path,
    seeds: tuple[int, ...],
    *,
    datasets: tuple[str, ...] = ("one", "two"),
    weightings: tuple[str, ...] = ("equal",),
    exposed: int = 3,
) -> Path:
    """A results folder with a panel's joint fits and exposures alone; a part says which folder it is of."""
    (place / "runs").mkdir(parents=True)
    fits = pd.DataFrame(
        [
            CELL
            | {"model": "tiny", "dataset": dataset, "method": "joint_ft", "setting": weighting, "seed": seed, "fold": 0}
            | {"status": "ok", "part": f"{weighting}-{seed}.safetensors", "host": place.name}
            for weighting in weightings
            for seed in seeds
            for dataset in datasets
        ],
        columns=list(schemas.TABLES["fits"].columns),
    )
    texts = [name for name, kind in schemas.TABLES["fits"].columns.items() if str(kind) == "string"]
    numbers = [name for name in fits if name not in texts]
    fits = fits.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, "") | dict.fromkeys(numbers, 0))
    schemas.write("fits", fits, place / JOINT / "fits.parquet")
    for fit in fits.itertuples():
        part = place / JOINT / "parts" / str(fit.dataset) / str(fit.part)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(place.name)
    exposure = pd.DataFrame(
        [
            CELL
            | {"dataset": dataset, "panel": "liver", "seed": seed, "partition": "test", "molecules": 9}
            | {"exposed": exposed, "most_by": "two", "most": 1, "records": [4]}
            for dataset in datasets
            for seed in seeds
        ]
    )
    schemas.write("exposure", exposure, place / EXPOSURE)
    return place


def merged(tmp_path: Path, *sources: Path, **settings: object) -> Path:
    merging.merge(list(sources), tmp_path / "c", merging.MergeSettings(**settings))
    return tmp_path / "c"


def joint_fits(results: Path) -> pd.DataFrame:
    return schemas.read("fits", results / JOINT / "fits.parquet")


def test_seeds_weightings_and_datasets_of_a_panel_come_together_with_their_parts(tmp_path: Path):
    a = folder(tmp_path / "a", (0, 1))
    b = folder(tmp_path / "b", (2,), datasets=("two", "three"), weightings=("equal", "learned"))
    both = merged(tmp_path, a, b)
    fits = joint_fits(both)
    assert len(fits) == 4 + 4
    assert not fits.duplicated(list(schemas.TABLES["fits"].key)).any()
    for fit in fits.itertuples():
        part = both / JOINT / "parts" / str(fit.dataset) / str(fit.part)
        assert part.read_text() == fit.host, part  # of the folder that its row is of
    exposure = schemas.read("exposure", both / EXPOSURE)
    assert set(exposure["seed"]) == {0, 1, 2}
    assert len(exposure) == 4 + 2


def test_a_joint_fit_that_both_have_is_there_once_and_the_first_folders(tmp_path: Path):
    a, b = folder(tmp_path / "a", (0, 1)), folder(tmp_path / "b", (1, 2))
    fits = joint_fits(merged(tmp_path, a, b))
    assert len(fits) == 2 * 3
    assert fits.groupby("seed")["host"].unique().map(list).to_dict() == {0: ["a"], 1: ["a"], 2: ["b"]}
    for seed, name in ((0, "a"), (1, "a"), (2, "b")):
        assert (tmp_path / "c" / JOINT / "parts/two" / f"equal-{seed}.safetensors").read_text() == name


def test_the_preferred_folder_is_the_first(tmp_path: Path):
    a, b = folder(tmp_path / "a", (1,)), folder(tmp_path / "b", (1,))
    both = merged(tmp_path, a, b, prefer=b)
    assert set(joint_fits(both)["host"]) == {"b"}
    assert (both / JOINT / "parts/one/equal-1.safetensors").read_text() == "b"


def test_parts_are_left_out_where_nobody_wants_them(tmp_path: Path):
    both = merged(tmp_path, folder(tmp_path / "a", (0,)), folder(tmp_path / "b", (1,)), parts=False)
    assert len(joint_fits(both)) == 4
    assert not list(both.rglob("parts"))


def test_exposures_of_one_seed_that_differ_are_an_error_whatever_is_preferred(tmp_path: Path):
    a, b = folder(tmp_path / "a", (0, 1)), folder(tmp_path / "b", (1, 2), exposed=4)
    for settings in ({}, {"prefer": a}):
        with pytest.raises(UserError, match=r"a/exposure/.*b/exposure/.*: seed 1 of exposure differs\. Leave"):
            merged(tmp_path, a, b, **settings)
    assert not (tmp_path / "c").exists()
