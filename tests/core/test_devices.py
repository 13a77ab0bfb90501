"""Processes on one machine share its GPUs out among themselves; no GPU is needed to see it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from roftmol.core.devices import claim, device_of

CLAIM = """
import sys
from pathlib import Path
from roftmol.core.devices import claim
print(claim(("a", "b"), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class Process:
    """Another process that has claimed one of two devices, until it is killed."""

    def __init__(self, folder: Path):
        workflow = str(Path(__file__).parents[2] / "workflow")
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
    first, second = Process(tmp_path), Process(tmp_path)
    assert (first.device, second.device) == (0, 1)
    second.kill()
    third = Process(tmp_path)
    assert third.device == 1
    for process in (first, third):
        process.kill()


def test_more_processes_than_devices_share_them_evenly(tmp_path: Path):
    with ThreadPoolExecutor(6) as pool:
        processes = list(pool.map(lambda _: Process(tmp_path), range(6)))
    assert sorted(process.device for process in processes) == [0, 0, 0, 1, 1, 1]
    for process in processes:
        process.kill()


@pytest.mark.parametrize("setting", ["auto", "cuda"])
def test_every_setting_that_means_a_gpu_shares_them_out(setting: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Two GPUs that are only said to be there, of which another process has the first."""
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid="ab"[i]))
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    other = Process(tmp_path)
    monkeypatch.setattr("roftmol.core.devices.claim", lambda ids: claim.__wrapped__(ids, tmp_path))
    assert device_of(setting) == torch.device("cuda", 1)
    assert taken == [torch.device("cuda", 1)]
    other.kill()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_the_cpu():
    assert device_of("auto") == torch.device("cpu")
