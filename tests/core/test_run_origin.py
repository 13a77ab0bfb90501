"""What results say of where they are from: enough to trace them, nothing that names a machine or a time."""

from __future__ import annotations

import platform
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import small_results
from roftmol.core import run_origin
from roftmol.core.paths import Found
from roftmol.core.run_origin import code, origin
from roftmol.tables import schemas
from roftmol.training.cell import FitConfiguration


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout" / "workflow" / "roftmol"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("x = 1\n")
    return folder


def git(package: Path, *arguments: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *who, "-C", str(package.parents[1]), *arguments], check=True, capture_output=True)


def test_code_is_told_by_the_commit_it_stands_at(package: Path):
    plain = code(package)
    assert re.search(r"code [0-9a-f]{16}$", plain)
    (package.parents[1] / "pyproject.toml").write_text('[project]\nversion = "4.5.6"\n')
    git(package, "init")
    assert code.__wrapped__(package).endswith(plain.split(", ")[-1])  # in a repository, but none of its files
    git(package, "add", ".")
    git(package, "commit", "-m", "first")
    committed = code.__wrapped__(package)
    assert re.search(r"commit [0-9a-f]{12}$", committed)
    (package.parents[1] / "config.yaml").write_text("seeds: [1]\n")
    assert code.__wrapped__(package) == committed  # the configuration is not code
    (package / "b.py").write_text("y = 2\n")
    dirty = code.__wrapped__(package)
    assert dirty.startswith(f"{committed}, dirty, code ")
    (package / "b.py").write_text("y = 3\n")
    assert code.__wrapped__(package) != dirty


def test_origins_differ_by_settings_and_software_alone():
    assert origin({"a": 1}) == origin({"a": 1})
    assert origin({"a": 1}).configuration != origin({"a": 2}).configuration
    assert origin({"a": 1}).environment == origin({"a": 2}).environment
    assert origin(details=["threads 2"]).environment != origin(details=["threads 1"]).environment
    assert origin(accelerator="A GPU").host.endswith(", A GPU")
    assert platform.node() not in str(origin())


def test_the_models_of_gpus_are_those_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in (1, 2):
        (tmp_path / f"0000:0{number}:00.0").mkdir()
        text = "Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   \t\t 91\n"
        (tmp_path / f"0000:0{number}:00.0" / "information").write_text(text)
    monkeypatch.setattr(run_origin, "GPUS", tmp_path)
    assert run_origin._accelerators.__wrapped__() == "NVIDIA A100-SXM4-80GB"


def test_tables_say_what_made_them_and_are_made_alike_again(tmp_path: Path):
    one, two = (small_results.make(tmp_path / name, (0,)) for name in ("one", "two"))
    for file in Found(one).tables:
        marks = schemas.marks(file)
        assert {f"roftmol.{name}" for name in schemas.ORIGIN} < marks.keys()
        assert marks["roftmol.code"] == code()
        if marks["roftmol.table"] != "fits":
            assert file.read_bytes() == (two / file.relative_to(one)).read_bytes(), file
    runs = small_results.run_of(one, "full_ft")
    assert schemas.marks(runs / "predictions.parquet")["roftmol.configuration"]
    fits = schemas.read("fits", runs / "fits.parquet").iloc[0]
    told = FitConfiguration("regression", "rmse", small_results.TRAINING)
    assert fits["configuration"] == origin(told).configuration
    longer = replace(told, training=replace(small_results.TRAINING, epochs=9))
    assert fits["configuration"] != origin(longer).configuration
    assert re.search(r"torch \S+, .*threads \d+, products by \w+$", fits["software"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", fits["started"])
