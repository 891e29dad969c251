"""Requests that stay: each is counted among the connections of whoever asks, for as long as it lasts."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from flask import Response

from service.api.state import services
from service.domain.accounts import Actor


def waiting(actor: Actor, seconds: float) -> AbstractContextManager[object]:
    """Enter it before anything is accepted that is then waited for, so long. Raises RateLimited."""
    return services().connections.enter(actor) if seconds > 0 else nullcontext()


def streaming(actor: Actor, make: Callable[[], Response]) -> Response:
    """The stream that this makes, counted until its last byte is sent or its client noticed to be gone.

    Raises RateLimited before anything is made.
    """
    place = services().connections.enter(actor)
    try:
        response = make()
    except BaseException:
        place.leave()
        raise
    response.call_on_close(place.leave)
    return response
