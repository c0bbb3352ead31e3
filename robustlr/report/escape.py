"""Names are anybody's text: what they must become in Markdown and LaTeX. (HTML: Jinja's own.)"""

from __future__ import annotations

import re

_MARKDOWN = re.compile(r"([\\`*_|~$#])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "×": r"\(\times\)",
    "∞": r"\(\infty\)",
    "−": r"\(-\)",
    "·": r"\(\cdot\)",
    "ε": r"\(\varepsilon\)",
    "ρ": r"\(\rho\)",
    "α": r"\(\alpha\)",
    "≥": r"\(\ge\)",
    "‖": r"\(\|\)",
    "²": r"\textsuperscript{2}",
    "√": r"\(\surd\)",
    "—": "---",
    "₀": r"\textsubscript{0}",
}
_LATEX_SPECIAL = re.compile("|".join(re.escape(character) for character in _LATEX))


def markdown(text: str) -> str:
    r"""Text that Markdown shows as it is; brackets stay, for an interval is no link.

    >>> markdown("a|b_c <b> [0.1, 0.2] [x](y)")
    'a\\|b\\_c &lt;b&gt; [0.1, 0.2] [x]\\(y)'
    """
    text = " ".join(text.split()).replace("&", "&amp;")
    text = _MARKDOWN.sub(r"\\\1", text).replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("](", r"]\(").replace("]:", r"]\:").replace("][", r"]\[")


def latex(text: str) -> str:
    r"""Text that LaTeX shows as it is.

    >>> latex("50 % of a_b")
    '50 \\% of a\\_b'
    """
    return _LATEX_SPECIAL.sub(lambda match: _LATEX[match.group()], " ".join(text.split()))
