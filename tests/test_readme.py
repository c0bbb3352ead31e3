"""The README's examples run as they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from robustlr.specs import load_study
from robustlr_cli.app import main
from tests.readme import README, ROOT, example
from tests.workloads.texts_on_disk import sentences


@pytest.mark.slow
def test_the_user_s_own_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, study = example("my_workload.py"), example("my.toml")
    assert len(code.splitlines()) < 30
    Path("my_workload.py").write_text(code, encoding="utf-8")
    Path("my.toml").write_text(study, encoding="utf-8")
    assert len(load_study(Path("my.toml")).seeds) == 6
    small = study.replace("seeds = 6", "seeds = 2").replace("num_steps = 200", "num_steps = 30")
    Path("my.toml").write_text(small.replace("high = 10.0", "high = 0.1"), encoding="utf-8")
    assert main(["study", "run", "my.toml"]) == 0
    assert Path(capsys.readouterr().out.splitlines()[-1]).is_file()
    assert main(["compare", "my"]) == 0
    assert "cosine+warmup=0.05" in capsys.readouterr().out


def test_text_and_a_model_of_hugging_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rehearsed as it is written, in batches of four."""
    monkeypatch.chdir(tmp_path)
    Path("my-texts").mkdir()
    Path("my-texts/a.txt").write_text("".join(sentences(2000, seed=0)), encoding="utf-8")
    theirs = re.sub(r"\[workload\].*?\n(?=\[)", "", example("my.toml"), flags=re.DOTALL)
    study = theirs.replace("batch_size = 32", "batch_size = 4") + example("hf.toml")
    Path("hf.toml").write_text(study, encoding="utf-8")
    assert main(["study", "plan", "hf.toml", "--no-measure"]) == 0
    captured = capsys.readouterr()
    assert "GPU-hours" in captured.out
    assert not captured.err


def test_the_loop() -> None:
    names: dict[str, object] = {}
    exec(compile(example("loop"), "README.md", "exec"), names)
    assert names["optimizer"].param_groups[0]["lr"] == 0.0  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:'pin_memory' argument")  # the Trainer's default, without a GPU
def test_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    names: dict[str, Any] = {}
    exec(compile(example("trainer"), "README.md", "exec"), names)
    rows = [row for row in names["trainer"].state.log_history if "train_loss" in row]
    assert rows[0]["step"] == 40
    assert names["trainer"].lr_scheduler.scheduler.updates == 40


def test_every_command_of_the_table_exists(capsys: pytest.CaptureFixture[str]) -> None:
    rows = re.findall(r"^\| (`robustlr .*?) \|", README, re.MULTILINE)
    assert len(rows) > 10
    for row in rows:
        first, *others = re.findall(r"`([a-z ]+)", row.replace("robustlr ", ""))
        group = first.split()[:1] if " " in first.strip() else []
        others = [other if " " in other.strip() else " ".join([*group, other]) for other in others]
        for command in map(str.split, [first, *others]):
            assert main([*command, "--help"]) == 0, command
    capsys.readouterr()


def test_links_lead_somewhere() -> None:
    for text in ("README.md", "CONTRIBUTING.md", "studies/README.md", "reports/README.md"):
        page = ROOT / text
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{text}: {link}"
