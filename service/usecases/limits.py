"""How much is asked: questions and tokens a minute and jobs at once, of an account, of an API key and of a model; and
how much a day where answers cost nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from service.domain.accounts import Actor, Role
from service.domain.errors import RateLimited
from service.domain.keys import ApiKey
from service.usecases import ports

WINDOW_SECONDS = 60
DAY_SECONDS = 86_400
# How soon one of the open jobs may have become final.
FULL_RETRY_SECONDS = 2


@dataclass(frozen=True, slots=True)
class AskLimits:
    """Questions and tokens a minute, and jobs that are not final yet. 0 is no limit.

    Of a key they are the default and the most that it may set.
    """

    account_questions: int
    account_tokens: int = 0
    key_questions: int = 0
    key_tokens: int = 0
    model_questions: int = 0
    model_tokens: int = 0
    account_jobs: int = 0
    key_jobs: int = 0
    model_jobs: int = 0


@dataclass(frozen=True, slots=True)
class DayLimits:
    """Questions a day that cost nothing: of a guest, of all guests at one address, and of a plan without a limit."""

    guest: int
    guest_address: int
    unlimited: int


@dataclass(frozen=True, slots=True)
class _Limit:
    name: str
    key: str
    amount: int


class Throttle:
    def __init__(
        self,
        *,
        rate_limits: ports.RateLimits,
        open_jobs: ports.OpenJobs,
        jobs: ports.Jobs,
        limits: AskLimits,
        days: DayLimits,
    ) -> None:
        self._rate_limits = rate_limits
        self._jobs = jobs
        self._open_jobs = open_jobs
        self._limits = limits
        self._days = days

    def question(self, actor: Actor, owner_id: str, model: str) -> None:
        """Count one question. Raises RateLimited."""
        limits = self._limits
        self._count([*self._of_asker(actor, owner_id), *_limit("chat-model", model, limits.model_questions)], 1)

    def free(self, actor: Actor, owner_id: str) -> None:
        """Count a question that is free because a guest asks it. Raises RateLimited."""
        # By address too: else a new guest for every few questions would have no limit.
        address = actor.address if actor.role is Role.GUEST else None
        limits = [
            *_limit("guest-day", owner_id, self._days.guest),
            *(_limit("guest-address-day", address, self._days.guest_address) if address is not None else ()),
        ]
        for limit in limits:
            # What one limit refuses is not counted by the other.
            _refuse(limit, self._rate_limits.peek(limit.name, limit.key, limit.amount, DAY_SECONDS))
        self._count(limits, 1, DAY_SECONDS)

    def fair_use(self, owner_id: str) -> None:
        """Count a question of an account whose plan has no limit. Raises RateLimited."""
        self._count(_limit("fair-use", owner_id, self._days.unlimited), 1, DAY_SECONDS)

    def tokens(self, actor: Actor, owner_id: str, model: str, tokens: int) -> None:
        """Count what a question may use at most, so that what is not used yet can't be spent twice. Raises RateLimited.

        A question beyond a whole minute's tokens counts as all of them.
        """
        limits = self._limits
        counted = [
            *_limit("tokens", owner_id, limits.account_tokens),
            *_key_limit("tokens-key", actor.key, "tokens_per_minute", limits.key_tokens),
            *_limit("tokens-model", model, limits.model_tokens),
        ]
        self._count(counted, tokens)

    def enter(self, actor: Actor, owner_id: str, model: str, job_id: str) -> None:
        """Count a job that is about to be accepted as open, until `leave`. Raises RateLimited."""
        limits = self._limits
        counted = [
            *_limit("account", owner_id, limits.account_jobs),
            *_key_limit("key", actor.key, "max_open_jobs", limits.key_jobs),
            *_limit("model", model, limits.model_jobs),
        ]
        if not counted:
            return
        entered = self._open_jobs.enter(job_id, {f"{one.name}:{one.key}": one.amount for one in counted})
        if entered is None:
            # Without the shared count the account's own jobs are counted where they are stored.
            entered = (
                not limits.account_jobs or self._jobs.count_open(owner_id, limits.account_jobs) < limits.account_jobs
            )
        if not entered:
            raise RateLimited("jobs", retry_after_seconds=FULL_RETRY_SECONDS, params={"seconds": FULL_RETRY_SECONDS})

    def leave(self, job_id: str) -> None:
        """The job is final, or was not accepted."""
        self._open_jobs.leave(job_id)

    def quota(self, actor: Actor, owner_id: str) -> ports.Quota:
        """What is left of the actor's questions: of the account or of the key, whichever is less."""
        found = [
            self._rate_limits.quota(limit.name, limit.key, limit.amount, WINDOW_SECONDS)
            for limit in self._of_asker(actor, owner_id)
        ]
        return min(found, key=lambda quota: quota.remaining)

    def _of_asker(self, actor: Actor, owner_id: str) -> list[_Limit]:
        return [
            *_limit("chat", owner_id, self._limits.account_questions),
            *_key_limit("chat-key", actor.key, "requests_per_minute", self._limits.key_questions),
        ]

    def _count(self, limits: Iterable[_Limit], cost: int, window_seconds: int = WINDOW_SECONDS) -> None:
        for limit in limits:
            capped = min(cost, limit.amount)
            _refuse(limit, self._rate_limits.hit(limit.name, limit.key, limit.amount, window_seconds, capped))


def _refuse(limit: _Limit, wait: int | None) -> None:
    if wait is not None:
        raise RateLimited(limit.name, retry_after_seconds=wait, params={"seconds": wait})


def _limit(name: str, key: str, amount: int) -> Iterator[_Limit]:
    if amount:
        yield _Limit(name, key, amount)


def _key_limit(name: str, key: ApiKey | None, field: str, most: int) -> Iterator[_Limit]:
    if key is not None:
        amounts = [amount for amount in (getattr(key, field), most) if amount]
        yield from _limit(name, key.id, min(amounts, default=0))
