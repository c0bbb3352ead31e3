"""What an Accelerate configuration file becomes, and what is refused in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from robustlr.errors import SpecError
from robustlr.specs import ShardingSpec, TrainingSpec, load_study
from tests.specs.tables import TOML, write

# as `accelerate config` writes it
CONFIG: dict[str, Any] = {
    "compute_environment": "LOCAL_MACHINE",
    "debug": False,
    "distributed_type": "FSDP",
    "downcast_bf16": "no",
    "enable_cpu_affinity": False,
    "fsdp_config": {
        "fsdp_activation_checkpointing": False,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_cpu_ram_efficient_loading": True,
        "fsdp_offload_params": False,
        "fsdp_reshard_after_forward": True,
        "fsdp_state_dict_type": "SHARDED_STATE_DICT",
        "fsdp_transformer_layer_cls_to_wrap": "GPT2Block, Embedding",
        "fsdp_version": 2,
    },
    "machine_rank": 0,
    "main_training_function": "main",
    "mixed_precision": "no",
    "num_machines": 1,
    "num_processes": 2,
    "rdzv_backend": "static",
    "same_network": True,
    "use_cpu": True,
}


def study(folder: Path, named: str = "fsdp.yaml", options: str = "processes_per_cell = 2") -> Path:
    training = f'[training]\naccelerate_config = "{named}"\n{options}\n'
    return write(folder, TOML.replace("[training]\n", training))


def loaded(folder: Path, config: Any, options: str = "processes_per_cell = 2") -> TrainingSpec:
    (folder / "fsdp.yaml").write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return load_study(study(folder, options=options)).training


def test_what_matters_is_kept(tmp_path: Path) -> None:
    assert loaded(tmp_path, CONFIG).accelerate_config == ShardingSpec(
        auto_wrap_policy="TRANSFORMER_BASED_WRAP",
        transformer_layer_cls_to_wrap=("GPT2Block", "Embedding"),
    )


def test_a_bare_no_in_yaml_is_no_precision(tmp_path: Path) -> None:
    text = yaml.safe_dump(CONFIG).replace("mixed_precision: 'no'", "mixed_precision: no")
    assert "mixed_precision: no\n" in text
    assert loaded(tmp_path, text).accelerate_config is not None


def test_the_content_is_what_counts_and_not_the_name(tmp_path: Path) -> None:
    keys = set()
    for name, size in (("a.yaml", 10), ("b.yaml", 10), ("c.yaml", 11)):
        options = {"fsdp_version": 2, "fsdp_auto_wrap_policy": "SIZE_BASED_WRAP"}
        config = {
            "distributed_type": "FSDP",
            "fsdp_config": options | {"fsdp_min_num_params": size},
        }
        (tmp_path / name).write_text(yaml.safe_dump(config))
        keys.add(next(load_study(study(tmp_path, name)).cells()).key)
    assert len(keys) == 2


def test_it_may_lie_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "fsdp.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.chdir(tmp_path)
    assert load_study(study(tmp_path / "studies")).training.accelerate_config is not None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"distributed_type": "DEEPSPEED"}, "distributed_type must be FSDP, got DEEPSPEED"),
        ({"mixed_precision": "bf16"}, "mixed_precision says bf16, but training.precision is fp32"),
        ({"num_processes": 8}, "num_processes is 8, but training.processes_per_cell is 2"),
        ({"num_machines": 2}, "num_machines must be 1, got 2"),
        ({"dynamo_config": {"dynamo_backend": "INDUCTOR"}}, "write compile = true"),
        ({"fsdp_config": None}, "has no fsdp_config"),
        ({"fsdp_version": 1}, "fsdp_version must be 2; `accelerate to-fsdp2` converts the file"),
        ({"fsdp_sharding_strategy": "FULL_SHARD"}, "2, without fsdp_sharding_strategy"),
        ({"fsdp_activation_checkpointing": True}, "write gradient_checkpointing = true"),
        ({"fsdp_offload_params": True}, "fsdp_offload_params is not supported"),
        ({"fsdp_min_num_params": -1}, "min_num_params must be 0 or more, got -1"),
        ({"fsdp_auto_wrap_policy": "BIG_WRAP"}, "auto_wrap_policy: input should be 'NO_WRAP'"),
        ({"fsdp_min_params": 10}, "did you mean 'min_num_params'?"),
    ],
    ids=str,
)
def test_one_clear_line(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    config = {**CONFIG, "fsdp_config": dict(CONFIG["fsdp_config"])}
    for key, value in change.items():
        (config["fsdp_config"] if key.startswith("fsdp_") and key != "fsdp_config" else config)[
            key
        ] = value
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, config)
    assert expected in str(caught.value)
    assert str(tmp_path / "fsdp.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a: [", "not valid YAML"), ("just text", "no keys"), ("", "no keys")],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(SpecError, match=expected) as caught:
        loaded(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"mine.toml: training.accelerate_config: no file 'x.yaml'"):
        load_study(study(tmp_path, "x.yaml"))


def test_python_code_in_the_file_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not valid YAML"):
        loaded(tmp_path, f"a: !!python/object/apply:os.mkdir ['{tmp_path}/made']")
    assert not (tmp_path / "made").exists()
