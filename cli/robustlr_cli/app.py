"""The command line: wires the groups together, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from robustlr.errors import RobustlrError, one_line
from robustlr_cli import compare, report, schedule, speedup, study, theory, workload
from robustlr_cli._console import say, show_error

app = typer.Typer(
    name="robustlr",
    help=(
        "How wrong can the learning rate be before it hurts, which schedule forgives it most, and "
        "how much tuning and training time does that save?"
    ),
    epilog="Start with: robustlr study run digits",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(study.app, name="study")
app.command("compare")(compare.compare)
app.command("speedup")(speedup.speedup)
app.add_typer(report.app, name="report")
app.add_typer(schedule.app, name="schedule")
app.add_typer(workload.app, name="workload")
app.add_typer(theory.app, name="theory")


def _show_version(wanted: bool) -> None:
    if wanted:
        import robustlr

        say(robustlr.__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback behind an error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Options before the command."""
    if debug:
        os.environ["ROBUSTLR_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 good, 1 the user's input, 2 usage, 3 some cells failed.

    130 after Ctrl-C (Typer's own). `arguments` are those of the process unless given.
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="robustlr")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except RobustlrError as error:
        return _explained(error, str(error), error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _explained(error, f"{where}{error.strerror or error}", 1)
    except Exception as error:
        what = one_line(f"{type(error).__name__}: {error}")
        return _explained(error, f"unexpected {what} (a bug; --debug shows where)", 1)
    return 0


def _explained(error: BaseException, text: str, code: int) -> int:
    if os.environ.get("ROBUSTLR_DEBUG"):
        raise error
    show_error(one_line(text))
    return code


if __name__ == "__main__":
    sys.exit(main())
