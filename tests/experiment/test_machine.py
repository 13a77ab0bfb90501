"""What is found before any job starts: a configuration that is too large, and what this machine lacks."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from roftmol.core.errors import UserError
from roftmol.experiment import machine
from roftmol.experiment.config import experiment
from roftmol.features import gfn2
from roftmol.registry import catalog

ESOL = catalog.datasets()["esol"]
STRUCTURES = {"mine": replace(ESOL, name="mine", format="xyz")}


def bomb(levels: int) -> str:
    """Lists that name each other: nine times as many values with each line."""
    lines = ["a0: &a0 [esol]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"datasets: *a{levels - 1}"])


def bomb_of_mappings(levels: int) -> str:
    """The same of mappings."""
    lines = ["a0: &a0 {x: esol}"]
    lines += [f"a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in range(9))}}}" for n in range(1, levels)]
    return "\n".join([*lines, f"own_datasets: *a{levels - 1}"])


def test_anchors_that_stand_for_too_many_values_are_told():
    with pytest.raises(UserError, match=r"more than 100,000 values\. Write out what anchors repeat"):
        experiment(yaml.safe_load(bomb(12)))
    with pytest.raises(UserError, match="more than 100,000 values"):
        experiment(yaml.safe_load(bomb_of_mappings(12)))
    with pytest.raises(UserError, match="more than 100,000 values"):
        experiment(yaml.safe_load("datasets: &a [*a]"))


@pytest.mark.parametrize(
    ("key", "value"), [("learning_rate", math.inf), ("learning_rate", math.nan), ("dropout", math.nan)]
)
def test_a_number_that_is_none_is_told(key: str, value: float):
    with pytest.raises(UserError, match=rf"training\.{key}: (inf|nan) is no finite number"):
        experiment({"training": {key: value}})


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a GPU, without a batch system, without ASE."""
    monkeypatch.setattr(machine, "DRIVERS", (str(tmp_path / "nvidia"),))
    monkeypatch.setattr(machine, "BATCH_SYSTEMS", ())
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("bare")
def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(UserError, match=r"device: cuda, and this machine has no GPU\. Say `device: auto`"):
        machine.check({"esol": ESOL}, {}, "cuda", environments=False)
    machine.check({"esol": ESOL}, {}, "auto", environments=False)
    (tmp_path / "nvidia").touch()
    machine.check({"esol": ESOL}, {}, "cuda", environments=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="no GPU"):
        machine.check({"esol": ESOL}, {}, "cuda", environments=False)
    monkeypatch.setattr(machine, "BATCH_SYSTEMS", ("sh",))  # whose nodes may have some
    machine.check({"esol": ESOL}, {}, "cuda", environments=False)


@pytest.mark.usefixtures("bare")
def test_a_package_that_is_not_there_is_told():
    with pytest.raises(UserError, match="datasets: mine is an XYZ, which ASE reads, and ASE is not installed"):
        machine.check(STRUCTURES, {}, "auto", environments=False)
    machine.check(STRUCTURES, {}, "auto", environments=True)  # conda brings it
    machine.check({"esol": ESOL}, {}, "auto", environments=False)


def test_weights_on_the_hub_without_its_client_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    source = catalog.Source("hub", f"hf://someone/mine@{'0' * 40}/model.pt")
    models = {"mine": replace(catalog.checkpoints()["gin-zinc-masking"], name="mine", sources=(source,))}
    with pytest.raises(UserError, match=r"weights of mine .* `pip install huggingface_hub` does so, beside Snakemake"):
        machine.check({"esol": ESOL}, models, "auto", environments=False)
    machine.check({"esol": ESOL}, models, "auto", environments=True)  # another Python's


@pytest.mark.usefixtures("bare")
def test_descriptors_by_gfn2_without_tblite_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gfn2, "find_spec", lambda name: None)
    described = {"grids": {"hybrid": {"descriptors": ["gfn2"]}}}
    with pytest.raises(UserError, match=r"tblite, which is not installed\. Install it by .*requirements-atomistic"):
        experiment(described).check_machine(environments=False)
    experiment(described).check_machine(environments=True)
    experiment({}).check_machine(environments=False)
