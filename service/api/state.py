"""What the API knows about the request that it is answering, and the services it answers with.

Only this package looks here: use cases get plain values and an explicit `Actor`.
"""

import re
import time
from dataclasses import dataclass, field
from uuid import uuid4

from flask import Flask, current_app, g, request

from service.bootstrap import Container
from service.domain.texts import DEFAULT_LOCALE, LOCALES

_EXTENSION = "talkmeter"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")


@dataclass
class RequestState:
    """`account_locale` is known once somebody has been recognised, `usual_locale` if the surface has a language;
    `error_code` is what was answered, if it was an error.
    """

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    account_id: str | None = None
    account_locale: str | None = None
    usual_locale: str | None = None
    error_code: str | None = None


def install(app: Flask, container: Container) -> None:
    app.extensions[_EXTENSION] = container


def container_of(app: Flask) -> Container:
    container: Container = app.extensions[_EXTENSION]
    return container


def services() -> Container:
    """The object graph of the application that answers."""
    return container_of(current_app)


def state() -> RequestState:
    """Of the request that is being answered; begins it on first use."""
    if not hasattr(g, "state"):
        g.state = RequestState(request_id=_request_id())
    found: RequestState = g.state
    return found


def locale(otherwise: str | None = None) -> str:
    """The reader's language: the key's or the account's, else the first that the client accepts and we speak, else
    `otherwise` or the surface's if that is one of ours, else Russian."""
    chosen = state().account_locale
    if chosen in LOCALES:
        return chosen
    usual = next((each for each in (otherwise, state().usual_locale) if each in LOCALES), None) or DEFAULT_LOCALE
    return request.accept_languages.best_match(LOCALES, usual) or usual


def _request_id() -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if _SANE_REQUEST_ID.fullmatch(given) else uuid4().hex
