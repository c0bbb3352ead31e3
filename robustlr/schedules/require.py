"""What the options of schedules must be, refused in one line where they are not.

Tables are checked for types as they are read; whoever writes Python meets these.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

from robustlr.errors import SpecError


def require_number(name: str, value: float) -> None:
    """Raise SpecError unless `value` is a number; it may be infinite or NaN."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise SpecError(f"{name} must be a number, got {value!r}")


def require_numbers(name: str, values: Sequence[float]) -> None:
    """Raise SpecError unless `values` are several numbers, each as `require_number` has it."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise SpecError(f"{name} must be a list of numbers, got {values!r}")
    for value in values:
        require_number(f"every one of {name}", value)


def require_count(name: str, value: int, least: int = 1) -> None:
    """Raise SpecError unless `value` is a whole number, `least` or more."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise SpecError(f"{name} must be a whole number (an int), got {value!r}")
    if value < least:
        raise SpecError(f"{name} must be at least {least}, got {value}")


def require_fraction(name: str, value: float) -> None:
    """Raise SpecError unless 0 ≤ value ≤ 1 (which also refuses NaN)."""
    require_number(name, value)
    if not 0.0 <= value <= 1.0:
        raise SpecError(f"{name} must be in [0, 1], got {value}")


def require_share(name: str, value: float, *, below_one: bool = False) -> None:
    """Raise SpecError unless 0 < value ≤ 1, or where `below_one` 0 < value < 1."""
    require_number(name, value)
    if not 0.0 < value <= 1.0 or (below_one and value == 1.0):
        raise SpecError(f"{name} must be in (0, 1{')' if below_one else ']'}, got {value}")
