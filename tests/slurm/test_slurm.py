"""`snakemake --profile slurm` on a real Slurm: what fails is tried again, and the tables are those of a local run.

One run meets all mishaps at once; the tests look at it from different sides. `make test-slurm` runs them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import cluster
from workspaces import BAD_SMILES, ROOT, RUNS, SNAKEMAKE, Workspace, spoil, write_molecules

MISHAPS = {"linear_probing": "fail", "l2_sp": "hang", "full_ft": "kill"}
METHODS = [*MISHAPS, "wise_ft", "fingerprint"]
#: The last table before the statistics; what follows needs no other kind of node.
TARGET = "results/tables/summary.parquet"
FITS = str(RUNS / "full_ft" / "fits.parquet")
#: What no two runs share: when a fit began, how long it took, what its process held.
MEASURED = {"started", "wall_seconds", "cpu_seconds", "peak_memory_mb"}


@dataclass(frozen=True)
class Cluster:
    """A folder in which the profile is used, and what its jobs wrote down."""

    workspace: Workspace
    notes: Path

    def command(self, *arguments: str) -> list[str]:
        """Snakemake with the profile as a site without accounting has it, in a hurry: a minute for each attempt of a
        fit, the shortest limit that Slurm knows.
        """
        profile = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text())
        profile["set-resources"]["finetune"]["runtime"] = "attempt"
        profile |= {"slurm-status-command": "squeue", "slurm-init-seconds-before-status-checks": 1, "latency-wait": 5}
        own = self.workspace.folder / "profile"
        own.mkdir(exist_ok=True)
        (own / "config.yaml").write_text(yaml.safe_dump(profile))
        files = ["--directory", str(self.workspace.folder), "--configfile", str(self.workspace.folder / "own.yaml")]
        return [str(SNAKEMAKE), "--profile", str(own), *arguments, *files]

    @property
    def environment(self) -> dict[str, str]:
        named = {"BASH_ENV": str(Path(__file__).parent / "mishaps.sh"), "MISHAPS": str(self.notes)}
        return {name: value for name, value in os.environ.items() if name != "ROFTMOL_MIRROR"} | named

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def jobs(self, stage: str, name: str = "") -> list[str]:
        """The lines that the jobs of a stage wrote, in their order."""
        lines = (self.notes / "jobs").read_text().splitlines()
        return [line for line in lines if line.split()[0] == stage and name in [*line.split()[1:2], ""]]


def prepared(folder: Path) -> Workspace:
    workspace = Workspace(folder)
    write_molecules(folder / "mine.csv")
    workspace.configure(methods=METHODS, seeds=[0, 1, 2])
    return workspace


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    cluster.install()
    with cluster.running(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = prepared(tmp_path_factory.mktemp("local"))
    workspace.make(TARGET)
    return workspace


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    notes = tmp_path_factory.mktemp("notes")
    for method, mishap in MISHAPS.items():
        (notes / method).mkdir()
        (notes / method / mishap).touch()
    found = Cluster(prepared(tmp_path_factory.mktemp("cluster")), notes)
    done = found.run(TARGET)
    assert done.returncode == 0, done.stdout + done.stderr
    return found


def test_the_tables_are_a_local_runs_to_the_bit(run: Cluster, local: Workspace):
    ours, theirs = (_tables(workspace.folder / "results/tables") for workspace in (run.workspace, local))
    assert len(ours) >= 15
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_a_job_that_fails_is_tried_again_with_more(run: Cluster):
    assert (run.notes / "linear_probing" / "done").exists()
    given = [re.search(r"MinMemoryNode=(\S+)", line)[1] for line in run.jobs("finetune", "linear_probing")]  # type: ignore[index]
    assert given == ["4000M", "8000M"]  # as the rule says; nothing of it stands in the profile


def test_a_job_that_takes_too_long_is_given_more_time(run: Cluster):
    limits = [re.search(r"TimeLimit=(\S+)", line)[1] for line in run.jobs("finetune", "l2_sp")]  # type: ignore[index]
    assert limits == ["00:01:00", "00:02:00"]


def test_a_killed_job_keeps_its_finished_fits(run: Cluster):
    assert len(run.jobs("finetune", "full_ft")) == 2
    saved = dict(line.split() for line in (run.notes / "full_ft" / "finished").read_text().splitlines())
    assert 0 < len(saved) < 3
    parts = run.workspace.folder / RUNS / "full_ft" / "parts"
    now = {path.name: path.stat().st_mtime for path in parts.glob("[!.]*")}
    assert len(now) == 3
    assert {name: now[name] for name in saved} == pytest.approx({name: float(time) for name, time in saved.items()})


def test_every_job_has_what_it_asked_for(run: Cluster):
    for stage in ("finetune", "interpolate", "landscape"):
        for line in run.jobs(stage):
            assert re.search(r"gpus=[01] partition=gpu", line), line
    others = [line for stage in ("baseline", "split", "aggregate") for line in run.jobs(stage)]
    assert len(others) >= 3
    assert all("gpus= partition=cpu" in line for line in others)


def test_a_job_that_fails_to_the_last_has_the_last_word(tmp_path: Path):
    notes = tmp_path / "notes"
    notes.mkdir()
    workspace = prepared(tmp_path)
    spoil(tmp_path / "mine.csv")
    refused = Cluster(workspace, notes)
    done = refused.run("results/data/mine/molecules.parquet")
    assert done.returncode == 1
    log = tmp_path / "results/logs/molecules/mine.log"
    assert done.stderr.splitlines()[-2:] == [
        f"molecules failed: Read the molecules of mine (log: {log})",
        BAD_SMILES,
    ]
    assert len(refused.jobs("molecules")) == 3


@pytest.fixture
def hanging(run: Cluster, tmp_path: Path) -> Iterator[tuple[Cluster, subprocess.Popen[bytes]]]:
    """A run with one job, which hangs."""
    notes = tmp_path / "notes"
    (notes / "full_ft").mkdir(parents=True)
    (notes / "full_ft" / "hang").touch()
    shutil.copytree(run.workspace.folder, tmp_path / "folder")
    shutil.rmtree(tmp_path / "folder" / RUNS / "full_ft")
    found = Cluster(Workspace(tmp_path / "folder"), notes)
    with subprocess.Popen(
        found.command(FITS),
        cwd=ROOT,
        env=found.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A process in the background may have been told to ignore interrupts, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        try:
            cluster.wait((notes / "full_ft" / "done").exists, "fine-tuning job", 120)
            assert cluster.ask("squeue", "-h", "-o", "%T") == "RUNNING"
            yield found, running
        finally:
            running.kill()


def test_an_interrupt_leaves_no_job_behind(hanging: tuple[Cluster, subprocess.Popen[bytes]]):
    _, running = hanging
    running.send_signal(signal.SIGINT)
    assert running.wait(60) != 0
    cluster.wait(lambda: not cluster.ask("squeue", "-h"), "empty queue", 20)


def test_a_killed_snakemake_goes_on_once_unlocked(hanging: tuple[Cluster, subprocess.Popen[bytes]]):
    killed, running = hanging
    running.kill()
    running.wait(10)
    assert cluster.ask("squeue", "-h", "-o", "%T") == "RUNNING"  # nobody cancels it
    cluster.clear()
    refused = killed.run(FITS)
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout + refused.stderr
    for arguments in (["--unlock"], [FITS]):
        done = killed.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def _tables(folder: Path) -> dict[str, bytes]:
    """Every table, without what is measured, as bytes."""
    return {path.name: _bytes(pq.read_table(path)) for path in folder.glob("*.parquet")}


def _bytes(table: pa.Table) -> bytes:
    kept = table.select([name for name in table.column_names if name not in MEASURED])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, kept.schema) as stream:
        stream.write_table(kept)
    return sink.getvalue().to_pybytes()
