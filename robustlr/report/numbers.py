"""Numbers as a reader wants them: sensible digits, intervals, never a nan.

"—" stands for what the data do not support, "∞" for a target that is never reached.
"""

from __future__ import annotations

import math

ABSENT = "—"
LEGEND = (
    "Brackets hold 95 % intervals over seeds; — means that the data do not support the number, "
    "∞ that fewer than half of the runs reach the target."
)
_DIGITS = 3


def number(value: float | None, *, digits: int = _DIGITS) -> str:
    """A value with significant digits.

    >>> [number(v) for v in (0.12345, 1234.5, 2.0, 0.0, 1.5e-7, float("inf"), None)]
    ['0.123', '1234', '2', '0', '1.5e-7', '∞', '—']
    """
    if value is None or math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{_without_zeros(mantissa)}e{int(exponent)}"
    if abs(value) >= 10**digits:
        return f"{value:.0f}"
    return _without_zeros(_fixed(value, _decimals(value, digits)))


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A value and its interval to the same decimal place, two digits into the interval's width.

    >>> interval(0.1234, 0.1101, 0.1399)
    '0.123 [0.110, 0.140]'
    >>> interval(5.0, None, None), interval(None, 0.0, 1.0), interval(3.0, 1.0, float("inf"))
    ('5', '—', '3 [1, ∞]')
    >>> interval(6.0, 5.0, 17.0), interval(0.05623, 0.05623, 0.05623)
    ('6 [5, 17]', '0.0562 [0.0562, 0.0562]')
    """
    if value is None or low is None or high is None or not math.isfinite(value):
        return number(value)
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{number(value)} [{number(low)}, {number(high)}]"
    size = max(abs(value), abs(low), abs(high))
    whole = value == round(value) and low == round(low) and high == round(high)
    if low == high or whole or not 1e-4 <= size < 1e6:
        return f"{number(value)} [{number(low)}, {number(high)}]"
    places = max(_decimals(high - low, 2), _decimals(size, 2))
    places = max(0, min(places, _decimals(size, _DIGITS + 1)))
    return f"{_fixed(value, places)} [{_fixed(low, places)}, {_fixed(high, places)}]"


def choices(value: float | None, low: float | None, high: float | None) -> str:
    """A choice among grid points and the range of choices: each point as it is.

    >>> choices(0.1778, 0.0562, 0.3162)
    '0.178 [0.0562, 0.316]'
    """
    if low is None or high is None:
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def ratio(value: float | None) -> str:
    """A factor between neighbouring learning rates.

    >>> ratio(10.0), ratio(1.7782794), ratio(316.2), ratio(None)
    ('10×', '1.78×', '316×', '—')
    """
    return ABSENT if value is None else f"{number(value)}×"


def ratio_interval(value: float | None, low: float | None, high: float | None) -> str:
    """
    >>> ratio_interval(10.0, 5.623, 31.62)
    '10× [5.62×, 31.6×]'
    """
    if value is None or low is None or high is None:
        return ratio(value)
    return f"{ratio(value)} [{ratio(low)}, {ratio(high)}]"


def percent(share: float | None) -> str:
    """A share.

    >>> percent(0.01), percent(0.98765), percent(0.00034), percent(None)
    ('1 %', '98.8 %', '0.034 %', '—')
    """
    if share is None:
        return ABSENT
    almost = 0.9995 <= share < 1.0  # must not read as certain
    return "> 99.9 %" if almost else f"{number(100 * share)} %"


def percent_interval(value: float | None, low: float | None, high: float | None) -> str:
    """
    >>> percent_interval(0.0123, 0.01, 0.02)
    '1.2 [1.0, 2.0] %'
    """
    hundred = [None if part is None else 100 * part for part in (value, low, high)]
    return ABSENT if value is None else f"{interval(*hundred)} %"


def plural(how_many: int, one: str, many: str = "") -> str:
    """
    >>> plural(1, "run"), plural(3, "run")
    ('1 run', '3 runs')
    """
    return f"{how_many} {one if how_many == 1 else many or one + 's'}"


def listed(names: list[str]) -> str:
    """
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _decimals(value: float, digits: int) -> int:
    """Decimal places that show `digits` significant digits of `value`.

    >>> _decimals(0.0123, 2), _decimals(12.3, 2)
    (3, 0)
    """
    return digits - 1 - math.floor(math.log10(abs(value)) + 1e-12)


def _fixed(value: float, places: int) -> str:
    text = f"{value:.{max(places, 0)}f}"
    return text.lstrip("-") if float(text) == 0 else text


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
