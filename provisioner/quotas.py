"""Whether what a run adds fits into the account's quotas; knows no kind of resource, each says what it counts against.

The limits are those Service Quotas tells, what is there is counted from describes: nothing is taken for granted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from provisioner.asking import Asking
from provisioner.errors import AwsError, Verdict
from provisioner.kit import Step
from provisioner.terms import Check, Objection, Quota

LISTING = "service-quotas.list_service_quotas"


def checks(asking: Asking, adding: Iterable[Step], region: str) -> Iterator[Check]:
    """Give a check for every kind that gets more, its questions already under way."""
    wanted: dict[type[Step], Counter[str]] = {}
    for step in adding:
        if step.quota is not None:
            place, number = step.demand
            wanted.setdefault(type(step), Counter())[place] += number
    for kind, places in wanted.items():
        assert kind.quota is not None
        limits = asking.items(LISTING, ServiceCode=kind.quota.service)
        there = [asking.items(listing) for listing in kind.quota.listings]
        yield _fits(kind.quota, places, limits, there, region)


def _fits(
    quota: Quota,
    wanted: Mapping[str, int],
    limits: Future[Any],
    there: list[Future[Any]],
    region: str,
) -> Check:
    limit = next((each["Value"] for each in limits.result() if each["QuotaCode"] == quota.code), None)
    if limit is None:
        raise AwsError(LISTING, f"{quota.code} is not told", quota.what, Verdict.FATAL)
    used = Counter(quota.places(*(each.result() for each in there)))
    for place, number in sorted(wanted.items()):
        if used[place] + number > limit:
            yield _full(quota, region, place, used[place], number, int(limit))


def _full(quota: Quota, region: str, place: str, used: int, adding: int, limit: int) -> Objection:
    """Say it with all three numbers; what has no listing is not counted but wanted as a whole."""
    raised = f"have the quota {quota.code} ({quota.service} in Service Quotas) raised to {used + adding} or more"
    if not quota.listings:
        return Objection(quota.where, f"{place} wants {adding} {quota.what}, and AWS allows {limit}", raised)
    where = place or region
    what = f"{where} has room for {max(0, limit - used)} more {quota.what} ({used} of {limit} in use), this run adds"
    return Objection(quota.where, f"{what} {adding}", f"remove what is no longer needed, or {raised}")
