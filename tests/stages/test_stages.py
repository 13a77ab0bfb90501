"""A stage, its rule and its command have one name, and the command's options are what the stage runs with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from roftmol.cli import main as command_line
from roftmol.stages import STAGES, Code, Json, Stage

ROOT = Path(__file__).parents[2]


def rules() -> dict[str, str]:
    """The text of every rule that runs something, by the rule's name."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    bodies = re.split(r"^ *rule (?=\w+:)", text, flags=re.MULTILINE)[1:]
    return {body.partition(":")[0]: body for body in bodies if "shell:" in body}


def test_each_stage_has_a_rule_and_a_file_of_its_name():
    files = {path.stem for path in (ROOT / "workflow/roftmol/stages").glob("*.py")} - {"__init__", "base"}
    assert rules().keys() == STAGES.keys() == files


@pytest.mark.parametrize("name", STAGES)
def test_a_rule_asks_its_own_stage(name: str):
    asked = re.findall(r"\b(settings|code|env|command)\(\s*\"(\w+)\"", rules()[name])
    assert {stage for _, stage in asked} == {name}
    needed = {"env", "command"} | ({"settings"} if STAGES[name].settings else set())
    needed |= {"code"} if STAGES[name].code != Code(()) else set()
    assert {of for of, _ in asked} == needed


def run(settings: Json, *, source: Path, out: Path, extra: Path | None = None, processes: int = 1) -> None:
    """Write down what it was called with."""
    said = {"settings": settings, "source": str(source), "extra": str(extra), "processes": processes}
    out.write_text(json.dumps(said))


TOY = Stage(run, "data", Code(()), lambda _experiment: {})


def test_a_command_takes_what_its_stage_runs_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setitem(STAGES, "toy", TOY)
    assert (TOY.paths, TOY.optional, TOY.parallel) == (("source", "out"), ("extra",), True)
    command = TOY.command
    out = tmp_path / "out.json"
    arguments = [command, "--settings", '{"a": 1}', "--source", "here", "--out", str(out)]
    command_line.main([*arguments, "--processes", "3"])
    assert json.loads(out.read_text()) == {
        "settings": {"a": 1},
        "source": "here",
        "extra": "None",
        "processes": 3,
    }
    command_line.main([*arguments, "--extra", "there"])
    assert json.loads(out.read_text())["extra"] == "there"
    with pytest.raises(SystemExit):
        command_line.main(arguments[:-2])
    assert "--out" in capsys.readouterr().err
    for wrong in ("[1]", "{"):
        with pytest.raises(SystemExit) as ended:
            command_line.main([command, "--settings", wrong, *arguments[3:]])
        assert ended.value.code == 2
        assert "--settings" in capsys.readouterr().err
