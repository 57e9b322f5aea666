"""The options that several commands have, each said once; beside ``cli`` the only user of click."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class _Account(click.ParamType[str]):
    """The 12 digits of an account."""

    name = "ID"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value and not (len(value) == 12 and value.isascii() and value.isdigit()):
            self.fail(f"{value[:40]!r} is no account: an account has 12 digits", param, ctx)
        return value


ACCOUNT = _Account()

config_dir = click.option(
    "--config-dir",
    type=click.Path(path_type=Path),
    default=Path("environments"),
    show_default=True,
    help="Folder of the environment files.",
)
state_dir = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    default=Path(".provisioner"),
    show_default=True,
    help="Folder of the state files.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, and nothing else, to stdout.")
suffix = click.option("--suffix", default="", help="A stack of its own beside the environment's: --suffix pr-42.")
target = click.option(
    "--target",
    type=click.Choice(["local", "aws"]),
    envvar="PROVISIONER_TARGET",
    default="local",
    show_default=True,
    help="The embedded cloud, or a real AWS account.",
)
stack = together(
    click.argument("environment", metavar="ENV"),
    suffix,
    target,
    config_dir,
    state_dir,
    click.option(
        "--consistency-window",
        "window",
        type=click.FloatRange(min=0),
        envvar="PROVISIONER_CONSISTENCY_WINDOW",
        metavar="SECONDS",
        help="How long what was just done may not show yet.  [default: 60 on aws, 0 on local]",
    ),
    as_json,
    click.option(
        "--log-format",
        type=click.Choice(["console", "json"]),
        help="Write log lines of this form to stderr; without a terminal: console.",
    ),
    click.option("-v", "--verbose", count=True, help="Log more; -vv shows where a defect is, too."),
)
parallelism = click.option(
    "--parallelism",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="How many calls may be under way at once.",
)
strict = click.option("--strict", is_flag=True, help="Refuse what a preflight would only warn of.")
changing = together(
    click.option("--yes", is_flag=True, help="Do not ask."),
    parallelism,
    click.option("--disable-protection", is_flag=True, help="Switch off deletion protection of what is to go."),
    click.option(
        "--delete-data",
        is_flag=True,
        help="In a teardown: the bucket's objects. In provision: what left the file and holds data.",
    ),
    click.option("--skip-final-snapshot", is_flag=True, help="Take no final snapshot of a cluster that is to go."),
)
