"""One batch and one update of a study's workload before any of its cells runs.

What is wrong with a model, its data, its loss or its optimizer would fail every cell, one by one:
it is found here, once, and said in a sentence. Data that is loaded as it is needed is loaded here,
up to a thousand examples of every split.
"""

from __future__ import annotations

import dataclasses
import math
from contextlib import closing
from typing import Any

import torch
from torch import nn

from robustlr.curvature import leading_examples, make_estimator, probe_generator
from robustlr.curvature.batches import batch_size
from robustlr.errors import RobustlrError, WorkloadError
from robustlr.optimizers import build_optimizer, unusable
from robustlr.specs import OptimizerSpec, StudySpec, TrainingSpec, WorkloadSpec
from robustlr.training.evaluation_weights import begin_training, evaluation_weights
from robustlr.training.feed import Feed
from robustlr.training.layout import use_channels_last
from robustlr.training.learner import checked_loss
from robustlr.training.order import BatchOrder
from robustlr.training.recomputation import use_checkpointing
from robustlr.training.setting import load_examples, make_model, precision_of, seed_torch
from robustlr.whereabouts import located
from robustlr.workloads import Batch, Examples, Request, StreamedExamples, Workload, stream

_FEW = 8  # examples to evaluate; of a training batch where the model may not fit one device
_LOADED = 1000  # examples of a split that are looked at: seconds, for photographs
_AT_ONCE = 50
_NAMED = 3  # of the weights that are not used


def rehearse(spec: StudySpec, choice: WorkloadSpec, workload: Workload) -> None:
    """Make the first update of a cell with the workload `choice`, and drop it.

    The cell is one of the smallest batch: BatchNorm cannot bear one example.

    Raises SpecError, DataError or WorkloadError that names the workload, whatever that raised.
    """
    try:
        _rehearse(spec, choice, workload)
    except RobustlrError as error:
        where = f"workload '{choice.label}'"
        if where in str(error):
            raise
        raise type(error)(f"{where}: {error}") from error.__cause__
    except (Exception, SystemExit) as error:
        raise WorkloadError(f"workload '{choice.label}' raised {located(error)}") from error


def _rehearse(spec: StudySpec, choice: WorkloadSpec, workload: Workload) -> None:
    training = spec.training
    precision_of(training)
    cell = next(cell for cell in spec.cells() if cell.workload == choice)
    cell = dataclasses.replace(cell, batch_size=min(spec.batch_size))
    sharded = training.accelerate_config is not None
    device = torch.device("cuda" if torch.cuda.is_available() and not sharded else "cpu")
    seed_torch(cell.seed, device)
    model = make_model(workload, cell.seed).to(device)
    if training.channels_last:
        use_channels_last(model)
    if training.gradient_checkpointing:
        use_checkpointing(model)
    examples = load_examples(cell, workload, device)
    for size in spec.batch_size:
        BatchOrder(len(examples["train"]), size, cell.seed)
    feed = Feed(examples["train"], cell, ranks=training.processes_per_cell)
    try:
        micro = feed.update()[0]
    finally:
        feed.close()
    batch = _few(micro) if sharded else micro
    with _autocast(training, device):
        loss = checked_loss(workload.loss(model, batch))
    if not math.isfinite(loss.item()):
        raise WorkloadError(f"the fresh model's loss on the first batch is {loss.item()}")
    torch.autograd.backward(loss)
    _check_gradients(model)
    if training.processes_per_cell > 1 and not sharded:
        _check_replicable(model)
    _estimate(spec, workload, model, micro, sharded=sharded)
    model.eval()
    with torch.no_grad():
        workload.inspect(model, batch)
    with torch.no_grad(), _autocast(training, device):
        for split in ("valid", "test"):
            few = torch.arange(min(_FEW, len(examples[split])))
            _check_sums(workload.evaluate(model, examples[split], few))
    _update(spec, model, cell.peak_lr, sharded=sharded)
    for part in examples.values():
        _load(part)


def _check_gradients(model: nn.Module) -> None:
    """Raise WorkloadError where nothing would be learned."""
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    if not gradients:
        raise WorkloadError(
            f"its loss does not depend on any weight of its model, a {type(model).__name__}: "
            "is it computed with another model?"
        )
    if not any(bool(gradient.any()) for gradient in gradients):
        raise WorkloadError(
            "the gradient of its loss on the first batch is zero for every weight, and nothing "
            "would be learned: is the loss rounded, a count, or multiplied by zero?"
        )


def _check_replicable(model: nn.Module) -> None:
    """Raise WorkloadError where a weight is left without a gradient, which DDP would wait for."""
    named = [(n, weight) for n, weight in model.named_parameters() if weight.requires_grad]
    idle = [name for name, weight in named if weight.grad is None]
    if idle:
        shown = ", ".join(idle[:_NAMED]) + (" and others" if len(idle) > _NAMED else "")
        raise WorkloadError(
            f"its loss does not depend on {shown} of its model, and several processes wait for "
            "the gradient of every weight: freeze them (requires_grad = False), or take "
            "training.processes_per_cell = 1"
        )


def _load(examples: Examples) -> None:
    """Load what is loaded as it is needed; evenly spaced, so that a damaged part is met too."""
    if not isinstance(examples, StreamedExamples):
        return
    count = min(_LOADED, len(examples))
    parts = torch.split(torch.arange(count) * len(examples) // count, _AT_ONCE)
    with closing(stream(examples, map(Request, parts))) as batches:
        for _ in batches:
            pass


def _estimate(
    spec: StudySpec, workload: Workload, model: nn.Module, micro: Batch, *, sharded: bool
) -> None:
    """One estimate of the curvature as every schedule of the study asks for it."""
    device = next(model.parameters()).device
    asked = [schedule.curvature_request for schedule in spec.schedule]
    # those that differ in how often they ask, alone, ask for the same
    once = [dataclasses.replace(request, every=1) for request in asked if request is not None]
    for request in dict.fromkeys(once):
        part = leading_examples(micro, request.batch_fraction)
        make_estimator(request.estimator, probes=request.probes).estimate(
            *(model, _few(part) if sharded else part, probe_generator(0, 0, 0, device)),
            loss_fn=workload.loss,
            sample_loss_fn=workload.sampled_loss,
            diagonal=request.extremes,
        )


def _update(spec: StudySpec, model: nn.Module, lr: float, *, sharded: bool) -> None:
    """One update of the model by every optimizer of the study: the model is spent afterwards.

    Of a sharded model, which may not fit one device, only the smallest of its matrices is updated,
    of its vectors, and so on.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if sharded:
        falling = sorted(weights, key=lambda weight: -weight.numel())
        weights = list({weight.ndim: weight for weight in falling}.values())
    *others, last = spec.optimizer
    for choice in others:
        _update_by(choice, [_twin(weight) for weight in weights], lr)
    _update_by(last, weights, lr)  # without a copy: there is often one optimizer alone


def _update_by(choice: OptimizerSpec, weights: list[nn.Parameter], lr: float) -> None:
    optimizer = build_optimizer(choice, weights, lr)
    try:
        begin_training(optimizer)
        optimizer.step()
        with evaluation_weights(optimizer, weights):
            pass
    except Exception as error:
        verdict = (
            "cannot update this model (use another optimizer, or give each the weights that it "
            'can update in a function of your own, factory = "module:name")'
        )
        raise unusable(choice, error, verdict) from error


def _twin(weight: nn.Parameter) -> nn.Parameter:
    """A copy of a weight and of its gradient."""
    twin = nn.Parameter(weight.detach().clone())
    twin.grad = None if weight.grad is None else weight.grad.clone()
    return twin


def _few(batch: Batch) -> Batch:
    return leading_examples(batch, min(_FEW / batch_size(batch), 1.0))


def _autocast(training: TrainingSpec, device: torch.device) -> torch.autocast:
    dtype = torch.float16 if training.precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=training.precision != "fp32")


def _check_sums(sums: Any) -> None:
    try:
        loss, metric = (float(value) for value in sums)
    except (TypeError, ValueError) as error:
        raise WorkloadError(
            "evaluate must return two numbers, the sums of losses and of metrics; "
            f"got {type(sums).__name__}"
        ) from error
    if not (math.isfinite(loss) and math.isfinite(metric)):
        raise WorkloadError(f"the fresh model's evaluation is {loss}, {metric}")
