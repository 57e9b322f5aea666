"""What the log says of each event, at which level, and what it never says; written to a text in memory."""

from __future__ import annotations

import io
import json
from typing import Any, get_args

import pytest

from provisioner import log
from provisioner.events import Event, What

AT = 1_800_000_000.25
KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def logged(*events: Event, verbose: int = 0) -> list[dict[str, Any]]:
    stream = io.StringIO()
    hear = log.listener("json", verbose, stream)
    for event in events:
        hear(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def console(*events: Event) -> str:
    stream = io.StringIO()
    hear = log.listener("console", 0, stream)
    for event in events:
        hear(event)
    return stream.getvalue()


def waiting(why: str) -> Event:
    return Event(what="waiting", at=AT, step="cluster", why=why, seconds=1.0)


def test_an_event_is_one_json_line_with_its_own_time_in_utc_and_seconds() -> None:
    event = Event(what="called", at=AT, step="vpc", operation="ec2.create_vpc", id="vpc-1", seconds=0.12345)
    assert logged(event) == [
        {
            "event": "called",
            "timestamp": "2027-01-15T08:00:00.250Z",
            "level": "info",
            "step": "vpc",
            "operation": "ec2.create_vpc",
            "id": "vpc-1",
            "seconds": 0.123,
        }
    ]


def test_a_person_reads_one_plain_line_an_event() -> None:
    text = console(Event(what="failed", at=AT, step="vpc", code="Denied", why="you may not"))
    assert text == "2027-01-15T08:00:00.250Z [error    ] failed    step=vpc code=Denied why='you may not'\n"


def test_every_event_has_a_level() -> None:
    assert set(log.LEVELS) == set(get_args(What))


def test_a_call_that_leaves_is_told_with_v_only() -> None:
    event = Event(what="calling", at=AT, step="vpc", operation="ec2.create_vpc")
    assert logged(event) == []
    assert [line["level"] for line in logged(event, verbose=1)] == ["debug"]


def test_a_wait_is_told_once_for_each_reason() -> None:
    events = [waiting("creating"), waiting("creating"), waiting("backing-up"), waiting("creating")]
    assert [line["why"] for line in logged(*events)] == ["creating", "backing-up", "creating"]
    assert [line["level"] for line in logged(*events, verbose=1)] == ["info", "debug", "info", "info"]


def test_a_wait_after_another_call_is_news_again() -> None:
    events = [waiting("modifying"), Event(what="called", at=AT, step="cluster"), waiting("modifying")]
    assert [line["event"] for line in logged(*events)] == ["waiting", "called", "waiting"]


def test_every_retry_is_a_warning_with_its_reason() -> None:
    retry = Event(what="retrying", at=AT, operation="ec2.describe_vpcs", code="RequestLimitExceeded", seconds=0.5)
    (line,) = logged(retry)
    assert (line["level"], line["code"], line["seconds"]) == ("warning", "RequestLimitExceeded", 0.5)


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("key AKIAIOSFODNN7EXAMPLE is inactive", "key *** is inactive"),
        (f"signed with {KEY}.", "signed with ***."),
        (f"aws_session_token={'IQoJb3JpZ2luX2VjE'.replace('_', '/') * 9}==", "aws_session_token=***"),
        (f"token {'IQoJb3JpZ2lu' * 12}== expired", "token *** expired"),
        ('{"SessionToken": "abc", "a": 1}', '{"SessionToken": "***", "a": 1}'),
        ("password: hunter2", "password: ***"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=x, Signature=y", "Authorization: ***"),
        ("?X-Amz-Security-Token=abc&Action=x", "?X-Amz-Security-Token=***&Action=x"),
        (f"key={KEY}", "key=***"),
        ("cannot connect to http://me:hunter2@proxy:3128", "cannot connect to http://***@proxy:3128"),
        ("--x 'password=a'\"'\"'; rm -rf ~'", "--x 'password=***'\"'\"'; rm -rf ~'"),
    ],
)
def test_a_secret_inside_a_text_is_dropped(said: str, seen: str) -> None:
    (line,) = logged(Event(what="failed", at=AT, why=said))
    assert line["why"] == seen


@pytest.mark.parametrize(
    "said",
    [
        "ExpiredToken: The security token included in the request is expired",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!cluster-0f1e2d3c",
        "secret_arn=arn:aws:secretsmanager:us-east-1:123456789012:secret:x",
        "acme-prod-cluster-final-cluster-abcdefghijklmnopqrstuvwxyz",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "request 7f1c2b1e-0a67-4f0c-9d3a-8a2b6f1f0c11 was throttled",
        "rds.create_db_cluster ManageMasterUserPassword=true MasterUserSecretKmsKeyId=alias/acme",
        "may not secretsmanager:CreateSecret: ask for it",
    ],
)
def test_what_is_no_secret_stays_readable(said: str) -> None:
    (line,) = logged(Event(what="failed", at=AT, why=said))
    assert line["why"] == said


def test_a_value_named_like_a_secret_is_dropped_at_any_depth() -> None:
    told = {
        "password": "a",
        "MasterUserPassword": "b",
        "secret_arn": "arn:c",
        "deep": [{"aws_secret_access_key": "d", "ClientToken": "e", "port": 5432}],
        "Authorization": "f",
    }
    assert log.without_secrets(None, "info", told) == {
        "password": "***",
        "MasterUserPassword": "***",
        "secret_arn": "arn:c",
        "deep": [{"aws_secret_access_key": "***", "ClientToken": "***", "port": 5432}],
        "Authorization": "***",
    }


def test_control_characters_never_reach_the_terminal_raw() -> None:
    text = console(Event(what="failed", at=AT, step="\x1b[2J", why="one\r\ntwo\x9b31m"))
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()


class Closed(io.StringIO):
    """A pipe that nobody reads any longer."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_log_that_nobody_reads_any_longer_stops_no_run() -> None:
    log.listener("console", 0, Closed())(Event(what="stopping", at=AT))


def test_what_nothing_was_called_for_is_logged_only_when_asked_for() -> None:
    untouched = Event(what="settled", at=AT, step="vpc", id="vpc-1")
    assert logged(untouched) == []
    assert [line["event"] for line in logged(untouched, verbose=1)] == ["settled"]
    called = Event(what="called", at=AT, step="vpc", operation="ec2.create_vpc", id="vpc-1")
    assert [line["event"] for line in logged(called, untouched)] == ["called", "settled"]
    assert [line["event"] for line in logged(waiting("creating"), Event(what="gone", at=AT, step="cluster"))] == [
        "waiting",
        "gone",
    ]
