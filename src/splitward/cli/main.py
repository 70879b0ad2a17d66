"""``splitward``: the commands, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from splitward._version import __version__
from splitward.cli.audit import audit_command
from splitward.cli.bound import bound_command
from splitward.cli.calibrate import calibrate_command
from splitward.cli.certs import certs_command
from splitward.cli.cloud import cloud_command
from splitward.cli.compare import compare_command
from splitward.cli.cuts import cuts_command
from splitward.cli.data import data_app
from splitward.cli.demo import demo_command
from splitward.cli.edge import edge_command
from splitward.cli.export import export_command
from splitward.cli.harden import harden_command
from splitward.cli.list import list_command
from splitward.cli.plan import plan_command
from splitward.cli.profile import profile_command
from splitward.cli.report import report_command
from splitward.cli.reproduce import reproduce_command
from splitward.cli.score import score_command
from splitward.cli.train import train_command
from splitward.core.errors import SplitwardError

BROKEN, WRONG, INTERRUPTED = 1, 2, 130
"""Exit status: a gate is broken or nothing can be believed; wrong usage or input; interrupted."""

app = typer.Typer(
    name="splitward",
    help="What does the cloud see, and what can it make of it? Cut a network, attack the cut, get a verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo_command)
app.command("audit")(audit_command)
app.command("bound")(bound_command)
app.command("cuts")(cuts_command)
app.command("profile")(profile_command)
app.command("calibrate")(calibrate_command)
app.command("plan")(plan_command)
app.command("harden")(harden_command)
app.command("report")(report_command)
app.command("compare")(compare_command)
app.command("score")(score_command)
app.command("list")(list_command)
app.command("reproduce")(reproduce_command)
app.command("train")(train_command)
app.command("export")(export_command)
app.command("certs")(certs_command)
app.command("cloud")(cloud_command)
app.command("edge")(edge_command)
app.add_typer(data_app, name="data")


def _version(show: bool) -> None:
    if show:
        typer.echo(f"splitward {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks; may stand anywhere."),
) -> None:
    """What does the cloud see, and what can it make of it? Cut a network, attack the cut, get a verdict."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a gate broken or no verdict, 2 wrong usage or input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    try:
        status = app(words, standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except SplitwardError as error:
        if debug:
            raise
        fail(str(error), WRONG)
    except (KeyboardInterrupt, typer.Abort):
        if debug:
            raise
        fail("interrupted; finished trials are kept, and the same command goes on from there", INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        fail(_told(error, words), WRONG)


EXTRAS = ("edge", "cloud", "export")
"""Commands whose packages are an extra of their own name; all others need ``audit``."""


def _told(error: Exception, words: Sequence[str]) -> str:
    """One sentence for an error that is not one of ours."""
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("splitward"):
        extra = next((word for word in words[:1] if word in EXTRAS), "audit")
        return f"the package {error.name} is not installed, which this command needs: pip install 'splitward[{extra}]'"
    formatted = getattr(error, "format_message", None)  # click's own errors of usage
    if callable(formatted):
        return f"{str(formatted()).rstrip('.')}; see `splitward --help`"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text[:300]}; run again with --debug for the traceback, and report it"


def fail(message: str, status: int) -> None:
    """Say on standard error what was wrong, and exit."""
    print(f"splitward: {message}", file=sys.stderr)
    sys.exit(status)
