"""Every workload by name: ours, third parties' (entry point robustlr.workloads), and yours.

Names are known without importing anything heavy; classes are imported when they are needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib.metadata import entry_points
from typing import Any, get_type_hints

from pydantic import PydanticUserError, TypeAdapter

from robustlr.errors import RobustlrError, SpecError, WorkloadError, did_you_mean
from robustlr.plugins import import_object
from robustlr.specs import WorkloadSpec
from robustlr.validation import parse_table
from robustlr.whereabouts import located
from robustlr.workloads.base import Workload

GROUP = "robustlr.workloads"
REQUIRED = "(required)"
"""What a description gives for an option without a default."""
BUILTIN: Mapping[str, str] = {
    "absolute_regression": "robustlr.workloads.absolute_regression:AbsoluteRegression",
    "cifar10": "robustlr.workloads.cifar10:Cifar10",
    "cifar100": "robustlr.workloads.cifar100:Cifar100",
    "digits_mlp": "robustlr.workloads.digits_mlp:DigitsMLP",
    "hf_causal_lm": "robustlr.workloads.hf_causal_lm:HFCausalLM",
    "hf_image_classification": ("robustlr.workloads.hf_image_classification:HFImageClassification"),
    "imagenet": "robustlr.workloads.imagenet:ImageNet",
    "logistic": "robustlr.workloads.logistic:Logistic",
    "text_bytes": "robustlr.workloads.text_bytes:TextBytes",
    "wikitext103": "robustlr.workloads.wikitext103:WikiText103",
}


def workload_names() -> dict[str, str]:
    """Every registered kind and the "module:name" behind it.

    Raises SpecError where an installed entry point would take the name of another.
    """
    names = dict(BUILTIN)
    for point in entry_points(group=GROUP):
        if point.name in names or point.name == "factory":
            raise SpecError(f"entry point {GROUP}:{point.name} takes a name in use: rename yours")
        names[point.name] = point.value
    return names


def workload_class(kind: str) -> Any:
    """The class or factory behind a registered kind. Raises SpecError for an unknown one."""
    names = workload_names()
    if kind not in names:
        hint = did_you_mean(kind, names)
        raise SpecError(f"unknown workload '{kind}'; {hint} (yours: factory = 'module:name')")
    return import_object(names[kind])


def describe_workloads() -> list[dict[str, Any]]:
    """kind, summary (a sentence) and options with their defaults of every registered workload."""
    described = []
    for kind in sorted(workload_names()):
        maker = workload_class(kind)
        described.append(
            {"kind": kind, "summary": _summary(maker), "options": _default_options(maker)}
        )
    return described


def build_workload(spec: WorkloadSpec) -> Workload:
    """The workload a spec names, with its options.

    Raises SpecError for an unknown kind or option, WorkloadError where a factory cannot be
    imported, raises, or returns something else.
    """
    name = spec.factory or spec.kind
    maker = import_object(spec.factory) if spec.factory else workload_class(spec.kind)
    if not callable(maker):
        raise WorkloadError(
            f"workload '{name}' is a {type(maker).__name__}, not a function or class"
        )
    try:
        if isinstance(maker, type) and is_dataclass(maker) and issubclass(maker, Workload):
            return parse_table(maker, spec.options, where=f"workload '{spec.label}'")
        workload = maker(**spec.options)
    except RobustlrError:
        raise
    except PydanticUserError as error:
        raise WorkloadError(
            f"workload '{name}' has fields that no study file can hold: {_unreadable(maker)}; "
            "options are numbers, text, lists and tables: make the rest in a method, or make it a "
            "plain class"
        ) from error
    except (Exception, SystemExit) as error:
        raise WorkloadError(f"workload '{name}' raised {located(error)}") from error
    if not isinstance(workload, Workload):
        raise WorkloadError(
            f"workload '{name}' returned a {type(workload).__name__}, "
            "not a subclass of robustlr.workloads.Workload"
        )
    return workload


def _unreadable(maker: Any) -> str:
    """The fields of a dataclass whose types cannot be read from a table."""
    hints = get_type_hints(maker, include_extras=True)
    bad = []
    for item in fields(maker):
        try:
            TypeAdapter(hints[item.name])
        except PydanticUserError:
            bad.append(item.name)
    return ", ".join(bad)


def _summary(maker: Any) -> str:
    return (inspect.getdoc(maker) or "").partition("\n\n")[0].replace("\n", " ")


def _default_options(maker: Any) -> dict[str, Any]:
    made = {
        item.name: item.default_factory()
        for item in (fields(maker) if is_dataclass(maker) else ())
        if item.default_factory is not MISSING
    }
    parameters = inspect.signature(maker).parameters.values()
    return {
        parameter.name: made.get(parameter.name, _default(parameter.default))
        for parameter in parameters
        if parameter.name != "kind" and parameter.kind is not parameter.VAR_KEYWORD
    }


def _default(value: Any) -> Any:
    return REQUIRED if value is inspect.Parameter.empty else value
