"""What can be told on Linux of other systems: nothing that only a POSIX system has is needed before it is used."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from roftmol.cli import recommendation
from roftmol.core import devices
from roftmol.core.errors import UserError
from roftmol.core.peak_memory import peak_mib

ROOT = Path(__file__).parents[2]
#: It takes away what Windows lacks, then imports every module.
IMPORTS = """
import importlib, os, pkgutil, signal, sys
sys.modules |= dict.fromkeys(["fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"])
absent = {
    os: ["fork", "getuid", "geteuid", "getgid", "killpg", "setsid", "mkfifo", "sched_getaffinity", "O_CLOEXEC"],
    signal: ["SIGHUP", "SIGKILL", "SIGQUIT", "SIGPIPE", "SIGALRM", "SIGUSR1", "SIGCHLD"],
}
for module, names in absent.items():
    for name in names:
        delattr(module, name)
import roftmol
modules = [found.name for found in pkgutil.walk_packages(roftmol.__path__, "roftmol.")]
for module in modules:
    importlib.import_module(module)
assert len(modules) > 250, len(modules)
"""


def test_every_module_is_imported_without_what_only_posix_has():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run([sys.executable, "-c", IMPORTS], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_memory_is_in_mebibytes_or_not_known(monkeypatch: pytest.MonkeyPatch):
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert peak_mib() == pytest.approx(kib / 1024, rel=0.01)
    monkeypatch.setattr(sys, "platform", "darwin")  # which counts bytes
    assert peak_mib() == pytest.approx(kib / 1024**2, rel=0.01)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert math.isnan(peak_mib())


def test_without_locks_a_process_takes_the_first_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert devices.claim.__wrapped__(("a", "b"), tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_without_bash_a_recommendation_says_what_helps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The workflow's jobs run in it, on Windows in WSL alone."""
    from roftmol.cli.main import _options

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="jobs run in bash, and there is none here"):
        recommendation.command(_options(["recommend", "mine.csv"]))
