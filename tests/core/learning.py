"""What tests of the learning platform's questions say often."""

from typing import Any

from service.bootstrap import Container
from service.domain import structured
from service.domain.accounts import Actor
from service.domain.billing import Charge
from service.domain.chat import Usage
from service.domain.jobs import Job, JobStatus, Outcome
from service.domain.tracks import Module, Track
from service.usecases.asking import NO_LINE, Terms
from tests.core.support import plan_of
from tests.core.test_tracks import new_track

TOKENS = 100_000
PLAN = plan_of("alpha", "beta")
LESSON = {
    "title": "Variables",
    "objectives": [],
    "sections": [{"heading": "Names", "content": "A name for a value."}],
    "exercises": [],
    "summary": "",
}
TERMS = Terms()


def answering(answer: dict[str, Any]) -> Outcome:
    usage = Usage(prompt_tokens=3, completion_tokens=2)
    return Outcome(JobStatus.SUCCEEDED, Charge(5), structured.dump(answer), usage, "stop")


def settle(container: Container, job: Job, outcome: Outcome) -> Job | None:
    return container.jobs._money.settle(job, outcome, 20)


def finalize(container: Container, actor: Actor, track: Track, **terms: Any) -> Job:
    return container.courses.finalize(actor, track.id, NO_LINE, Terms(**terms))


def planned(container: Container, actor: Actor, **fields: Any) -> tuple[Track, Module]:
    track = new_track(container, actor, **fields)
    return track, container.tracks.adopt(actor, track.id, PLAN).modules[0]


def titles(container: Container, actor: Actor, track: Track) -> list[str]:
    return [module.title for module in container.tracks.read(actor, track.id).modules]


def said_in(container: Container, actor: Actor, chat_id: str | None) -> list[tuple[str, str]]:
    page = container.dialogs.messages(actor, chat_id or "", None, 100)
    return [(message.role, message.content) for message in page.items]
