"""What tests of answers that are shown while they are written say often."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.jobs import Job
from service.usecases.follow import Chunk, Event
from service.usecases.ports import ChatAnswer, ChatRequest
from tests.core.support import submit

ANSWER = "Раз два 🌊 три четыре"
FOUR_WORDS = "Раз два 🌊 три "


def seen(events: Iterator[Event], characters: int = 10**9) -> str:
    """What the events show, until it is so much or they end."""
    text = ""
    for event in events:
        if isinstance(event, Chunk):
            text += event.text
            assert event.id >= len(text)
        if len(text) >= characters:
            break
    return text


@contextmanager
def running(container: Container, job: Job) -> Iterator[threading.Thread]:
    worker = threading.Thread(target=container.run, args=[job.id])
    worker.start()
    yield worker
    worker.join()


def ask(container: Container, actor: Actor, question: str, **fields: Any) -> Job:
    job = submit(container, actor, question, stream=True, **fields)
    container.run(job.id)
    return container.jobs.get(actor, job.id)


def seen_next(events: Iterator[Event], characters: int) -> str:
    """As `seen`, of a generator that will be asked again."""
    text = ""
    while len(text) < characters:
        event = next(events)
        text += event.text if isinstance(event, Chunk) else ""
    return text


class Slow:
    """A provider that shows these pieces, calls `then`, and waits."""

    def __init__(self, *pieces: str, then: Callable[[], object] = lambda: None) -> None:
        self.pieces = pieces
        self.then = then

    def answer(self, request: ChatRequest) -> ChatAnswer:
        raise NotImplementedError

    def stream(self, request: ChatRequest, show: Callable[[str], None]) -> ChatAnswer:
        for piece in self.pieces:
            show(piece)
        self.then()
        gevent.sleep(20)
        raise AssertionError("nobody stopped it")
