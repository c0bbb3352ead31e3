"""wikitext103 and hf_causal_lm: text as its owners ship it, tokenizers that fit, any model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from robustlr.errors import DataError, RobustlrError, SpecError, WorkloadError
from robustlr.execution.flops import forward_flops
from robustlr.schedules import parse
from robustlr.specs import AdamW, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import train
from robustlr.workloads import Split, Workload, build_workload
from robustlr.workloads.architectures import make_config, make_model
from robustlr.workloads.causal_lm import CausalLM
from robustlr.workloads.tokenizer import train_tokenizer
from tests.workloads.texts_on_disk import (
    sentences,
    write_rows,
    write_wikitext,
    write_wikitext_files,
)

WIKI: dict[str, Any] = {
    "n_layer": 1, "n_embd": 16, "n_head": 2, "context": 8, "dropout": 0.0, "vocabulary_size": 270,
}  # fmt: skip
GPT2 = {"n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": 8, "vocab_size": 270}
OWN: dict[str, Any] = {"overrides": GPT2, "context": 8}


@pytest.fixture(scope="module")
def wikitext(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wikitext(tmp_path_factory.mktemp("wikitext"))


def build(kind: str, path: Path | str, **options: Any) -> Workload:
    return build_workload(WorkloadSpec(kind=kind, options={"path": str(path), **options}))


def all_windows(workload: Workload, split: Split) -> torch.Tensor:
    examples = workload.examples(split, 0)
    (windows,) = examples.batch(torch.arange(len(examples)))
    return windows


def test_parquet_and_files_give_the_same_windows(wikitext: Path, tmp_path: Path) -> None:
    files = write_wikitext_files(tmp_path / "raw")
    for split in ("train", "valid", "test"):
        first = all_windows(build("wikitext103", wikitext, **WIKI), split)  # type: ignore[arg-type]
        second = all_windows(build("wikitext103", files, **WIKI), split)  # type: ignore[arg-type]
        assert torch.equal(first, second)


def test_wikitext_through_the_general_workload_is_the_same(wikitext: Path) -> None:
    own = build(
        "hf_causal_lm", wikitext, subset="wikitext-103-raw-v1", separator="", **OWN
    )  # fmt: skip
    assert torch.equal(
        all_windows(own, "test"), all_windows(build("wikitext103", wikitext, **WIKI), "test")
    )


def test_the_default_is_gpt2_small_known_before_any_download() -> None:
    workload = build_workload(WorkloadSpec(kind="wikitext103"))
    with torch.device("meta"):
        model = workload.model(0)
    assert sum(weight.numel() for weight in model.parameters()) == 124_439_808
    assert workload.specimen(2)[0].shape == (2, 1025)
    assert workload.chance_loss == pytest.approx(math.log(50_257))


def test_data_that_is_not_here_says_how_to_get_it() -> None:
    workload = build_workload(WorkloadSpec(kind="wikitext103", options=WIKI))
    with pytest.raises(DataError) as caught:
        workload.examples("train", 0)
    command = (
        "hf download Salesforce/wikitext --repo-type dataset --include 'wikitext-103-raw-v1/*'"
    )
    for part in (command, "about 0.3 GB", "CC BY-SA", "HF_HOME"):
        assert part in str(caught.value)


@pytest.mark.slow
def test_it_learns_and_its_record_tells_of_the_text(wikitext: Path) -> None:
    cell = Cell(
        workload=WorkloadSpec(kind="wikitext103", options=WIKI | {"path": str(wikitext)}),
        optimizer=AdamW(),
        schedule=parse("curvature_adaptive:estimator=gauss_newton,every=20"),
        batch_size=16, num_steps=60, lr_exponent="-2", seed=0,
        training=TrainingSpec(eval_every=30),
    )  # fmt: skip
    workload = build_workload(cell.workload)
    record, _ = train(cell, workload)
    summary = record.summary
    assert summary.valid_loss is not None
    assert summary.valid_loss < 4.5  # chance is 5.6
    assert summary.valid_metric == pytest.approx(math.exp(summary.valid_loss))
    assert record.provenance["text"] == workload.provenance()["text"]
    assert "wikitext-103-raw-v1" in record.provenance["text"]


@pytest.mark.parametrize("estimator", ["hutchinson", "gauss_newton", "finite_difference"])
def test_curvature_of_a_model_of_transformers(wikitext: Path, estimator: str) -> None:
    from robustlr.curvature import make_estimator

    workload = build("wikitext103", wikitext, **WIKI)
    torch.manual_seed(0)
    model, batch = workload.model(0), workload.examples("train", 0).batch(torch.arange(4))
    estimate = make_estimator(estimator).estimate(
        model, batch, torch.Generator().manual_seed(0),
        loss_fn=workload.loss, sample_loss_fn=workload.sampled_loss,
    )  # fmt: skip
    assert math.isfinite(estimate.trace)
    assert estimate.trace != 0.0


def test_weights_to_begin_with(wikitext: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    given = make_model(make_config("gpt2", GPT2, "causal_lm"), "causal_lm")
    given.save_pretrained(tmp_path)  # type: ignore[operator]
    workload = build(
        "hf_causal_lm", wikitext, architecture=str(tmp_path), weights=str(tmp_path), context=8
    )
    assert workload.provenance()["weights"].startswith(f"{tmp_path}: sha256 ")
    model = workload.model(0)
    for first, second in zip(given.parameters(), model.parameters(), strict=True):
        assert torch.equal(first, second)


def test_a_local_tokenizer_and_documents_of_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("".join(sentences(300, seed=0)).replace("\n\n", "\n"))
    tokenizer = train_tokenizer(iter(sentences(300, seed=0)), 265)
    (tmp_path / "tokenizer.json").write_text(tokenizer.json)
    workload = build(
        "hf_causal_lm", tmp_path / "book.txt", tokenizer=str(tmp_path),
        valid_split="", test_split="", separator="<|endoftext|>", **OWN,
    )  # fmt: skip
    (end,) = tokenizer.encode(["<|endoftext|>"]).tolist()
    windows = all_windows(workload, "valid")
    assert int(windows.max()) < 265
    assert int((windows == end).sum()) > 3


ENCODERS = [
    "bert", "roberta", "xlm-roberta", "electra", "roformer", "megatron-bert", "camembert",
    "big_bird", "rembert", "data2vec-text", "ernie", "bert-generation",
]  # fmt: skip
SMALL_ENCODER = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "vocab_size": 270,
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("architecture", [*ENCODERS, "llama", "gpt_neox"])
def test_no_model_sees_the_tokens_that_it_predicts(architecture: str) -> None:
    workload = build(
        "hf_causal_lm", "nowhere", architecture=architecture, overrides=SMALL_ENCODER, context=16
    )
    assert isinstance(workload, CausalLM)
    torch.manual_seed(0)
    model, tokens = workload.model(0).eval(), torch.randint(5, 270, (1, 17))
    workload.inspect(model, (tokens,))
    last = tokens.clone()
    last[0, 15] = (last[0, 15] + 7) % 270
    first, second = (workload.logits(model, these[:, :-1])[0] for these in (tokens, last))
    assert torch.allclose(first[:15], second[:15], atol=1e-6)
    assert not torch.allclose(first[15], second[15], atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(
    ("architecture", "more"),
    [("bert", {"is_decoder": False}), ("xlm", {"emb_dim": 32, "n_heads": 2, "n_layers": 1})],
)
def test_a_model_that_sees_ahead_is_refused(architecture: str, more: dict[str, Any]) -> None:
    overrides = (SMALL_ENCODER if architecture == "bert" else {"vocab_size": 270}) | more
    workload = build(
        "hf_causal_lm", "nowhere", architecture=architecture, overrides=overrides, context=64
    )
    model = workload.model(0).eval()
    tokens = torch.randint(5, 270, (4, 65), generator=torch.Generator().manual_seed(0))
    with pytest.raises(WorkloadError, match="sees the tokens that it is to predict"):
        workload.inspect(model, (tokens,))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"context": 0}, SpecError, "context must be at least 1, got 0"),
        ({"context": 9}, SpecError, "context 9 is longer than the 8 positions of the model"),
        ({"evaluation_windows": 0}, SpecError, "evaluation_windows must be at least 1, got 0"),
        ({"held_out": 0.7}, SpecError, "held_out must be in (0, 0.5), got 0.7"),
        ({"architecture": "gpt3"}, SpecError, "'gpt3' is no configuration file and no causal"),
        ({"architecture": "no/such"}, SpecError, "get it with `hf download no/such`"),
        ({"overrides": {"layers": 2}}, SpecError, "'gpt2' has no option 'layers'"),
        ({"overrides": GPT2 | {"vocab_size": 200}}, SpecError, "a vocabulary above 256, got 200"),
        ({"tokenizer": "nowhere"}, DataError, "tokenizer = 'nowhere': there is no nowhere"),
    ],
)
def test_bad_options_are_told_before_any_data_is_read(
    options: dict[str, Any], kind: type[RobustlrError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        build("hf_causal_lm", "nowhere", **OWN | options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_larger_than_the_model(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(train_tokenizer(iter(sentences(99, 0)), 280).json)
    for kind, options in (("hf_causal_lm", OWN), ("wikitext103", WIKI)):
        with pytest.raises(RobustlrError) as caught:
            build(kind, "nowhere", tokenizer=str(tmp_path), **options)
        assert str(caught.value).endswith(
            "does not fit the model: it has 280 tokens, the model's vocabulary 270"
        )


def test_pickled_weights_are_refused(wikitext: Path, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "pytorch_model.bin")
    workload = build("hf_causal_lm", wikitext, weights=str(tmp_path), **OWN)
    with pytest.raises(WorkloadError, match=r"pytorch_model.bin is pickled"):
        workload.model(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "body"}, "has no column 'body', but text"),
        ({"test_split": "exam"}, "has no split 'exam', but train, validation, test"),
        ({"context": 8, "test_split": "test"}, "too few for one window of context + 1 = 9"),
    ],
)
def test_text_that_is_not_as_told(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    for split, count in (("train", 30), ("validation", 30), ("test", 0)):
        rows = sentences(count, 0) or ["a b"]
        write_rows(tmp_path / f"{split}-00000-of-00001.parquet", rows)
    workload = build("hf_causal_lm", tmp_path, **OWN | options)
    with pytest.raises(DataError) as caught:
        workload.examples("test", 0)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_arithmetic_is_counted_without_data(architecture: str) -> None:
    """2 operations per weight and token, and 2·2·width per pair of positions and layer."""
    sizes = {
        "gpt2": {"n_layer": 2, "n_embd": 32, "n_head": 2, "vocab_size": 300},
        "llama": {
            "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 128,
            "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 300,
        },
    }[architecture]  # fmt: skip
    options = {"path": "nowhere", "architecture": architecture, "overrides": sizes, "context": 64}
    matrices = 2 * (4 * 32**2 + (2 if architecture == "gpt2" else 3) * 32 * 128) + 300 * 32
    attention = 2 * 2 * 2 * 64**2 * 32
    counted = forward_flops(WorkloadSpec(kind="hf_causal_lm", options=options))
    assert counted == pytest.approx(2 * 64 * matrices + attention)
