"""Which encoders are at hand, with an archive there, without one, and without a network."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from roftmol.core.files import sha256
from roftmol.data import encoder_at_hand
from roftmol.data.encoder_at_hand import encoders_at_hand
from roftmol.registry import catalog


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip finds a small archive of that name in, which is registered in place of MiniMol's."""
    folder = tmp_path / "index"
    folder.mkdir()
    path = folder / "minimol-1.3.5-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("minimol/weights", "x")
        archive.writestr("minimol-1.3.5.dist-info/METADATA", "Metadata-Version: 2.1\nName: minimol\nVersion: 1.3.5\n")
        archive.writestr("minimol-1.3.5.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    entry = catalog.checkpoints()[catalog.BEST]
    (source,) = entry.sources
    assert source.archive
    mended = replace(entry, sources=(replace(source, archive=replace(source.archive, sha256=sha256(path))),))
    monkeypatch.setattr(catalog, "checkpoints", lambda: {catalog.BEST: mended})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv(encoder_at_hand.OFFLINE, raising=False)
    return path


def test_an_archive_is_brought_once(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archives = tmp_path / "archives"
    assert encoders_at_hand(archives, bring=False).models == (catalog.EMBEDDED,)
    assert not archives.exists()
    assert encoders_at_hand(archives) == (("minimol", "gin-distilled"), "The encoder is MiniMol.")
    assert [path.suffix for path in archives.iterdir()] == [".whl"]
    wheel.unlink()

    def no_pip(*_arguments: object, **_keywords: object) -> None:
        raise AssertionError("pip was asked again")

    monkeypatch.setattr(subprocess, "run", no_pip)
    assert encoders_at_hand(archives).models[0] == "minimol"
    assert encoders_at_hand(archives, bring=False).models[0] == "minimol"


def test_without_a_network_the_embedded_encoder_is_named_with_the_reason(wheel: Path, tmp_path: Path):
    wheel.unlink()
    found = encoders_at_hand(tmp_path / "archives")
    assert found.models == (catalog.EMBEDDED,)
    assert found.why.startswith("The encoder is gin-distilled, which comes with the package; MiniMol, which is")
    assert "cannot be had: " in found.why
    assert "\n" not in found.why
    assert not list((tmp_path / "archives").glob("*"))


def test_offline_nothing_is_asked(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(encoder_at_hand.OFFLINE, "1")
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert encoders_at_hand(tmp_path / "archives") == (
        (catalog.EMBEDDED,),
        "The encoder is gin-distilled, which comes with the package; MiniMol, which is better, is left out, "
        "for ROFTMOL_OFFLINE is set.",
    )
