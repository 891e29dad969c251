"""Random histories of one account's credits: however months, plans and answers follow each other, a small model and the
database agree. The model ends a month at its last moment; the service does when somebody next asks."""

from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.chat import Usage
from service.domain.errors import BalanceTooLow, NoCredits
from service.domain.jobs import Job, JobStatus, Outcome, charge_for, failed
from service.domain.plans import Plan, period_at
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, SettableClock, submit, wallet

HISTORIES = 12
STEPS = 30
MONTHLY = {Plan.FREE: 5, Plan.BASIC: 50, Plan.PREMIUM: 0}
UTC_ZONE = ZoneInfo("UTC")


@dataclass
class Known:
    """What the model believes of an open job: from which wallet it holds a credit, and of which month."""

    job: Job
    kind: str
    month: int


@dataclass(frozen=True)
class World:
    container: Container
    db: Database
    new_actor: NewActor
    clock: SettableClock


class Histories(RuleBasedStateMachine):
    world: World

    def __init__(self) -> None:
        super().__init__()
        self.actor: Actor = self.world.new_actor(1_000)
        self.anchor = self.world.db.accounts.find_one({"_id": self.actor.account_id})["created_at"]
        self.world.clock.time = self.anchor
        self.plan, self.month, self.monthly, self.extra = Plan.FREE, 0, MONTHLY[Plan.FREE], 0
        self.ends_at = period_at(self.anchor, self.anchor, UTC_ZONE).ends_at
        self.open: list[Known] = []

    @property
    def remaining(self) -> int | None:
        return None if self.plan is Plan.PREMIUM else self.monthly + self.extra

    @property
    def held(self) -> int:
        return sum(known.kind != "nothing" for known in self.open)

    @rule()
    def ask(self) -> None:
        try:
            job = submit(self.world.container, self.actor, assistant="coach")
        except NoCredits as refused:
            self.is_refused_rightly(refused)
            return
        kind = "nothing" if self.plan is Plan.PREMIUM else "monthly" if self.monthly else "extra"
        assert kind == "nothing" or self.remaining
        self.monthly -= kind == "monthly"
        self.extra -= kind == "extra"
        self.open.append(Known(job, kind, self.month))

    def is_refused_rightly(self, refused: NoCredits) -> None:
        assert self.remaining == 0
        assert refused.extra == {"required": 1, "available": 0, "held": self.held}

    @precondition(lambda self: self.open)
    @rule(number=st.integers(0), answered=st.booleans())
    def settle(self, number: int, answered: bool) -> None:
        known = self.open.pop(number % len(self.open))
        usage = Usage(prompt_tokens=20, completion_tokens=18)
        pong = Outcome(JobStatus.SUCCEEDED, charge_for(known.job, usage), "pong", usage, "stop")
        settled = self.world.container.jobs._money.settle(known.job, pong if answered else failed("X"), 20)
        if not answered and (known.kind == "extra" or (known.kind == "monthly" and known.month == self.month)):
            self.extra += known.kind == "extra"
            self.monthly += known.kind == "monthly"
        assert settled is not None
        assert settled.charged == int(answered and known.kind != "nothing")
        assert settled.balance_after == self.remaining

    @rule(days=st.integers(0, 45))
    def wait(self, days: int) -> None:
        self.world.clock.time += timedelta(days=days)
        if self.world.clock.time >= self.ends_at:
            self.begin(self.plan)

    @rule(plan=st.sampled_from(Plan))
    def change_plan(self, plan: Plan) -> None:
        self.world.container.admin.set_plan(ROOT, self.actor.account_id, plan)
        if plan is not self.plan:
            self.world.clock.time += timedelta(seconds=1)
            self.anchor = self.world.db.credits.find_one({"_id": f"{self.actor.account_id}:credits"})["anchor_at"]
            self.begin(plan)

    @rule(delta=st.integers(-4, 4).filter(bool))
    def adjust(self, delta: int) -> None:
        try:
            self.world.container.admin.adjust_credits(ROOT, self.actor.account_id, delta, "", None)
        except BalanceTooLow:
            assert self.extra + delta < 0
        else:
            self.extra += delta

    @invariant()
    def credits_agree(self) -> None:
        shown = self.world.container.billing.credits(self.actor, None)
        assert (shown.plan, shown.remaining, shown.extra, shown.held) == (
            self.plan,
            self.remaining,
            self.extra,
            self.held,
        )
        assert shown.period_ends_at == self.ends_at
        assert wallet(self.world.container, self.actor) == (1_000, 0), "tokens are another matter"

    def teardown(self) -> None:
        check_money(self.world.db)

    def begin(self, plan: Plan) -> None:
        self.plan, self.month, self.monthly = plan, self.month + 1, MONTHLY[plan]
        self.ends_at = period_at(self.anchor, self.world.clock.time, UTC_ZONE).ends_at


@pytest.mark.timeout(300)
def test_histories_of_credits(container: Container, db: Database, new_actor: NewActor) -> None:
    class Machine(Histories):
        pass

    wallets, settable = container.jobs._money._credits, SettableClock()
    usual, wallets._clock = wallets._clock, settable
    Machine.world = World(container, db, new_actor, settable)
    try:
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
    finally:
        wallets._clock = usual
