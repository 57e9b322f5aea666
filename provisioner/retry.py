"""When the same request may simply go out again: tenacity's policies, and the only retries there are.

Full jitter, capped, with an overall deadline. Everything else that fails is not repeated but looked at again.
"""

from __future__ import annotations

from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from provisioner.clock import Clock
from provisioner.errors import AwsError, Verdict

DEADLINE = 300.0
"""Seconds after which a request that AWS keeps refusing is given up."""
LONGEST = 20.0
"""Seconds between two tries at the most."""

_REFUSED = frozenset({Verdict.THROTTLED})
UNHEARD = frozenset({Verdict.THROTTLED, Verdict.UNKNOWN})
"""What a read is asked again for, until it is answered or the run is stopped."""

Told = Callable[[AwsError, float], None]
"""Hears of every retry: why, and in how many seconds."""


def reads(clock: Clock, told: Told) -> Retrying:
    """Retry whatever a repeat cannot harm: throttling, 5xx and lost connections alike."""
    return _policy(clock, told, UNHEARD)


def calls(clock: Clock, told: Told) -> Retrying:
    """Retry only what AWS refused unexecuted; of a mutating call without an answer only a look tells the outcome."""
    return _policy(clock, told, _REFUSED)


def _policy(clock: Clock, told: Told, verdicts: frozenset[Verdict]) -> Retrying:
    given_up = clock.now() + DEADLINE

    def stop(_: RetryCallState) -> bool:
        return clock.stopped.is_set() or clock.now() >= given_up

    def tell(state: RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        if isinstance(error, AwsError):
            told(error, state.upcoming_sleep)

    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, AwsError) and error.verdict in verdicts),
        wait=wait_random_exponential(multiplier=0.5, max=LONGEST),
        stop=stop,
        sleep=clock.sleep,
        before_sleep=tell,
        reraise=True,
    )
