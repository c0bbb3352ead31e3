"""Models of transformers: by name, file or folder, fresh or with weights, and never pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustlr.errors import RobustlrError, SpecError, WorkloadError
from robustlr.workloads.architectures import Task, make_config, make_model

TINY = {"n_layer": 1, "n_embd": 8, "n_head": 2, "vocab_size": 50, "n_positions": 8}


def tiny(seed: int = 0, **changes: Any) -> nn.Module:
    torch.manual_seed(seed)
    return make_model(make_config("gpt2", TINY | changes, "causal_lm"), "causal_lm")


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder as save_pretrained leaves it."""
    tiny(seed=7).save_pretrained(tmp_path / "model")  # type: ignore[operator]
    return tmp_path / "model"


def test_torchs_seed_fixes_a_fresh_model() -> None:
    assert same(tiny(3), tiny(3))
    assert not same(tiny(3), tiny(4))


def test_gpt2_small_has_the_size_of_gpt2_small() -> None:
    config = make_config("gpt2", {}, "causal_lm")
    with torch.device("meta"):
        model = make_model(config, "causal_lm")
    assert sum(weight.numel() for weight in model.parameters()) == 124_439_808


def test_a_folder_and_its_file_are_the_same_configuration(saved: Path) -> None:
    by_folder = make_config(str(saved), {}, "causal_lm")
    by_file = make_config(str(saved / "config.json"), {}, "causal_lm")
    assert by_folder.to_dict() == by_file.to_dict()
    assert (by_folder.n_embd, by_folder.n_layer) == (8, 1)
    assert make_config(str(saved), {"n_layer": 3}, "causal_lm").n_layer == 3


def test_weights_are_those_of_the_folder(saved: Path) -> None:
    model = make_model(make_config(str(saved), {}, "causal_lm"), "causal_lm", str(saved))
    assert same(model, tiny(seed=7))


def test_models_are_float32_whatever_their_configuration_says(saved: Path) -> None:
    table = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(table | {"dtype": "bfloat16"}))
    config = make_config(str(saved), {}, "causal_lm")
    for weights in (None, str(saved)):
        model = make_model(config, "causal_lm", weights)
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("model", "options", "task", "message"),
    [
        ("gpt3", {}, "causal_lm", "'gpt3' is no configuration file and no causal language model "),
        ("gpt22", {}, "causal_lm", "did you mean 'gpt2'"),
        ("zzzzz", {}, "causal_lm", "of transformers; there are "),
        ("zzzzz", {}, "image_classification", "and no image classifier of transformers"),
        ("no/such", {}, "causal_lm", "get it with `hf download no/such`, or name its folder"),
        ("gpt2", {"nlayer": 1}, "causal_lm", "'gpt2' has no option 'nlayer'; did you mean 'n_lay"),
        ("gpt2", {"to_dict": 1}, "causal_lm", "'gpt2' has no option 'to_dict'; "),
        ("gpt2", {"n_layer": "x"}, "causal_lm", "'gpt2': "),
        ("broken.json", {}, "causal_lm", "broken.json: is not JSON: "),
        ("bare.json", {}, "causal_lm", "bare.json: is no configuration of a model, it names no"),
        ("vision.json", {}, "causal_lm", "is a 'resnet', which transformers cannot use as a caus"),
    ],
)
def test_a_model_that_is_not_here_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    options: dict[str, Any],
    task: Task,
    message: str,
) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "bare.json").write_text('{"layers": 3}')
    (tmp_path / "vision.json").write_text('{"model_type": "resnet"}')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as caught:
        make_config(model, options, task)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_configuration_that_contradicts_itself() -> None:
    config = make_config("gpt2", TINY | {"n_head": 3}, "causal_lm")
    with pytest.raises(WorkloadError, match=r"a 'gpt2' model: .*divisible"):
        make_model(config, "causal_lm")


def refused(weights: Path, **changes: Any) -> str:
    config = make_config("gpt2", TINY | changes, "causal_lm")
    with pytest.raises(RobustlrError) as caught:
        make_model(config, "causal_lm", str(weights))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    torch.save(tiny().state_dict(), tmp_path / "pytorch_model.bin")
    assert "pytorch_model.bin is pickled, and reading it could run any code" in refused(tmp_path)
    assert "pytorch_model.bin is pickled" in refused(tmp_path / "pytorch_model.bin")


def test_weights_that_are_missing_damaged_or_do_not_fit(saved: Path, tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").endswith("/nowhere': no such folder")
    assert "there is no .safetensors file" in refused(tmp_path)
    assert "do not fit the model: 12 of its tensors are missing" in refused(saved, n_layer=2)
    assert "is a file; name the folder that it is in" in refused(saved / "model.safetensors")
    assert "missing or of another shape, such as transf" in refused(saved, vocab_size=60)
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    assert "Error while deserializing header" in refused(saved)


def test_weights_of_more_layers_are_refused(tmp_path: Path) -> None:
    tiny(n_layer=3).save_pretrained(tmp_path)  # type: ignore[operator]
    said = refused(tmp_path)
    assert (
        "of their tensors belong to layers that it does not have, such as transformer.h.1" in said
    )


def test_the_head_of_another_task_may_be_left_over(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    GPT2ForSequenceClassification(GPT2Config(**TINY, num_labels=3)).save_pretrained(tmp_path)
    config = make_config("gpt2", TINY, "causal_lm")
    assert isinstance(make_model(config, "causal_lm", str(tmp_path)), nn.Module)
