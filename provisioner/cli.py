"""The commands and how they are typed, and nothing else; the options that several have are in ``options``.

Everything heavier than click is imported by the command that needs it: ``--help`` answers at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from provisioner import __version__, lifetime, options
from provisioner.border import document, screened
from provisioner.exits import AGAIN, DONE, FAILED, INTERRUPTED, USAGE, Stop, as_stop

if TYPE_CHECKING:
    from provisioner.caller import Caller
    from provisioner.session import Connect


_QUIET: Mapping[str, Any] = {"as_json": False, "log_format": None, "verbose": 0}
"""What is given to a command that has one form and writes no log."""


@dataclass(frozen=True)
class _Invocation:
    """What a command knows of the line it was called with."""

    arguments: Sequence[str]
    connect: Connect | None
    """How to reach AWS in place of the target's own way; tests give it as click's ``obj``."""


class _CommandLine(click.Group):
    """Commands of which each, whatever goes wrong, ends in one clear message and a documented exit code."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        arguments = list(sys.argv[1:] if args is None else args)
        invocation = _Invocation(arguments, extra.get("obj"))
        try:
            code = super().main(arguments, "provisioner", standalone_mode=False, obj=invocation)
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            sys.exit(_said(error, arguments))
        sys.exit(code if isinstance(code, int) else DONE)


@click.group(cls=_CommandLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="provisioner")
def provisioner() -> None:
    """Bring up a whole AWS environment with one command, and take it down with another.

    Whatever happens in between, running the same command again finishes the job.

    Exit codes: 0 done; 1 a step failed, run again to go on; 2 wrong usage or environment file; 3 refused before
    anything was changed; 4 another run holds the lock; 130 interrupted, run again to go on.
    """


@provisioner.command()
@options.stack
@options.changing
@options.strict
@click.option("--skip-preflight", is_flag=True, help="Begin at once; what AWS refuses then fails on the way.")
@click.option(
    "--plan",
    "held_to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Make only calls that are in this plan (plan --out), without asking; stop before any other.",
)
def provision(held_to: Path | None, strict: bool, skip_preflight: bool, **given: Any) -> int:
    """Build an environment, or bring it up to date."""
    return _run("provision", given, strict=strict, unchecked=skip_preflight, held_to=held_to)


@provisioner.command()
@options.stack
@options.strict
def preflight(strict: bool, **given: Any) -> int:
    """Tell everything that stands in the way of provision, before it changes anything."""
    from provisioner import command

    return command.preflight(_caller(given), strict)


@provisioner.command()
@options.stack
@options.changing
def teardown(**given: Any) -> int:
    """Remove an environment, leaving nothing behind."""
    return _run("teardown", given)


@provisioner.command()
@options.stack
@options.strict
@click.option("--detailed-exitcode", is_flag=True, help="Exit 0 if there is nothing to do, 2 if there is, 1 on error.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Put the plan into a file as well, for provision --plan.",
)
def plan(detailed_exitcode: bool, strict: bool, out: Path | None, **given: Any) -> int:
    """Show what provision would call, why, how long it takes and what it costs; changes nothing."""
    from provisioner import command

    return command.plan(_caller(given), detailed_exitcode, strict, out)


@provisioner.command()
@options.stack
@click.option(
    "--accept",
    multiple=True,
    metavar="KEY",
    help="Print what to write into the environment file so that this change is the wish; may be given again.",
)
def drift(accept: tuple[str, ...], **given: Any) -> int:
    """Show what somebody changed since the last run: exits 0 if nothing, 2 if something, 1 on any error."""
    from provisioner import command

    return command.drift(_caller(given), accept)


@provisioner.command()
@click.argument("environments", metavar="[ENV]...", nargs=-1)
@options.target
@options.config_dir
@options.state_dir
@options.as_json
def cost(environments: tuple[str, ...], **given: Any) -> int:
    """Compare what environments cost a month; without ENV all of them.

    Each is told as it is, and with instances of a fixed class. No stack is touched: prices are the recorded ones, or
    with --target aws those of the AWS price list.
    """
    from provisioner import command

    return command.cost(_caller({**given, "environment": "", "log_format": None, "verbose": 0}), environments)


@provisioner.command("iam-policy")
@click.argument("environment", metavar="ENV")
@options.suffix
@options.target
@options.config_dir
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["plan", "provision", "teardown"]),
    help="What it has to suffice for.  [default: provision]",
)
@click.option("--boundary", is_flag=True, help="The most a role for this stack may ever do: its permissions boundary.")
@click.option("--account", type=options.ACCOUNT, default="", help="The account it is for, where nobody is to be asked.")
@click.option("--part", type=click.IntRange(1), metavar="N", help="One of several, where IAM takes no policy as long.")
def iam_policy(purpose: str | None, boundary: bool, account: str, part: int | None, **given: Any) -> int:
    """Print the smallest IAM policy that lets an environment be planned, provisioned or torn down.

    The account is --account, the only one that the file allows, the embedded cloud's, or with --target aws that of the
    credentials.
    """
    from provisioner import command

    if boundary and purpose:
        raise click.UsageError("--boundary is for all purposes; give it without --for")
    if boundary and part:
        raise click.UsageError("--boundary is one document, as a role has one boundary; give it without --part")
    chosen: Any = None if boundary else purpose or "provision"
    return command.iam_policy(_caller({**given, **_QUIET}), chosen, account, part)


@provisioner.command()
@options.stack
def status(**given: Any) -> int:
    """Show every step with what AWS says of it now; exits 1 if one could not be looked at."""
    from provisioner import command

    return command.status(_caller(given))


@provisioner.command()
@options.stack
@click.option("--format", "form", type=click.Choice(["text", "env"]), default="text", show_default=True)
def outputs(form: str, **given: Any) -> int:
    """Print the ids and endpoints that others need."""
    from provisioner import command

    return command.outputs(_caller(given), form)


@provisioner.command()
@options.stack
@click.option("--format", "form", type=click.Choice(["text", "mermaid", "dot"]), default="text", show_default=True)
def graph(form: str, **given: Any) -> int:
    """Print which step waits for which: as a tree, for Mermaid or for Graphviz."""
    from provisioner import command

    return command.graph(_caller(given), form)


@provisioner.command()
def schema() -> None:
    """Print the JSON Schema of the environment file, for an editor."""
    from provisioner import schema as rules

    _print_json(rules.document())


@provisioner.command()
@click.argument("environment", metavar="ENV")
@options.suffix
@options.config_dir
@click.option(
    "--faults",
    type=click.Choice(["none", "some", "brutal"]),
    default="some",
    show_default=True,
    help="How hard that cloud is: throttling, errors, lost replies, reads that lag.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Which requests suffer what.")
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0),
    metavar="X",
    default=0.0,
    help="How long databases and gateways take: 1 as long as at AWS.  [default: 0, no time at all]",
)
@options.as_json
def rehearse(faults: str, seed: int, time_scale: float, **given: Any) -> int:
    """Build, spoil, repair and tear down an environment in a cloud of its own, under faults.

    Touches no state and no other cloud. Exits 0 if after each stage there was exactly what is declared, else 1.
    """
    from provisioner import run

    return run.rehearse(_caller({**given, "log_format": None, "verbose": 0}), faults, seed, time_scale)


@provisioner.command()
@options.config_dir
@options.as_json
@click.option("--write", is_flag=True, help="Copy the environment files that come with provisioner into the folder.")
def environments(config_dir: Path, as_json: bool, write: bool) -> None:
    """List the environments, or write files to begin with."""
    from provisioner import config

    written = config.write_templates(config_dir) if write else []
    if as_json:
        _print_json({"environments": config.names(config_dir), "written": [str(path) for path in written]})
        return
    for path in written:
        _print(f"wrote {path}")
    found = config.names(config_dir)
    if not found:
        _print(f"no environment in {config_dir}; to begin with some: provisioner environments --write")
    for name in found if not written else []:
        _print(name)


@provisioner.group()
def local() -> None:
    """Start, end or look at the embedded cloud."""


@local.command()
@options.state_dir
@options.as_json
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0),
    metavar="X",
    help="How long databases and gateways take: 1 as long as at AWS, 0.1 a tenth of it.  [default: 0, no time at all]",
)
def up(state_dir: Path, as_json: bool, time_scale: float | None) -> None:
    """Start the embedded cloud if it is not running."""
    from provisioner.local import process

    _print_cloud(process.up(state_dir, time_scale=time_scale), as_json)


@local.command()
@options.state_dir
@options.as_json
@click.option("--forget", is_flag=True, help="Remove what was built in it, too.")
def down(state_dir: Path, as_json: bool, forget: bool) -> None:
    """End the embedded cloud; what was built in it is there again when it is started."""
    from provisioner.local import process

    ended = process.down(state_dir, forget=forget)
    if as_json:
        _print_json({"running": False, "ended": ended})
    else:
        click.echo("the embedded cloud has ended" if ended else "the embedded cloud was not running")


@local.command("status")
@options.state_dir
@options.as_json
def local_status(state_dir: Path, as_json: bool) -> None:
    """Tell whether the embedded cloud is running, and where."""
    from provisioner.local import process

    _print_cloud(process.status(state_dir), as_json)


def main() -> NoReturn:
    """Run the command line as a process: SIGTERM is as good as Ctrl-C, and no reader's going away is a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _prepare_streams()
    lifetime.begin()
    code = FAILED
    try:
        provisioner()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else FAILED
    # The exit code is settled: what arrives while Python cleans up would put a traceback in its place.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    lifetime.end(code)


def _prepare_streams() -> None:
    """Have three streams, whatever the caller closed, and let none fail on a character it cannot encode."""
    sys.stdin, sys.stdout, sys.stderr = (
        stream or open(os.devnull, mode)  # noqa: SIM115
        for stream, mode in ((sys.stdin, "r"), (sys.stdout, "w"), (sys.stderr, "w"))
    )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(verb: str, given: Mapping[str, Any], **manner: Any) -> int:
    from provisioner.plan import FLAGS
    from provisioner.run import Manner, run

    flags = frozenset(flag for flag in FLAGS if given[flag])
    return run(_caller(given), Manner(verb=verb, flags=flags, yes=given["yes"], **manner))


def _caller(given: Mapping[str, Any]) -> Caller:
    """Hand over what every command on a stack was given."""
    from provisioner.caller import Caller
    from provisioner.session import Request

    keys = ("environment", "suffix", "target", "config_dir", "state_dir", "window", "parallelism")
    invocation = click.get_current_context().find_object(_Invocation) or _Invocation((), None)
    return Caller(
        request=Request(**{key: given[key] for key in keys if key in given}),
        typed=invocation.arguments,
        as_json=given["as_json"],
        log_format=given["log_format"],
        verbose=given["verbose"],
        echo=click.echo,
        confirm=click.confirm,
        connect=invocation.connect,
    )


def _print_json(told: Any) -> None:
    click.echo(document(told))


def _print(text: str) -> None:
    click.echo(screened(text))


def _print_cloud(running: Any, as_json: bool) -> None:
    if as_json:
        endpoint, pid = (running.endpoint, running.pid) if running else (None, None)
        _print_json({"running": running is not None, "endpoint": endpoint, "pid": pid})
    elif running:
        _print(f"the embedded cloud runs at {running.endpoint} (pid {running.pid})")
    else:
        click.echo("the embedded cloud is not running; start it: provisioner local up")


def _said(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell the user what went wrong, and give the exit code."""
    stop = _usage(error) or as_stop(error)
    if stop.code == "defect" and "-vv" in arguments:
        click.echo(screened("".join(traceback.format_exception(error))), err=True)
    if "--json" in arguments:
        from provisioner.report import error_json

        _print_json(error_json(stop.code, stop.message, stop.remedy))
    else:
        click.echo(screened(stop.text), err=True)
    # Where 2 is an answer no error may be one.
    answering = "--detailed-exitcode" in arguments or list(arguments[:1]) == ["drift"]
    return FAILED if answering and stop.exit_code != INTERRUPTED else stop.exit_code


def _usage(error: BaseException) -> Stop | None:
    """Put click's own complaints into our words."""
    if isinstance(error, click.Abort):
        return Stop(INTERRUPTED, "interrupted", "interrupted", AGAIN)
    if isinstance(error, NoArgsIsHelpError):
        return Stop(USAGE, "usage", "a command is missing", "see provisioner --help", text=error.format_message())
    if isinstance(error, click.ClickException):
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "provisioner"
        return Stop(USAGE, "usage", error.format_message(), f"see {command} --help")
    return None
