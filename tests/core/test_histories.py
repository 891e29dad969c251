"""Random histories of one account: whatever is done in whatever order, a small model and the database agree.

The model is a few lines that anyone can check by eye; `check_money` adds what it doesn't know.
"""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.billing import charge
from service.domain.chat import ChatMessage, Usage
from service.domain.errors import BalanceTooLow, InsufficientTokens
from service.domain.jobs import MAX_ATTEMPTS, Job, JobStatus, Outcome, failed
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, key, lose_worker, set_balance, submit, wallet

HISTORIES = 8
STEPS = 25
COUNTS = st.integers(0, 3_000)


@dataclass
class Known:
    """What the model believes of one job. `views` are the jobs that workers got when they claimed it."""

    job: Job
    status: JobStatus = JobStatus.QUEUED
    attempt: int = 0
    cancel_requested: bool = False
    views: list[Job] = field(default_factory=list)


@dataclass(frozen=True)
class World:
    container: Container
    db: Database
    new_actor: NewActor


class Histories(RuleBasedStateMachine):
    """The rules are what clients, workers, upkeep and admins can do."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.actor: Actor = self.world.new_actor(5_000)
        self.available, self.held = 5_000, 0
        self.jobs: dict[str, Known] = {}
        self.replayed: dict[str, str] = {}
        self.context: list[str] = []
        self.context_version = 0

    def some(self, number: int, *statuses: JobStatus) -> Known | None:
        """Any job of these statuses."""
        fitting = [known for known in self.jobs.values() if not statuses or known.status in statuses]
        return fitting[number % len(fitting)] if fitting else None

    @rule(name=st.none() | st.sampled_from("abc"), own=st.booleans())
    def ask(self, name: str | None, own: bool) -> None:
        context = (ChatMessage("user", "own"), ChatMessage("assistant", "own")) if own else None
        named = None if name is None else key(self.actor, name)
        try:
            job = submit(self.world.container, self.actor, "ping", context=context, idempotency=named)
        except InsufficientTokens as error:
            self.is_refused_rightly(error, name)
            return
        if name in self.replayed:
            assert job.id == self.replayed[name]
            return
        if name is not None:
            self.replayed[name] = job.id
        self.jobs[job.id] = Known(job)
        self.available -= job.hold
        self.held += job.hold

    def is_refused_rightly(self, error: InsufficientTokens, name: str | None) -> None:
        assert error.extra["available"] == self.available < error.extra["required"]
        assert error.extra["held"] == self.held
        assert name not in self.replayed

    @rule(number=st.integers(0))
    def claim(self, number: int) -> None:
        known = self.some(number)
        if known is None:
            return
        claimed = self.world.container.run._jobs.claim(known.job.id, "w", 30)
        assert (claimed is not None) == (known.status is JobStatus.QUEUED)
        if claimed is not None:
            known.status, known.attempt = JobStatus.RUNNING, known.attempt + 1
            assert claimed.attempt == known.attempt
            known.views.append(claimed)

    @precondition(lambda self: any(known.views for known in self.jobs.values()))
    @rule(number=st.integers(0), view=st.integers(0), answered=st.booleans(), prompt=COUNTS, completion=COUNTS)
    def settle(self, number: int, view: int, answered: bool, prompt: int, completion: int) -> None:
        """By any worker that ever had the job, however stale."""
        claimed = [known for known in self.jobs.values() if known.views]
        known = claimed[number % len(claimed)]
        seen = known.views[view % len(known.views)]
        usage = Usage(prompt_tokens=prompt, completion_tokens=completion)
        cost = charge(usage, seen.weights, seen.hold)
        pong = Outcome(JobStatus.SUCCEEDED, cost, "pong", usage, "stop")
        settled = self.world.container.jobs._money.settle(seen, pong if answered else failed("X"), 20)
        current = known.status is JobStatus.RUNNING and seen.attempt == known.attempt
        assert (settled is not None) == current
        if current:
            self.finish(known, JobStatus.SUCCEEDED if answered else JobStatus.FAILED, cost.amount if answered else 0)

    @rule(number=st.integers(0))
    def cancel(self, number: int) -> None:
        known = self.some(number)
        if known is None:
            return
        self.world.container.jobs.cancel(self.actor, known.job.id)
        if known.status is JobStatus.QUEUED:
            self.finish(known, JobStatus.CANCELLED, 0)
        elif known.status is JobStatus.RUNNING:
            known.cancel_requested = True

    @rule(number=st.integers(0))
    def lose(self, number: int) -> None:
        """A worker dies, and upkeep comes by."""
        known = self.some(number, JobStatus.QUEUED)
        if known is None:
            return
        lose_worker(self.world.container, self.world.db, known.job)
        known.attempt += 1
        known.views.append(replace(known.job, status=JobStatus.RUNNING, attempt=known.attempt))
        self.world.container.upkeep.recover_expired()
        if known.attempt >= MAX_ATTEMPTS:
            self.finish(known, JobStatus.FAILED, 0)

    @rule(amount=st.integers(-6_000, 6_000))
    def adjust(self, amount: int) -> None:
        try:
            self.world.container.admin.adjust_balance(ROOT, self.actor.account_id, amount, "", None)
        except BalanceTooLow:
            assert self.available + amount < 0
        else:
            self.available += amount

    @rule(amount=st.integers(0, 6_000))
    def set_balance(self, amount: int) -> None:
        set_balance(self.world.container, self.actor, amount)
        self.available = amount

    @rule()
    def reset_context(self) -> None:
        self.world.container.contexts.reset(self.actor, None)
        self.context, self.context_version = [], self.context_version + 1

    @invariant()
    def balances_agree(self) -> None:
        assert wallet(self.world.container, self.actor) == (self.available, self.held)

    @invariant()
    def contexts_agree(self) -> None:
        stored = self.world.db.chats.find_one({"account_id": self.actor.account_id}) or {"context": []}
        assert [message["content"] for message in stored["context"]] == self.context[-20:]

    def teardown(self) -> None:
        for known in self.jobs.values():
            assert self.world.container.jobs.get(self.actor, known.job.id).status is known.status
        check_money(self.world.db)

    def finish(self, known: Known, status: JobStatus, charged: int) -> None:
        known.status = status
        self.available += known.job.hold - charged
        self.held -= known.job.hold
        if status is JobStatus.SUCCEEDED and known.job.replaces_context:
            self.context, self.context_version = ["own", "own", "ping", "pong"], self.context_version + 1
        elif status is JobStatus.SUCCEEDED and known.job.context_version == self.context_version:
            self.context += ["ping", "pong"]


@pytest.mark.timeout(300)
def test_histories(container: Container, db: Database, new_actor: NewActor) -> None:
    class Machine(Histories):
        pass

    Machine.world = World(container, db, new_actor)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            deadline=None,
            # Shrinking a history takes minutes; the seed that is printed repeats it.
            phases=(Phase.explicit, Phase.generate),
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
