"""OptimizerSpec → torch.optim.Optimizer: torch's own, pytorch_optimizer's, or the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from robustlr.errors import RobustlrError, SpecError, WorkloadError, did_you_mean, one_line
from robustlr.plugins import import_object
from robustlr.specs import SGD, Adam, AdamW, FactoryOptimizer, OptimizerSpec, PytorchOptimizer
from robustlr.whereabouts import located


def build_optimizer(
    spec: OptimizerSpec, parameters: Iterable[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """The optimizer a spec names over `parameters`, at learning rate `lr`.

    Raises SpecError for an unknown optimizer or option, WorkloadError where a factory fails.
    """
    weights = [weight for weight in parameters if weight.requires_grad]
    match spec:
        case SGD():
            return torch.optim.SGD(
                weights,
                lr=lr,
                momentum=spec.momentum,
                nesterov=spec.nesterov,
                weight_decay=spec.weight_decay,
            )
        case Adam() | AdamW():
            cls = torch.optim.Adam if isinstance(spec, Adam) else torch.optim.AdamW
            return cls(
                weights,
                lr=lr,
                betas=(spec.beta1, spec.beta2),
                eps=spec.eps,
                weight_decay=spec.weight_decay,
            )
        case PytorchOptimizer():
            return _pytorch_optimizer(spec, weights, lr)
        case FactoryOptimizer():
            return _from_factory(spec, weights, lr)


def _pytorch_optimizer(
    spec: PytorchOptimizer, weights: list[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    try:
        import pytorch_optimizer
    except ImportError as error:
        raise SpecError(
            f"optimizer '{spec.name}' needs pytorch_optimizer: pip install 'robustlr[optimizers]'"
        ) from error
    names = pytorch_optimizer.get_supported_optimizers()
    if spec.name.lower() not in names:
        hint = did_you_mean(spec.name.lower(), names)
        raise SpecError(f"optimizer.name: pytorch_optimizer has no '{spec.name}'; {hint}")
    cls: Callable[..., torch.optim.Optimizer] = pytorch_optimizer.load_optimizer(spec.name.lower())
    takes = inspect.signature(cls.__init__).parameters
    if "model" in takes:
        raise SpecError(
            f"optimizer '{spec.name}' needs the model itself, and the loop gives it the weights "
            "alone: use another optimizer"
        )
    known = set(takes) - {"self", "params", "lr", "kwargs"}
    for option in spec.options:
        if option not in known:
            hint = did_you_mean(option, known)
            raise SpecError(f"optimizer '{spec.name}' has no option '{option}'; {hint}")
    options: dict[str, Any] = dict(spec.options)
    if spec.name.lower() == "lamb":
        # its default divides by 1 − β1^t after the trust ratio: ten times too large a first step
        options.setdefault("adam_debias", True)
    _rehearse(spec, cls, options)
    try:
        optimizer: torch.optim.Optimizer = cls(weights, lr=lr, **options)
    except Exception as error:
        raise unusable(spec, error) from error
    return optimizer


def _rehearse(
    spec: PytorchOptimizer, cls: Callable[..., torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    """Make one update of a matrix of no account: some need what the loop does not give.

    Their signatures do not say so (AliG's closure is optional until the first step).
    """
    weight = nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.ones(2, 2)
    with torch.random.fork_rng(devices=[]):  # some add noise
        try:
            # in a group: those that need more in it than weights then say what
            cls([{"params": [weight]}], lr=1e-3, **options).step()
        except Exception as error:
            raise unusable(spec, error) from error


def unusable(spec: OptimizerSpec, error: Exception, verdict: str = "") -> SpecError:
    """What a person can do about an `error` of the optimizer that `spec` names, in one line.

    verdict: what to say, before the error's own words, where its cause is none of the known ones.
    """
    match spec:
        case PytorchOptimizer():
            name = spec.name
        case FactoryOptimizer():
            name = spec.factory
        case _:
            name = spec.kind
    text = one_line(str(error)) or type(error).__name__
    said = _cause(text) or f"{verdict or 'cannot be used here'}: {text}"
    return SpecError(f"optimizer '{name}' {said}")


def _cause(text: str) -> str | None:
    """What an optimizer lacks, by the text of its error; None where that is all there is to say."""
    if "use_muon" in text:
        return (
            "needs parameter groups, with use_muon = True for hidden matrices and False for the "
            'rest: make them in a function of your own, factory = "module:name"'
        )
    if "closure" in text:
        return "needs a closure, which the loop does not give: use another optimizer"
    if "does not require grad" in text:
        return (
            "needs second derivatives (backward with create_graph = True), which the loop does "
            "not give: use another optimizer"
        )
    if "required positional argument" in text:
        missing = text.rpartition(":")[2].strip()
        return f"needs a value for {missing}: give it in its options"
    return None


def _from_factory(
    spec: FactoryOptimizer, weights: list[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    factory = import_object(spec.factory)
    try:
        optimizer = factory(weights, lr=lr, **spec.options)
    except RobustlrError:
        raise
    except Exception as error:
        raise WorkloadError(f"optimizer '{spec.factory}' raised {located(error)}") from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise WorkloadError(
            f"optimizer '{spec.factory}' returned a {type(optimizer).__name__}, "
            "not a torch.optim.Optimizer"
        )
    return optimizer
