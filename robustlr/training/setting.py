"""What a run stands on: the process group and its precision, the random state, the examples."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from robustlr.errors import DataError, SpecError, WorkloadError
from robustlr.specs import Cell, TrainingSpec
from robustlr.training.tracking import Tracking, accelerator_options
from robustlr.workloads import Examples, Split, Workload

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
_SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def make_accelerator(cell: Cell, tracking: Tracking | None = None) -> Accelerator:
    """Accelerate's view of this process group, in the cell's precision.

    Raises SpecError where the machine or the group is not what the cell asks for.
    """
    precision = precision_of(cell.training)
    shared = AcceleratorState._shared_state
    if shared and AcceleratorState().mixed_precision != precision:
        # Accelerate knows one precision per process; the process group outlives this
        AcceleratorState._reset_state()
    # without cpu=True Accelerate does not see a group of ranks on a machine without a GPU
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision=precision,
        **accelerator_options(tracking),
    )
    if accelerator.num_processes != cell.training.processes_per_cell:
        raise SpecError(
            f"training.processes_per_cell = {cell.training.processes_per_cell}, but this group "
            f"has {accelerator.num_processes}"
        )
    return accelerator


def precision_of(training: TrainingSpec) -> str:
    """The precision as Accelerate calls it. Raises SpecError where this machine lacks it."""
    if training.precision == "fp16" and not torch.cuda.is_available():
        raise SpecError("training.precision = 'fp16' needs a GPU; use 'bf16' or 'fp32' here")
    return _PRECISIONS[training.precision]


def end_training() -> None:
    """Leave the process group, if there is one (gloo ranks abort at exit without it)."""
    Accelerator().end_training()


def seed_torch(seed: int, device: torch.device) -> None:
    """Like torch.manual_seed, which spends 0.1 ms on GPUs that are not there."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def make_model(workload: Workload, seed: int) -> nn.Module:
    """The workload's fresh model, in training mode however it was built.

    Raises WorkloadError where it is none, or has no weights.
    """
    model: object = workload.model(seed)
    if not isinstance(model, nn.Module):
        raise WorkloadError(f"model(seed) must return a torch.nn.Module, got {_kind(model)}")
    if next(model.parameters(), None) is None:
        raise WorkloadError(f"its model, a {_kind(model)}, has no weights to train")
    return model.train()


def load_examples(cell: Cell, workload: Workload, device: torch.device) -> dict[Split, Examples]:
    """The examples of every split on `device`.

    Raises DataError naming the split, WorkloadError where they are not what they should be.
    """
    loaded: dict[Split, Examples] = {}
    for split in _SPLITS:
        where = f"workload '{cell.workload.label}', {split} split"
        try:
            examples = workload.examples(split, cell.seed)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        lacking = [name for name in ("__len__", "batch", "to") if not hasattr(examples, name)]
        if lacking:
            raise WorkloadError(
                f"{where}: examples must have len(), batch(indices) and to(device), as "
                f"TensorExamples has; got {_kind(examples)} without {lacking[0].strip('_')}"
            )
        if not len(examples):
            raise DataError(f"{where}: has no examples")
        loaded[split] = examples.to(device)
    return loaded


def _kind(value: object) -> str:
    return type(value).__name__
