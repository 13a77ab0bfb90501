"""Where a file can be written, and what is left as it is."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from devices import device
from roftmol.core.errors import UserError, printable
from roftmol.core.files import atomic


def write(path: Path | str, text: str = "new") -> None:
    with atomic(path) as temporary, open(temporary, "w") as stream:
        stream.write(text)


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "real").write_text("old")
    (tmp_path / "link").symlink_to("data/real")
    (tmp_path / "dangling").symlink_to("data/later")
    write(tmp_path / "link")
    write(tmp_path / "dangling")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "data" / "real").read_text() == (tmp_path / "data" / "later").read_text() == "new"
    assert sorted(os.listdir(tmp_path / "data")) == ["later", "real"]


def test_a_device_stays_a_device(tmp_path: Path):
    null, full = device(tmp_path, "null"), device(tmp_path, "full")
    write(null)
    assert stat.S_ISCHR(os.stat(null).st_mode)
    with pytest.raises(UserError, match=f"{full}: cannot be written \\(No space left on device\\)"):
        write(full)
    assert stat.S_ISCHR(os.stat(full).st_mode)


def test_a_pipe_is_written_through(tmp_path: Path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join(10)
    assert got == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "has no name"),
        (".", "it is a folder"),
        ("folder", "it is a folder"),
        ("x" * 300, "its name is longer than 255 bytes"),
        ("é" * 130, "its name is longer than 255 bytes"),
        ("file/x", "cannot be written"),
        ("round", "cannot be written"),
    ],
)
def test_a_place_that_no_file_can_have_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").write_text("old")
    Path("round").symlink_to("round")
    with pytest.raises(UserError, match=told):
        write(name)
    assert Path("file").read_text() == "old"
    assert sorted(os.listdir()) == ["file", "folder", "round"]


def test_the_longest_name_is_a_name(tmp_path: Path):
    write(tmp_path / ("x" * 255))
    assert os.listdir(tmp_path) == ["x" * 255]


def test_what_a_terminal_obeys_is_printed_as_text():
    assert printable("a\x1b[2Jb\r\u202ec\x9bé\ud800") == r"a\x1b[2Jb\r\u202ec\x9bé\ud800"
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"
