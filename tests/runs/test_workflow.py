"""The workflow as its users run it: `snakemake` in a process of its own, on real molecules, in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import planner
from roftmol.registry import catalog
from roftmol.tables import schemas
from small_dataset import SMILES
from workspaces import (
    BAD_SMILES,
    CONFIG,
    ENDS,
    EXACT,
    OWN_DATASETS,
    ROOT,
    RUNS,
    Workspace,
    job_counts,
    spoil,
    write_molecules,
)

SUMMARY = "results/tables/summary.parquet"
#: Those that do.
TIMED = ("timings", "summary")

pytestmark = pytest.mark.skipif(
    not (catalog.REGISTRY.parents[1] / catalog.checkpoints()["gin-zinc-masking"].sources[0].file).is_file(),
    reason="the embedded encoder's weights are not there",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run from end to end; tests that change something work on a copy."""
    code = tmp_path_factory.mktemp("code")
    for name in ("Snakefile", "config.yaml", "README.md"):
        shutil.copy2(ROOT / name, code)
    for name in ("rules", "workflow", "envs", "docs", "profiles"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    workspace = Workspace(tmp_path_factory.mktemp("finished"), code)
    write_molecules(workspace.folder / "mine.csv")
    workspace.configure()
    return replace(workspace, said=workspace.make())


@pytest.fixture
def copy(finished: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Workspace(tmp_path / "copy", finished.code)


def test_an_own_file_becomes_a_report(finished: Workspace):
    page = (finished.folder / "results/report.html").read_text()
    for title in ("Full FT", "Linear probing", "WiSE-FT", "DWiSE-FT", "Fingerprint", "mine"):
        assert title in page
    assert not re.search(r"""(src|href)=["']https?://""", page.replace("<a href", ""))
    summary = schemas.read("summary", finished.folder / "results/tables/summary.parquet")
    assert set(summary["method"]) == set(CONFIG["methods"])
    assert (summary["failed"] == 0).all()
    assert summary["mean"].between(0, 10).all()
    assert "Pretraining saw 100% of the test molecules, without labels" in page
    assert summary.set_index("method")["seen"].to_dict() == {
        name: float(name != "fingerprint") for name in CONFIG["methods"]
    }


LAST = "The report is results/report.html: open it in a browser, for example: xdg-open results/report.html"


def test_the_last_words_say_where_the_report_lies(finished: Workspace):
    assert finished.said.splitlines()[-1] == LAST
    dry = finished.run("--dry-run", "--forcerun", "report")
    assert dry.returncode == 0
    assert "xdg-open" not in dry.stdout + dry.stderr


def test_a_second_run_does_nothing(finished: Workspace):
    done = finished.run("--cores", "2")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == LAST


def test_snakemake_makes_its_own_report(finished: Workspace):
    done = finished.run("--report", "snakemake.html")
    assert done.returncode == 0, done.stderr
    assert (finished.folder / "snakemake.html").stat().st_size > 100_000


def test_a_run_killed_again_and_again_ends_with_the_same_tables_to_the_bit(finished: Workspace, tmp_path: Path):
    """One core instead of two, so another order of the jobs, in another folder.

    What is killed is started as users start it. The stages are those that write folders, parts and tables; a sweep is
    killed in a test of its own.
    """
    workspace = Workspace(tmp_path, finished.code)
    write_molecules(workspace.folder / "mine.csv")
    workspace.configure()
    started = tmp_path / "started"
    started.touch()
    # Each job's bash reads this: it writes down the stage and is otherwise as before.
    (tmp_path / "note.sh").write_text(f'command() {{ echo "$4" >>{started}; builtin command "$@"; }}\n')
    environment = {**os.environ, "BASH_ENV": str(tmp_path / "note.sh")}
    for stage in ("molecules", "finetune", "aggregate"):
        with subprocess.Popen(
            workspace.command("--cores", "1", "--rerun-incomplete"),
            cwd=workspace.folder,
            env=environment,
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        ) as running:
            while stage not in started.read_text().split():
                assert running.poll() is None, f"it ended before {stage}"
                time.sleep(0.02)
            time.sleep(1.5)  # into the middle of it: a stage's imports alone take about so long
            os.killpg(running.pid, signal.SIGKILL)
        assert workspace.run("--unlock").returncode == 0
    tables = finished.folder / "results/tables"
    names = {path.name for path in tables.glob("*.parquet")} - {f"{name}.parquet" for name in TIMED}
    assert {f"{name}.parquet" for name in EXACT} < names
    made = [f"results/tables/{name}" for name in sorted(names)]
    done = workspace.run("--cores", "1", "--rerun-incomplete", *made)
    assert done.returncode == 0, done.stderr
    differing = [
        name for name in names if (tables / name).read_bytes() != (tmp_path / "results/tables" / name).read_bytes()
    ]
    assert differing == []


def test_a_second_start_in_the_same_folder_is_refused(copy: Workspace):
    (copy.folder / "wait.sh").write_text("command() { sleep 60; }\n")
    environment = {**os.environ, "BASH_ENV": str(copy.folder / "wait.sh")}
    command = copy.command("--cores", "1", "--forcerun", "plot")
    with subprocess.Popen(
        command, cwd=copy.folder, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    ) as running:
        try:
            while not list((copy.folder / ".snakemake" / "locks").glob("*output*")):
                assert running.poll() is None
                time.sleep(0.02)
            second = copy.run("--cores", "1", "--forcerun", "plot")
        finally:
            os.killpg(running.pid, signal.SIGKILL)
    assert second.returncode != 0
    assert "cannot be locked" in second.stderr


def test_a_touch_starts_nothing(copy: Workspace, finished: Workspace):
    weights = copy.folder / "results/checkpoints/gin-zinc-masking.safetensors"
    assert weights.stat().st_size > 1_000_000  # beyond which Snakemake by itself looks at times alone
    weights.touch()
    (copy.folder / "mine.csv").touch()
    for path in (finished.code / "workflow" / "roftmol").rglob("*.py"):
        path.touch()
    assert copy.jobs() == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"seeds": [0, 1]},
            {"split": 1, "baseline": 1, "finetune": 2, "interpolate": 2, "landscape": 1, **ENDS},
        ),
        (
            {"budgets": [20, 30]},
            {"split": 1, "baseline": 1, "finetune": 2, "interpolate": 2, "landscape": 1, **ENDS},
        ),
        (
            {"datasets": ["mine", "yours"], "own_datasets": {**OWN_DATASETS, "yours": OWN_DATASETS["mine"]}},
            {
                **{"fetch_data": 1, "molecules": 1, "featurize": 1, "split": 1, "overlap": 1},
                **{"baseline": 1, "finetune": 2, "interpolate": 2, "landscape": 1, **ENDS},
            },
        ),
        ({"methods": [*CONFIG["methods"], "bss"]}, {"finetune": 1, **ENDS}),
        # Full FT's weights are there, those of linear probing are no others; surgical FT is fitted to be read alone.
        ({"methods": [*CONFIG["methods"], "wise_ft+kernel"]}, {"tuned_head": 1, **ENDS}),
        (
            {"methods": [*CONFIG["methods"], "surgical_ft+hybrid"]},
            {"finetune": 1, "descriptors": 1, "tuned_head": 1, **ENDS},
        ),
        ({"grids": CONFIG["grids"] | {"dwise_ft": {"start": [0.5, 0.9]}}}, {"interpolate": 1, "landscape": 1, **ENDS}),
        ({"training": {"epochs": 3}}, {"finetune": 2, "interpolate": 2, "landscape": 1, **ENDS}),
        ({"selection": "oracle"}, ENDS),
        ({"leave_out_contaminated": ["structures"]}, ENDS),
        ({"landscape": False}, ENDS),
        (
            {"models": ["gin-zinc-masking", "gin-untrained"]},
            {"fetch_checkpoint": 1, "provenance": 1, "finetune": 2, "interpolate": 2, "landscape": 1, **ENDS},
        ),
    ],
)
def test_only_what_changed_is_planned(copy: Workspace, change: Mapping[str, Any], expected: dict[str, int]):
    copy.configure(**change)
    assert copy.jobs() == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["methods/linear_probing.py", "methods/bss.py"], {"finetune": 1, **ENDS}),  # bss is not in the experiment
        (["methods/dwise_ft.py", "methods/fingerprint.py"], {"interpolate": 1, "landscape": 1, "baseline": 1, **ENDS}),
        (["training/forward.py"], {"finetune": 2, "interpolate": 2, "landscape": 1, **ENDS}),
        (["training/landscape.py"], {"landscape": 1, **ENDS}),
        (["figures/forest.py"], {"plot": 1, "report": 1}),
        (["../../README.md", "../../docs/methods.md"], {}),
        (["data/overlap.py"], {"overlap": 1, **ENDS}),
        (["evaluation/contamination.py"], ENDS),
        (["evaluation/diagnostics/shift.py"], {"diagnostics": 1, "plot": 1, "report": 1}),
        (["report/page.css"], {"report": 1}),
    ],
)
def test_an_edit_reruns_what_depends_on_it(finished: Workspace, files: list[str], expected: dict[str, int]):
    assert jobs_after_edits(finished, files) == expected


def jobs_after_edits(workspace: Workspace, files: list[str]) -> dict[str, int]:
    """How many jobs of each rule a run would start if these files of the code were edited."""
    paths = [workspace.code / "workflow" / "roftmol" / file for file in files]
    before = {path: path.read_bytes() for path in paths}
    for path, content in before.items():
        # A line of code where there is code: an empty line or a comment would start nothing.
        path.write_bytes(content + (b"\n_EDITED = 0\n" if path.suffix == ".py" else b"\n"))
    try:
        return workspace.jobs()
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def test_methods_with_heads_in_their_own_ones_place(copy: Workspace):
    """From the fits that are there to the tables, and what is repeated then."""
    fitted = copy.parts("full_ft")
    methods = ["full_ft", "full_ft+hybrid", "wise_ft", "wise_ft+kernel"]
    copy.configure(methods=methods)
    copy.make(SUMMARY)
    assert copy.parts("full_ft") == fitted
    summary = schemas.read("summary", copy.folder / "results/tables/summary.parquet").set_index("method")
    assert summary.index.tolist() == methods
    assert (summary["failed"] == 0).all()
    assert summary["seen"].to_dict() == dict.fromkeys(methods, 1.0)
    assert copy.jobs() == {rule: count for rule, count in ENDS.items() if rule != "aggregate"}
    one, mixed = {"tuned_head": 1, **ENDS}, {"interpolate": 1, "tuned_head": 1, **ENDS}
    assert jobs_after_edits(copy, ["methods/hybrid.py"]) == one
    assert jobs_after_edits(copy, ["methods/kernel.py", "methods/l2_sp.py"]) == one
    assert jobs_after_edits(copy, ["methods/wise_ft.py"]) == mixed
    assert jobs_after_edits(copy, ["training/tuned_heads.py"]) == {"tuned_head": 2, **ENDS}
    copy.configure(methods=methods, grids={"wise_ft": {"alpha": [0, 0.5]}})
    assert copy.jobs() == mixed
    copy.configure(methods=methods, seeds=[0, 1])
    everything = {"split": 1, "finetune": 1, "interpolate": 1, "tuned_head": 2, "landscape": 1}
    assert copy.jobs() == {**everything, **ENDS}


def test_another_source_reruns_its_data_set_alone(copy: Workspace):
    shutil.copy2(copy.folder / "mine.csv", copy.folder / "yours.csv")
    two = {
        "own_datasets": {**OWN_DATASETS, "yours": OWN_DATASETS["mine"] | {"path": "yours.csv"}},
        "datasets": ["mine", "yours"],
    }
    copy.configure(**two)
    added = copy.jobs()
    with open(copy.folder / "mine.csv", "a") as stream:
        stream.write("CCCCCCCCO,3.1\n")
    # as much again for the file that changed as for the one that is new
    assert copy.jobs() == {rule: count + (rule not in ENDS) * count for rule, count in added.items()}


def test_what_is_contaminated_can_be_left_out(copy: Workspace):
    copy.configure(leave_out_contaminated=["structures"])
    copy.make(SUMMARY)
    tables = copy.folder / "results/tables"
    assert schemas.read("summary", tables / "summary.parquet")["method"].tolist() == ["fingerprint"]
    assert set(schemas.read("left_out", tables / "left_out.parquet")["method"]) == set(CONFIG["methods"]) - {
        "fingerprint"
    }


def test_a_larger_grid_and_another_seed_keep_the_finished_fits(copy: Workspace):
    before = {method: copy.parts(method) for method in ("full_ft", "wise_ft", "linear_probing")}
    copy.configure(seeds=[0, 1], grids=CONFIG["grids"] | {"wise_ft": {"alpha": [0, 0.25, 0.5, 0.75, 0.9, 1]}})
    copy.make("results/tables/alphas.parquet")
    assert set(copy.tables()["alphas"]["alpha"]) == {0, 0.25, 0.5, 0.75, 0.9, 1}
    assert set(copy.tables()["alphas"]["seed"]) == {0, 1}
    for method, parts in before.items():
        now = copy.parts(method)
        assert parts.items() < now.items(), method
        added = 2 if method == "wise_ft" else 0
        assert len(now) == 2 * len(parts) + added


def test_a_killed_run_goes_on_where_it_was(copy: Workspace):
    undisturbed = copy.tables()
    shutil.rmtree(copy.folder / RUNS / "wise_ft")
    shutil.rmtree(copy.folder / "results/tables")
    target = "results/tables/alphas.parquet"
    with subprocess.Popen(
        copy.command("--cores", "2", target), cwd=copy.folder, start_new_session=True, stderr=subprocess.DEVNULL
    ) as running:
        while not copy.parts("wise_ft"):
            assert running.poll() is None, "it ended without a finished fit"
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGKILL)
    saved = copy.parts("wise_ft")
    assert copy.run("--unlock").returncode == 0
    copy.make("--rerun-incomplete", target)
    assert saved.items() <= copy.parts("wise_ft").items()  # not fitted again
    for name, table in copy.tables().items():
        pd.testing.assert_frame_equal(table, undisturbed[name])


def test_a_label_that_no_job_would_read_starts_none(tmp_path: Path):
    write_molecules(tmp_path / "mine.csv")
    lines = (tmp_path / "mine.csv").read_text().splitlines()
    (tmp_path / "mine.csv").write_text("\n".join([*lines, "CCO,soluble"]))
    workspace = Workspace(tmp_path)
    workspace.configure()
    done = workspace.run("--dry-run")
    assert done.returncode == 2
    told = f"mine.csv: column 'logP', line {len(lines) + 1}: the label 'soluble' is not a"
    assert done.stderr.splitlines()[-1].startswith(told)


#: A user's own code that the system kills, as it does what takes too much memory.
KILLED = "import os, signal\ndef featurize(molecule):\n    os.kill(os.getpid(), signal.SIGKILL)\n"


def test_a_stage_that_fails_has_the_last_word(tmp_path: Path):
    workspace = Workspace(tmp_path)
    write_molecules(tmp_path / "mine.csv")
    spoil(tmp_path / "mine.csv")
    workspace.configure()
    done = workspace.run("--cores", "2")
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[-1] == BAD_SMILES
    assert said[-2] == "molecules failed: Read the molecules of mine (log: results/logs/molecules/mine.log)"
    assert (tmp_path / "results/logs/molecules/mine.log").read_text() == f"{BAD_SMILES}\n"
    assert "latency" not in done.stderr
    assert "xdg-open" not in done.stderr


def test_every_stage_that_fails_is_told_and_a_killed_one_too(tmp_path: Path):
    """One stage is killed by the system, one refuses its input; the user is told even if told nothing else."""
    workspace = Workspace(tmp_path, forked=False)
    for name in ("mine", "yours"):
        write_molecules(tmp_path / f"{name}.csv")
    spoil(tmp_path / "mine.csv")
    (tmp_path / "own.py").write_text(KILLED)
    (tmp_path / "own.pt").touch()
    model = {"code": "own.py", "weights": "own.pt", "embed": ["a"], "pooling": "mean", "readout": [], "blocks": [["b"]]}
    workspace.configure(
        own_datasets={name: OWN_DATASETS["mine"] | {"path": f"{name}.csv"} for name in ("mine", "yours")},
        own_models={"own": model | {"pretraining": "self-supervised"}},
        models=["own"],
        datasets=["mine", "yours"],
    )
    targets = [f"results/data/{name}/graphs/own.safetensors" for name in ("mine", "yours")]
    done = workspace.run("--cores", "2", "--keep-going", "--quiet", "all", "--", *targets)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[-5:] == [
        "featurize failed: Featurize yours for own (log: results/logs/featurize/yours/own.log)",
        "error: killed by signal 9: out of memory? Fewer jobs at a time (--cores) leave more memory to each.",
        "",
        "molecules failed: Read the molecules of mine (log: results/logs/molecules/mine.log)",
        BAD_SMILES,
    ]


def test_a_wrong_configuration_is_told_in_one_message(tmp_path: Path):
    workspace = Workspace(tmp_path)
    write_molecules(tmp_path / "mine.csv")
    workspace.configure(datasets=["mien"])
    message = workspace.error()
    assert "Traceback" not in message
    assert "datasets: 'mien' is not known; did you mean 'mine'?" in message


def test_the_default_experiment_is_planned_with_the_slurm_profile(tmp_path: Path):
    """As typed from the root: the profile resolves, and names rules that are there."""
    command = ["--profile", "slurm", "--directory", str(tmp_path), "--dry-run", "--quiet", "rules"]
    dry = planner.run(command, ROOT, os.environ)
    counts = job_counts(dry)
    assert (counts["finetune"], counts["interpolate"], counts["baseline"], counts["head"]) == (48, 12, 4 * 3, 2 * 3)
    profile = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text())
    assert profile["set-resources"].keys() - counts.keys() == {"pretrain"}


def test_the_papers_comparison_is_planned_with_what_it_costs(tmp_path: Path):
    """Of one model and one budget; `test_config` counts the jobs of all."""
    command = ["--configfile", "config/paper.yaml", "--directory", str(tmp_path), "--dry-run", "--quiet", "rules"]
    command += ["--config", "models=[gin-zinc-masking]", "budgets=[50]"]
    dry = planner.run(command, ROOT, os.environ)
    counts = job_counts(dry)
    cells = 12 * 3
    assert (counts["finetune"], counts["interpolate"], counts["baseline"]) == (8 * cells, 2 * cells, 2 * cells)
    told = rf"^{10 * cells} fine-tuning and interpolation jobs .* at most .* core-hours"
    assert re.search(told, dry.stdout + dry.stderr, re.M)


@pytest.mark.parametrize("flag", ["-n", "--dry-run"])
def test_a_dry_run_of_a_recommendation_brings_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.delenv("ROFTMOL_OFFLINE")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    lines = [f"{text},{number}" for number, text in enumerate(SMILES)]
    (tmp_path / "mine.csv").write_text("\n".join(["smiles,y", *lines]))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"data": "mine.csv"}))
    done = Workspace(tmp_path).run(flag, "--cores", "2", "recommend")
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert "MiniMol, which is better, is brought by a run, where it can be had." in told
    assert told.index(f"target `y`, regression, {len(SMILES)} labels, column `smiles`") < told.index("The encoder is")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("target", "key", "name"),
    [
        ("results/data/cep/molecules.parquet", "datasets", "cep"),
        ("results/runs/honest/gin-zinc-masking/cep/random-20/full_ft/fits.parquet", "datasets", "cep"),
        ("results/checkpoints/nobody.safetensors", "models", "nobody"),
        ("results/vectors/minimol/mine.safetensors", "models", "minimol"),
    ],
)
def test_a_target_of_what_the_experiment_does_not_name_is_refused(target: str, key: str, name: str, tmp_path: Path):
    write_molecules(tmp_path / "mine.csv")
    workspace = Workspace(tmp_path)
    workspace.configure(files={})
    done = workspace.run("--dry-run", target)
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert f"error: The target is of '{name}', which this experiment does not name under `{key}`: add it there" in said
    assert "Traceback" not in said
