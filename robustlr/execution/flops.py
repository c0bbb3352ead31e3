"""How much arithmetic a study is, without its data and without training.

    FLOPs of a run = 3 · F · B · T

Legend
    F   floating-point operations of one example's forward pass, a multiply-add counted as two;
        by torch's flop counter, on tensors of shapes alone (the meta device) where the model can
    B   batch size; T  number of updates
    3   forward 1, backward 2: a gradient with respect to inputs, and one to weights

Evaluation and estimates of the curvature come on top. Source of the factor 3: Kaplan et al. 2020,
arXiv 2001.08361, section 2.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from robustlr.errors import RobustlrError, WorkloadError
from robustlr.specs import Cell, WorkloadSpec
from robustlr.whereabouts import located

if TYPE_CHECKING:
    from robustlr.workloads import Batch, Workload

_EXAMPLES = 2  # one example is a special case to some layers


def training_flops(cells: Iterable[Cell]) -> float:
    """FLOPs of training `cells`.

    Raises SpecError or WorkloadError for a workload that cannot be built, DataError for one
    that needs its data to know the shape of an example.
    """
    examples: Counter[str] = Counter()
    workloads: dict[str, WorkloadSpec] = {}
    for cell in cells:
        workloads[cell.workload.label] = cell.workload
        examples[cell.workload.label] += cell.batch_size * cell.num_steps
    return sum(3.0 * forward_flops(workloads[label]) * examples[label] for label in workloads)


def forward_flops(spec: WorkloadSpec) -> float:
    """F of the workload `spec`. Raises what `training_flops` raises.

    >>> forward_flops(WorkloadSpec(kind="digits_mlp", options={"hidden": (32,)})) / 2
    2368.0
    """
    from robustlr.workloads import build_workload

    workload = build_workload(spec)
    batch = workload.specimen(_EXAMPLES)
    try:
        return _counted(workload, batch, "meta")
    except Exception:  # a model that looks at numbers: count on real ones
        try:
            return _counted(workload, batch, "cpu")
        except RobustlrError:
            raise
        except Exception as error:
            raise WorkloadError(f"workload '{spec.label}' raised {located(error)}") from error


def _counted(workload: Workload, batch: Batch, device: str) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device(device), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = workload.model(0)
        workload.loss(model, [part.to(device) for part in batch])
    return float(counter.get_total_flops()) / _EXAMPLES
