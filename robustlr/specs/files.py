"""Study files: where they are, how they are read, and a commented one to start from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import robustlr
from robustlr.errors import SpecError, did_you_mean, one_line
from robustlr.schedules import ALIASES, schedule_types
from robustlr.specs.sharding import read_accelerate_config, sharding_table
from robustlr.specs.study import StudySpec
from robustlr.validation import adapter


def packaged_studies() -> dict[str, Path]:
    """The study files that ship with robustlr, by name."""
    package = Path(robustlr.__file__).parent
    # in a wheel they are inside the package, in a checkout beside it
    for folder in (package / "studies", package.parent / "studies"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return {}


def find_study_file(study: str) -> Path:
    """A path for what the user typed: a TOML file, or the name of a packaged study.

    Raises SpecError when there is neither.
    """
    path, known = Path(study), packaged_studies()
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
        toml = Path(f"{study}.toml")
        known_as_toml = toml.is_file()
    except OSError as error:
        raise SpecError(f"{study}: cannot be read: {error.strerror}") from error
    if is_file:
        return path
    if study in known:
        return known[study]
    if is_folder:
        raise SpecError(f"{path}: is a folder, not a study file")
    if path.suffix == ".toml":
        raise SpecError(f"{path}: no such study file; `robustlr study init {path.stem}` makes one")
    if known_as_toml:
        hint = f"did you mean {toml}?"
    else:
        hint = did_you_mean(study, known, otherwise="`robustlr study list` shows what there is")
    raise SpecError(f"no file and no packaged study '{study}'; {hint}")


def load_study(path: Path) -> StudySpec:
    """The spec in a TOML file; its name is the file's stem.

    Raises SpecError for a file that cannot be read, is not TOML (with the line) or not a study.
    """
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 1,000 brackets
        raise SpecError(f"{path}: not valid TOML: {one_line(str(error))}") from error
    table.setdefault("name", path.stem)
    _read_named_files(table, path)
    return StudySpec.from_table(table, where=str(path))


def _read_named_files(table: dict[str, Any], study: Path) -> None:
    """Put the content of the Accelerate configuration in the place of its name."""
    training = table.get("training")
    if not isinstance(training, dict) or not isinstance(training.get("accelerate_config"), str):
        return
    named = Path(training["accelerate_config"])
    path = study.parent / named
    if not path.is_file() and named.is_file():
        path = named
    if not path.is_file():
        raise SpecError(
            f"{study}: training.accelerate_config: no file '{named}' beside the study file or in "
            "the working folder; `accelerate config --config_file` writes one"
        )
    training["accelerate_config"] = sharding_table(
        read_accelerate_config(path), training, where=str(path)
    )


def json_schema() -> dict[str, Any]:
    """JSON schema of a study file, for editors: what a person may write, before normalising."""
    schema: dict[str, Any] = adapter(StudySpec).json_schema()
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    kinds = sorted(schedule_types())
    for kind in kinds:
        own = adapter(schedule_types()[kind]).json_schema()
        definitions.update(own.pop("$defs", {}))
        definitions[f"schedule_{kind}"] = {**own, "required": ["kind"]}
    for alias, table in ALIASES.items():
        definitions[f"schedule_{alias}"] = {
            "type": "object",
            "description": f"short for {table}",
            "properties": {"kind": {"const": alias}},
            "required": ["kind"],
            "additionalProperties": False,
        }
    definitions["schedule"] = {
        "anyOf": [
            {"type": "string", "description": "shorthand, such as 'polynomial:degree=2'"},
            *({"$ref": f"#/$defs/schedule_{kind}"} for kind in (*kinds, *ALIASES)),
        ]
    }
    definitions["WorkloadSpec"] |= {"additionalProperties": True}
    for axis, one in schema["properties"].items():
        if axis in ("workload", "optimizer", "schedule", "batch_size", "num_steps", "num_examples"):
            schema["properties"][axis] = {"anyOf": [one, one["items"]]}
    schema["properties"]["seeds"] = {
        "anyOf": [schema["properties"]["seeds"], {"type": "integer", "minimum": 1}]
    }
    options = definitions["TrainingSpec"]["properties"]
    options["accelerate_config"]["anyOf"].insert(0, {"type": "string", "description": "a file"})
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "robustlr study"
    linked: dict[str, Any] = _with_references(schema)
    return linked


def _with_references(node: Any) -> Any:
    if isinstance(node, dict):
        if node.get("$comment") == "schedule":
            return {"$ref": "#/$defs/schedule"}
        return {key: _with_references(value) for key, value in node.items()}
    return [_with_references(item) for item in node] if isinstance(node, list) else node


TEMPLATE = """\
# A robustlr study: every schedule at every learning rate with every seed.
#   robustlr study plan {name}.toml     what it will cost
#   robustlr study run {name}.toml      run it; interrupt it at will, run it again to go on
question = "Which schedule forgives a misspecified learning rate most?"

seeds = 6                  # 0 to 5; or a list, [0, 7, 21]
batch_size = 64            # examples per update over all ranks; a list makes it an axis
num_steps = 400            # updates; or num_examples = 25600, a budget in examples

[grid]                     # all 10^(k/points_per_decade) between low and high
low = 1e-3
high = 10.0
points_per_decade = 4

[workload]                 # `robustlr workload list` shows the kinds; yours:
kind = "digits_mlp"        #   factory = "package.module:name"
hidden = [64, 64]          # further keys are the workload's own options

[optimizer]
kind = "sgd"               # sgd, adam, adamw, pytorch_optimizer (with name = "AdamP"), factory
momentum = 0.9

[training]
eval_every = 25            # updates between evaluations
# accumulation_steps = 1   # micro-batches per update
# precision = "bf16"       # fp32, bf16, fp16
# clip_norm = 1.0
# processes_per_cell = 1   # ranks that train one cell together
# compile = true           # torch.compile of the model
# gradient_checkpointing = true  # recompute blocks in the backward pass, to save memory
# ema_decay = 0.999        # evaluate a moving average of the weights
# channels_last = true     # memory layout of images and convolutions
# accelerate_config = "fsdp.yaml"  # FSDP, as `accelerate config` writes it

[[schedule]]               # `robustlr schedule list` shows the kinds
kind = "fixed"

[[schedule]]
kind = "linear"

[[schedule]]
kind = "cosine"

[[schedule]]
kind = "warmup"            # a wrapper around any other
warmup_fraction = 0.1
then = "cosine"

[report]
baseline = "fixed"         # the schedule the others are compared with
epsilon = 0.01             # tolerated loss, as a share of the range between chance and best
"""
