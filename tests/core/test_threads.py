"""How many threads OMP_NUM_THREADS asks for."""

from __future__ import annotations

import os

import pytest

from roftmol.core.errors import UserError
from roftmol.core.parallel import threads


@pytest.mark.parametrize(("said", "expected"), [("2", 2), ("2,1", 2), (" 3 ", 3), ("", 7), (None, 7)])
def test_threads_are_as_openmp_reads_them(monkeypatch: pytest.MonkeyPatch, said: str | None, expected: int):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads(7) == expected


@pytest.mark.parametrize("said", ["two", "0", "-1", "2.5", "²", "9" * 30])
def test_threads_that_are_no_number_are_told(monkeypatch: pytest.MonkeyPatch, said: str):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    with pytest.raises(UserError, match=r"OMP_NUM_THREADS is .*Set it to 1, or unset it"):
        threads(7)
    assert os.environ["OMP_NUM_THREADS"] == said
