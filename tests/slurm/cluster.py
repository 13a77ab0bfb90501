"""A Slurm of one node on loopback, with two GPUs that are only counted; for tests. It takes root.

The job steps read /etc/slurm and nothing else, so the configuration has to lie there; what was there is put back.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

CONFIGURATION = Path("/etc/slurm")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol")
#: The node says it has so many and so much (MB), whatever the machine has: they are counted, not enforced.
CORES, MEMORY = 4, 24_000
GPUS = 2
PATIENCE = 30.0


def install() -> None:
    """Install Slurm where it is missing; raises `RuntimeError` where it cannot be."""
    if all(shutil.which(program) for program in PROGRAMS):
        return
    if os.getuid() != 0 or not shutil.which("apt-get"):
        raise RuntimeError("slurm-wlm and munge are not installed; installing them takes root and apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "slurm-wlm", "munge"]):
        done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"apt-get {' '.join(command)}: {done.stderr}")


@contextmanager
def running(base: Path) -> Iterator[None]:
    """The cluster, for as long as the block lasts; its daemons end with it, whatever happens.

    Raises `RuntimeError` if the node does not become idle, or if this machine runs a Slurm already: /etc/slurm is its.
    """
    if os.getuid() != 0:
        raise RuntimeError("the daemons of Slurm are started by root alone")
    if found := {process.info["name"] for process in psutil.process_iter(["name"])} & {"slurmctld", "slurmd"}:
        raise RuntimeError(f"this machine runs a Slurm already ({', '.join(sorted(found))}), which is left alone")
    host = socket.gethostname()
    base.chmod(0o755)
    sockets, spool = base / "munge", base / "spool"
    for folder in (sockets, spool / "ctld", spool / "d"):
        folder.mkdir(parents=True, mode=0o755)
    key = base / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    for number in range(GPUS):
        subprocess.run(["mknod", base / f"gpu{number}", "c", "1", "3"], check=True)  # as /dev/null
    munge = sockets / "socket"
    files = {
        "slurm.conf": _slurm_conf(host, munge, spool),
        "gres.conf": f"NodeName={host} Name=gpu File={base}/gpu[0-{GPUS - 1}]\n",
    }
    with ExitStack() as stack:
        stack.enter_context(_configured(files))
        log = stack.enter_context(open(base / "daemons.log", "ab"))
        names = [f"--{name}-file={base / f'munge.{name}'}" for name in ("pid", "log", "seed")]
        stack.enter_context(_daemon(["munged", "-F", "--force", f"--socket={munge}", f"--key-file={key}", *names], log))
        wait(munge.exists, "munged's socket")
        stack.enter_context(_daemon(["slurmctld", "-D"], log))
        stack.enter_context(_daemon(["slurmd", "-D"], log))
        wait(lambda: ask("sinfo", "-h", "-o", "%T").split("\n")[0] == "idle", f"an idle node; see {log.name}")
        stack.callback(clear)  # jobs outlive the daemons
        yield


def clear() -> None:
    """Cancel every job, and wait until the queue is empty."""
    ask("scancel", "--user=root")
    wait(lambda: not ask("squeue", "-h"), "empty queue")


def ask(*command: str) -> str:
    """What a command of Slurm prints; empty if it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def wait(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition; raises `RuntimeError` when it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"no {what} within {seconds:g} s")
        time.sleep(0.05)


def _slurm_conf(host: str, munge: Path, spool: Path) -> str:
    node = f"NodeName={host} NodeAddr=127.0.0.1 CPUs={CORES} RealMemory={MEMORY} Gres=gpu:{GPUS} State=UNKNOWN"
    settings = {
        "ClusterName": "test",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": _free_port(),
        "SlurmdPort": _free_port(),
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        "AuthInfo": f"socket={munge}",
        "StateSaveLocation": spool / "ctld",
        "SlurmdSpoolDir": spool / "d",
        "SlurmctldPidFile": spool / "ctld.pid",
        "SlurmdPidFile": spool / "d.pid",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "SchedulerParameters": "bf_interval=2,sched_interval=2",
        "SlurmdParameters": "config_overrides",
        "GresTypes": "gpu",
        "ReturnToService": 2,
        "MinJobAge": 900,
        "KillWait": 2,
        "MpiDefault": "none",
    }
    lines = [f"{name}={value}" for name, value in settings.items()]
    partitions = [f"PartitionName={name} Nodes={host} MaxTime=INFINITE State=UP" for name in ("cpu", "gpu")]
    return "\n".join([*lines, node, f"{partitions[0]} Default=YES", partitions[1], ""])


@contextmanager
def _configured(files: dict[str, str]) -> Iterator[None]:
    CONFIGURATION.mkdir(exist_ok=True)
    before = {path: path.read_bytes() if path.exists() else None for path in map(CONFIGURATION.joinpath, files)}
    try:
        for name, text in files.items():
            (CONFIGURATION / name).write_text(text)
        yield
    finally:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)


@contextmanager
def _daemon(command: list[str], log: object) -> Iterator[None]:
    daemon = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # type: ignore[call-overload]
    try:
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(5)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
