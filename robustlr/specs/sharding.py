"""How a model is cut into shards: the part of an Accelerate configuration file that matters.

`accelerate config` writes a YAML file. What it says of the launch (ports, machines, backends) is
not for us, since robustlr starts the ranks of a cell itself; what it says of FSDP becomes a
`ShardingSpec`. The content takes part in a cell's key, the file's name does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from robustlr.errors import SpecError, one_line
from robustlr.validation import parse_table

_WITHOUT_EFFECT = {
    "cpu_ram_efficient_loading",  # every rank builds the model from the cell's seed
    "state_dict_type",
}
_OF_VERSION_1 = {
    "sharding_strategy", "use_orig_params", "sync_module_states", "forward_prefetch",
    "backward_prefetch", "backward_prefetch_policy",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardingSpec:
    """FSDP, version 2: every rank holds a part of the weights and gathers them as it needs them.

    auto_wrap_policy: which modules are gathered one by one: all of the model at once
    ("NO_WRAP"), those of the classes in transformer_layer_cls_to_wrap (the model's own choice
    where none is named), or those of min_num_params weights or more. reshard_after_forward:
    gather again in the backward pass, instead of keeping what was gathered.
    """

    auto_wrap_policy: Literal["NO_WRAP", "TRANSFORMER_BASED_WRAP", "SIZE_BASED_WRAP"] = "NO_WRAP"
    transformer_layer_cls_to_wrap: tuple[str, ...] = ()
    min_num_params: int = 0
    reshard_after_forward: bool = True

    def __post_init__(self) -> None:
        if self.min_num_params < 0:
            raise SpecError(f"min_num_params must be 0 or more, got {self.min_num_params}")


def read_accelerate_config(path: Path) -> Mapping[str, Any]:
    """The YAML file `path`. Raises SpecError where it is missing or no table of keys."""
    import yaml

    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not valid YAML: {one_line(str(error))}") from error
    if not isinstance(table, dict):
        raise SpecError(f"{path}: is no Accelerate configuration: no keys")
    return table


def sharding_table(
    table: Mapping[str, Any], training: Mapping[str, Any], *, where: str
) -> dict[str, Any]:
    """The table of a ShardingSpec in an Accelerate configuration.

    training: the study's [training], which the configuration must not contradict.
    Raises SpecError that begins with `where`.
    """
    if table.get("distributed_type") != "FSDP":
        got = table.get("distributed_type", "none")
        raise SpecError(f"{where}: distributed_type must be FSDP, got {got}")
    _agree(table, training, where)
    options = table.get("fsdp_config")
    if not isinstance(options, Mapping):
        raise SpecError(f"{where}: has no fsdp_config")
    options = {str(name).removeprefix("fsdp_"): value for name, value in options.items()}
    old = sorted(_OF_VERSION_1 & options.keys())
    if str(options.pop("version", 1)) != "2" or old:
        raise SpecError(
            f"{where}: fsdp_version must be 2"
            + (f", without fsdp_{old[0]}" if old else "")
            + "; `accelerate to-fsdp2` converts the file"
        )
    if options.pop("activation_checkpointing", False):
        raise SpecError(
            f"{where}: instead of fsdp_activation_checkpointing write "
            "gradient_checkpointing = true under [training]"
        )
    if options.pop("offload_params", False):
        raise SpecError(f"{where}: fsdp_offload_params is not supported; set it to false")
    named = options.get("transformer_layer_cls_to_wrap")
    if isinstance(named, str):
        options["transformer_layer_cls_to_wrap"] = [name.strip() for name in named.split(",")]
    kept = {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT}
    return dataclasses.asdict(parse_table(ShardingSpec, kept, where=f"{where}: fsdp_config"))


def _agree(table: Mapping[str, Any], training: Mapping[str, Any], where: str) -> None:
    """The file may repeat what the study says, and not say another thing."""
    processes, precision = training.get("processes_per_cell", 1), training.get("precision", "fp32")
    theirs = table.get("mixed_precision", precision)
    theirs = "fp32" if theirs in ("no", False) else theirs  # YAML reads a bare no as false
    if theirs != precision:
        raise SpecError(
            f"{where}: mixed_precision says {theirs}, but training.precision is {precision}"
        )
    if table.get("num_processes", processes) != processes:
        raise SpecError(
            f"{where}: num_processes is {table['num_processes']}, "
            f"but training.processes_per_cell is {processes}"
        )
    if table.get("num_machines", 1) != 1:
        raise SpecError(f"{where}: num_machines must be 1, got {table['num_machines']}")
    if table.get("dynamo_config"):
        raise SpecError(f"{where}: instead of dynamo_config write compile = true under [training]")
