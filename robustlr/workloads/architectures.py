"""The one door to Hugging Face transformers: a model from a configuration, for one task.

A configuration is a file, a folder that holds config.json, the name of an architecture
("gpt2", "llama", "resnet"), or a hub id whose files are in the hub's cache. Nothing here touches
the network, runs code that comes with a model, or reads pickled weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from torch import nn

from robustlr.errors import SpecError, WorkloadError, did_you_mean, one_line

Task = Literal["causal_lm", "image_classification"]
_TASKS: Mapping[Task, tuple[str, str, str]] = {  # class, names of its architectures, in words
    "causal_lm": (
        "AutoModelForCausalLM",
        "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
        "causal language model",
    ),
    "image_classification": (
        "AutoModelForImageClassification",
        "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
        "image classifier",
    ),
}
_INDEX = re.compile(r"(?<=\.)\d+(?=\.)")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


def make_config(model: str, options: Mapping[str, Any], task: Task) -> Any:
    """The configuration behind `model`, with some of its values replaced.

    options: by the names that the architecture's configuration gives them. A family that can also
    be an encoder (BERT and its kin) is made a decoder for causal_lm: each position sees itself and
    those before it.
    Raises SpecError for a model that is not here, is for another task, or does not know an option.
    """
    transformers = _transformers()
    table = _table(model)
    if table is None:
        kind, table = model, {}
    else:
        kind = str(table.pop("model_type", ""))
    known = getattr(transformers.models.auto.modeling_auto, _TASKS[task][1])
    if kind not in known:
        raise SpecError(_unknown(model, kind, known, task))
    with _quiet():
        try:
            default = transformers.AutoConfig.for_model(kind)
            for name in options:
                if not hasattr(default, name) or callable(getattr(default, name)):
                    names = sorted(default.to_dict())
                    hint = did_you_mean(name, names) if names else ""
                    raise SpecError(f"'{model}' has no option '{name}'; {hint}")
            if task == "causal_lm" and hasattr(default, "is_decoder"):
                table["is_decoder"] = True  # without it BERT looks at the tokens that it predicts
            config = transformers.AutoConfig.for_model(kind, **(table | dict(options)))
        except SpecError:
            raise
        except Exception as error:  # every architecture checks its options in its own way
            raise SpecError(f"'{model}': {one_line(str(error))[:300]}") from error
    config.get_text_config().use_cache = False  # for generation, and this is training
    return config


def make_model(config: Any, task: Task, weights: str | None = None) -> nn.Module:
    """The model of a configuration: fresh from torch's generator, or with weights from a folder.

    weights: folder with model.safetensors, or with its index and shards. What an image classifier
    has beyond its base model stays fresh where its shape is another, as for other classes.
    Raises WorkloadError where they are missing, pickled, or do not fit.
    """
    cls = getattr(_transformers(), _TASKS[task][0])
    folder = None if weights is None else _safe_folder(weights)
    with _quiet():
        try:
            if folder is None:
                return _single(cls.from_config(config))
            model, report = cls.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # told below, in a sentence
                output_loading_info=True,
            )
        except Exception as error:  # a config that contradicts itself fails in many ways
            where = f"weights in {weights}" if weights else f"a '{config.model_type}' model"
            raise WorkloadError(f"{where}: {one_line(str(error))[:300]}") from error
    wrong = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if task == "image_classification":  # other classes want a head of their own: it stays fresh
        wrong = [key for key in wrong if key.startswith(f"{model.base_model_prefix}.")]
    if wrong:
        raise WorkloadError(
            f"weights in {weights} do not fit the model: {len(wrong)} of its tensors are missing "
            f"or of another shape, such as {wrong[0]}"
        )
    # what is left over may be another task's head, but not more of the model's own layers
    own = {_INDEX.sub("#", key) for key in model.state_dict()}
    body = f"{model.base_model_prefix}."
    left_over = sorted(key for key in report["unexpected_keys"] if key.startswith(body))
    extra = [key for key in left_over if _INDEX.sub("#", key) in own]
    if extra:
        raise WorkloadError(
            f"weights in {weights} do not fit the model: {len(extra)} of their tensors belong to "
            f"layers that it does not have, such as {extra[0]}"
        )
    return _single(model)


@lru_cache(maxsize=8)  # every cell's record tells it
def weights_version(weights: str) -> str:
    """The folder and the hash of the safetensors in it, for records. Raises WorkloadError."""
    digest = hashlib.sha256()
    folder = _safe_folder(weights)
    try:
        for path in sorted(folder.glob("*.safetensors")):
            digest.update(path.name.encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise WorkloadError(f"weights in {weights} cannot be read: {error.strerror}") from error
    return f"{weights}: sha256 {digest.hexdigest()[:16]}"


def _single(model: nn.Module) -> nn.Module:
    """In float32 whatever its configuration says: precision is an option of training."""
    return model.float()


def _table(model: str) -> dict[str, Any] | None:
    """What the model's config.json says, if there is one."""
    path = Path(model).expanduser()
    if path.is_dir():
        path /= "config.json"
    elif not path.is_file():
        path = _cached(model)
    if path is None:
        return None
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SpecError(f"{path}: is not JSON: {error}") from error
    if not isinstance(table, dict) or not isinstance(table.get("model_type"), str):
        raise SpecError(f"{path}: is no configuration of a model, it names no model_type")
    return table


def _cached(model: str) -> Any:
    """The config.json of a hub id in the hub's cache, if there is one."""
    import huggingface_hub

    if model.count("/") != 1:
        return None
    try:
        found = huggingface_hub.try_to_load_from_cache(model, "config.json")
    except huggingface_hub.errors.HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _unknown(model: str, kind: str, known: Any, task: Task) -> str:
    words = _TASKS[task][2]
    if kind != model:
        return f"'{model}' is a '{kind}', which transformers cannot use as a {words}"
    if "/" in model or "\\" in model:
        return (
            f"'{model}': no such file or folder, and as a model of the hub it is not on this "
            f"machine; get it with `hf download {model}`, or name its folder"
        )
    hint = did_you_mean(model, known)
    hint = hint if hint.startswith("did") else f"there are {', '.join(sorted(known)[:5])}, ..."
    return f"'{model}' is no configuration file and no {words} of transformers; {hint}"


def _safe_folder(weights: str) -> Path:
    folder = Path(weights).expanduser()
    if not folder.exists():
        raise WorkloadError(f"weights = '{weights}': no such folder")
    files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    if not any(file.suffix == ".safetensors" for file in files):
        pickled = next((file.name for file in files if file.suffix in _PICKLED), None)
        if pickled:
            raise WorkloadError(
                f"weights in {weights}: {pickled} is pickled, and reading it could run any code; "
                "convert it to safetensors first"
            )
        raise WorkloadError(f"weights in {weights}: there is no .safetensors file")
    if not folder.is_dir():
        raise WorkloadError(f"weights = '{weights}': is a file; name the folder that it is in")
    return folder


@contextmanager
def _quiet() -> Iterator[None]:
    """Without log lines and progress bars: a worker's output belongs to its study."""
    logging = _transformers().logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise WorkloadError(
            'Hugging Face transformers is not installed: pip install "robustlr[hf]"'
        ) from error
    return transformers
