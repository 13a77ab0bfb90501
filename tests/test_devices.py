"""Processes on one machine share its GPUs out among themselves; no GPU is needed to see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from roftmol.devices import device_of

CLAIM = """
import sys
from pathlib import Path
from roftmol.devices import claim
print(claim(("a", "b"), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class Process:
    """Another process that has claimed one of two devices, until it is killed."""

    def __init__(self, folder: Path):
        workflow = str(Path(__file__).parents[1] / "workflow")
        self._running = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(folder)],
            env={**os.environ, "PYTHONPATH": workflow},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._running.stdout
        self.device = int(self._running.stdout.readline())

    def kill(self) -> None:
        self._running.kill()
        self._running.communicate()


def test_each_process_has_its_own_device_and_a_killed_one_gives_it_back(tmp_path: Path):
    first, second, third = (Process(tmp_path) for _ in range(3))
    assert (first.device, second.device) == (0, 1)
    assert third.device == 0  # none is left: they share
    second.kill()
    fourth = Process(tmp_path)
    assert fourth.device == 1
    for process in (first, third, fourth):
        process.kill()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_the_cpu():
    assert device_of("auto") == torch.device("cpu")
