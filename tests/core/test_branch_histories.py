"""Random histories of one chat: whatever is asked, edited, asked for again and chosen in it, a tree of messages as the
model and the database agree."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.chat import Usage
from service.domain.errors import JobRunning
from service.domain.jobs import Job, JobStatus, Outcome, charge_for, failed
from service.usecases.places import NewSession
from tests.core.checker import check_money
from tests.core.support import NewActor, submit
from tests.core.test_branches import HOW


@dataclass
class Node:
    """A message of the model: what was said, and what came after it."""

    id: str
    text: str
    role: str
    branch: str
    parent: "Node | None"
    children: list["Node"] = field(default_factory=list)

    def line(self) -> list["Node"]:
        return [*(self.parent.line() if self.parent else []), self]


@dataclass
class Asked:
    """An open job: after which message it is, and what question it brings, if it brings one."""

    job: Job
    parent: Node | None
    question: str | None
    branch: str | None


@dataclass(frozen=True)
class World:
    container: Container
    db: Database
    new_actor: NewActor


class Dialogs(RuleBasedStateMachine):
    """One chat, and whatever people do in it, in any order. The model is a tree and the leaf that is shown."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.actor: Actor = self.world.new_actor(10**9)
        dialog = self.world.container.dialogs.create(self.actor, None, "api", NewSession())
        self.chat_id = dialog.chat.id
        self.nodes: list[Node] = []
        self.leaf: Node | None = None
        self.open: Asked | None = None

    @rule()
    def ask(self) -> None:
        text = f"question {len(self.nodes)}"
        if self.open is not None:
            with pytest.raises(JobRunning):
                submit(self.world.container, self.actor, text, chat_id=self.chat_id)
            return
        job = submit(self.world.container, self.actor, text, chat_id=self.chat_id)
        self.begun(job, self.leaf, text, self.leaf.branch if self.leaf else "root")

    @rule(number=st.integers(0))
    def edit(self, number: int) -> None:
        node = self.some(number, "user")
        if node is None:
            return
        text = f"edit {len(self.nodes)}"
        if self.open is not None:
            with pytest.raises(JobRunning):
                self.world.container.branches.edit(self.actor, node.id, text, HOW)
            return
        self.begun(self.world.container.branches.edit(self.actor, node.id, text, HOW), node.parent, text, None)

    @rule(number=st.integers(0))
    def regenerate(self, number: int) -> None:
        node = self.some(number, "assistant")
        if node is None or node.parent is None:
            return
        if self.open is not None:
            with pytest.raises(JobRunning):
                self.world.container.branches.regenerate(self.actor, node.id, HOW)
            return
        self.begun(self.world.container.branches.regenerate(self.actor, node.id, HOW), node.parent, None, None)

    @rule(number=st.integers(0))
    def select(self, number: int) -> None:
        node = self.some(number, "user", "assistant")
        if node is None:
            return
        if self.open is not None:
            with pytest.raises(JobRunning):
                self.world.container.branches.select(self.actor, node.id)
            return
        self.world.container.branches.select(self.actor, node.id)
        self.leaf = [each for each in self.nodes if each.branch == node.branch][-1]

    @rule(answered=st.booleans())
    def settle(self, answered: bool) -> None:
        if self.open is None:
            return
        asked, self.open = self.open, None
        claimed = self.world.container.run._jobs.claim(asked.job.id, "w", 30)
        assert claimed is not None
        usage = Usage(prompt_tokens=1, completion_tokens=1)
        text = f"answer {len(self.nodes)}"
        cost = charge_for(claimed, usage)
        outcome = Outcome(JobStatus.SUCCEEDED, cost, text, usage, "stop") if answered else failed("X")
        assert self.world.container.jobs._money.settle(claimed, outcome, 20) is not None
        if answered:
            leaf = asked.parent
            if asked.question is not None:
                leaf = self.added(asked, leaf, asked.question, "user")
            self.leaf = self.added(asked, leaf, text, "assistant")

    @rule()
    def cancel(self) -> None:
        if self.open is not None:
            self.world.container.jobs.cancel(self.actor, self.open.job.id)
            self.open = None

    @invariant()
    def what_is_shown_agrees(self) -> None:
        container = self.world.container
        page = container.dialogs.messages(self.actor, self.chat_id, None, 100)
        expected = self.leaf.line()[-100:] if self.leaf else []
        assert [(each.id, each.content) for each in page.items] == [(each.id, each.text) for each in expected]
        chat = container.dialogs.chat(self.actor, self.chat_id)
        assert [message.content for message in chat.context] == [each.text for each in expected[-20:]]
        for shown, node in zip(container.branches.shown(page.items), expected, strict=True):
            beside = node.parent.children if node.parent else [each for each in self.nodes if each.parent is None]
            assert shown.siblings == [each.id for each in beside]

    def teardown(self) -> None:
        check_money(self.world.db)

    def some(self, number: int, *roles: str) -> Node | None:
        fitting = [node for node in self.nodes if node.role in roles]
        return fitting[number % len(fitting)] if fitting else None

    def begun(self, job: Job, parent: Node | None, question: str | None, branch: str | None) -> None:
        asked = question if question is not None or parent is None else parent.text
        before = parent if question is not None else (parent.parent if parent else None)
        history = [node.text for node in before.line()][-20:] if before else []
        assert [message.content for message in job.prompt[1:]] == [*history, asked]
        self.open = Asked(job, parent, question, branch)

    def added(self, asked: Asked, parent: Node | None, text: str, role: str) -> Node:
        node = Node(f"{asked.job.id}:{role}", text, role, asked.branch or asked.job.id, parent)
        self.nodes.append(node)
        if parent is not None:
            parent.children.append(node)
        return node


@pytest.mark.timeout(300)
def test_any_history_of_a_chat_shows_what_the_model_shows(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    class Machine(Dialogs):
        pass

    Machine.world = World(container, db, new_actor)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=10,
            stateful_step_count=40,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
