"""The `lookalike` command."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from lookalike.model.errors import GateError, LookalikeError
from lookalike.model.printable import say

from ..filesystem import files
from ..filesystem.encoding import restart_in_utf8
from . import logs, native, output
from .duplicates import duplicates
from .encoder import encoder_app
from .evaluate import evaluate
from .explain import explain
from .export import export
from .groups import OWN_PROCESS, QUIET, Group
from .init import init
from .jobs import BEAM, embed, index, nightly, pack, query
from .logs import LogFormat
from .options import expand
from .pandas_aside import leave_pandas_aside
from .report import report
from .standing import standing
from .store import exclude_app, generations_app
from .train import train

app = Group(
    help="Batch image retrieval: embed image shards with a CNN on Apache Beam, index them with ScaNN, "
    "answer files of queries.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(encoder_app, name="encoder")
app.add_typer(generations_app, name="generations")
app.add_typer(exclude_app, name="exclude")

EXIT_CODES = (
    "Exit codes: 0 done; 2 it could not be done, and the message tells how to mend it; 3 done, but a shard could "
    "be read only in part, no query could be answered, or a standing query could not; 4 done, but an id that was "
    "named is nowhere; 10 to 18 a gate failed, nothing was published; 130 interrupted, 143 terminated. "
    "docs/reference/exit-codes.md tells which gate has which code."
)
INTERRUPTED, TERMINATED = 130, 143


def _version(asked: bool) -> None:
    if asked:
        import importlib.metadata

        print(f"lookalike {importlib.metadata.version('lookalike')}")
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def main_options(
    ctx: typer.Context,
    log: Annotated[LogFormat, typer.Option(help="Log lines for people, or JSON for machines.")] = "text",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also what the libraries say.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help=QUIET)] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    logs.set_up(log, verbose)
    if quiet:
        logs.only_errors()
    if ctx.obj is OWN_PROCESS:
        ctx.with_resource(native.captured())
        leave_pandas_aside()


app.command()(init)
app.command()(pack)
app.command(context_settings=BEAM)(embed)
app.command(context_settings=BEAM)(index)
app.command(context_settings=BEAM)(nightly)
app.command(context_settings=BEAM)(query)
app.command(context_settings=BEAM)(standing)
app.command(context_settings=BEAM)(duplicates)
app.command()(evaluate)
app.command()(explain)
app.command()(export)
app.command()(report)
app.command()(train)


@app.command()
def demo(
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", callback=expand, help="Photographs of your own, instead of scikit-image's."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", callback=expand, help="Folder for everything.")
    ] = Path("demo"),
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            callback=expand,
            help="The job file. Default: config/demo.yaml, or the one that comes with the package.",
        ),
    ] = None,
) -> None:
    """Try it all on views of some photographs: pack, build the encoder, run nightly, query, tell the score.

    Needs no network. A second run deletes what the first one made in OUT, and nothing else.

    Example: lookalike demo --images photos/
    """
    from ..config.examples import example
    from ..demo.run import demo as run

    near = Path("config/demo.yaml")
    run(out, config or (near if near.is_file() else example("demo.yaml")), images)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: turns what a user can mend into one sentence and a non-zero exit."""
    received: list[int] = []

    def end(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if arguments is None:
        signal.signal(signal.SIGTERM, end)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's `&` has it ignored
            signal.signal(signal.SIGINT, end)
    try:
        if arguments is None:
            restart_in_utf8()
            output.guard()
        _run(arguments, received)
    except GateError as error:
        _fail(str(error), error.exit_code)
    except LookalikeError as error:
        _fail(str(error))
    except OSError as error:
        _fail(files.reason(error))
    except output.OutputError as error:
        if error.reader_left:
            sys.exit(output.READER_LEFT)
        _fail(str(error))
    except (KeyboardInterrupt, SystemExit) as stop:
        # typer turns Ctrl-C into this code, without a word, but for one that comes before it has its commands.
        if isinstance(stop, KeyboardInterrupt) or stop.code == INTERRUPTED:
            terminated = signal.SIGTERM in received
            what, code = ("terminated", TERMINATED) if terminated else ("interrupted", INTERRUPTED)
            _fail(f"{what}; what is finished is kept, run the same command to go on", code)
        raise


def _run(arguments: list[str] | None, received: list[int]) -> None:
    """Runs a command. One that ends well has written all that it printed."""
    try:
        app(args=arguments, obj=OWN_PROCESS if arguments is None else None)
    except SystemExit as stop:
        if not stop.code:
            sys.stdout.flush()
        raise
    except Exception:
        if received:  # Pydantic, for one, makes an error of its own of an interrupt
            raise KeyboardInterrupt from None
        raise


def _fail(sentence: str, code: int = 2) -> None:
    if logs.current_format() == "json":
        logging.getLogger("lookalike.cli.main").error(sentence)
    else:
        say(f"lookalike: error: {sentence}", file=sys.stderr)
    sys.exit(code)
