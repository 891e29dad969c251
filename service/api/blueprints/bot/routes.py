"""`/api/bot`: ask, poll, start afresh, look at the balance and link, in one flat form that no-code builders take."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from flask import Response, request

from service.api import bot
from service.api.auth import KEY_IN_PATH, authenticated
from service.api.blueprint import ApiBlueprint, always_ok
from service.api.blueprints.bot.schemas import BotLink, BotQuestion, BotReply, BotUser, BotUserQuery, ResultQuery
from service.api.state import locale, services
from service.api.staying import waiting
from service.domain.accounts import Actor
from service.domain.billing import Meter
from service.domain.jobs import Job
from service.domain.keys import Scope
from service.domain.texts import text
from service.usecases.jobs import Submission
from service.usecases.ports import IdempotencyKey

blueprint = ApiBlueprint(
    "bot", __name__, url_prefix=bot.PREFIX, description="For no-code bots: always 200, flat, ready to be shown"
)

CHANNEL = "bot"
View = Callable[..., Any]


def route(rule: str, method: str) -> Callable[[View], View]:
    """A route of the profile, with the key in a header and with the key in the path."""

    def decorate(view: View) -> View:
        answered = blueprint.response(
            200, BotReply, description="Whatever happened; `errorCode` says what went wrong", examples=BotReply.EXAMPLES
        )(view)
        guarded = always_ok(authenticated("owner", Scope.BOT)(bot.remembering(answered)))
        blueprint.route(rule, methods=[method])(guarded)
        blueprint.route(f"/<{KEY_IN_PATH}>{rule}", methods=[method], endpoint=f"{view.__name__}_by_path")(guarded)
        return guarded

    return decorate


@route("/ask", "POST")
@blueprint.arguments(BotQuestion)
def ask(given: dict[str, Any], *, actor: Actor) -> Response:
    """Ask the model

    Waits a moment for the answer; if it takes longer, `status` is `queued` or `running`, and `/result` has it later.
    """
    submission = Submission(
        message=given["message"],
        channel=CHANNEL,
        user_id=given["user_id"],
        assistant=given["assistant"],
        metadata=_metadata(given),
        callback_url=given["callback_url"],
        idempotency=_idempotency(given, actor),
    )
    bot.remember(given)
    with waiting(actor, _wait_seconds(actor, given["wait"])):
        job = _waited(actor, services().jobs.submit(actor, submission), given["wait"])
    return _job(actor, job, 1)


@route("/result", "GET")
@blueprint.arguments(ResultQuery, location="query")
def result(query: dict[str, Any], *, actor: Actor) -> Response:
    """Get the answer

    Waits for it as `/ask` does. Ask again while `status` is `queued` or `running`.
    """
    bot.remember(query)
    seconds = _wait_seconds(actor, query["wait"])
    with waiting(actor, seconds):
        job = services().jobs.wait(actor, query["job_id"], seconds)
    return _job(actor, job, query["first_part"])


@route("/reset", "POST")
@blueprint.arguments(BotUser, required=False)
def reset(given: dict[str, Any], *, actor: Actor) -> Response:
    """Start a new dialog

    The next question knows nothing of what was said before.
    """
    asked = bot.remember(given)
    services().contexts.reset(actor, asked.user_id)
    return bot.answer(bot.done(asked, bot.balance_of(actor, asked.user_id), text(locale(), "bot.reset")))


@route("/balance", "GET")
@blueprint.arguments(BotUserQuery, location="query")
def balance(query: dict[str, Any], *, actor: Actor) -> Response:
    """Show the balance

    `text` says it in words.
    """
    asked = bot.remember(query)
    available = bot.balance_of(actor, asked.user_id)
    return bot.answer(bot.done(asked, available, text(locale(), "bot.balance", tokens=available)))


@route("/link", "POST")
@blueprint.arguments(BotLink)
def link(given: dict[str, Any], *, actor: Actor) -> Response:
    """Link the person to their account on the web

    By the code that they got there: see `/api/link`.
    """
    asked = bot.remember(given)
    confirmed = services().links.confirm(actor, given["user_id"], given["code"])
    available = confirmed.wallet.available
    return bot.answer(bot.done(asked, available, text(locale(), "bot.linked", tokens=available)))


def _job(actor: Actor, job: Job, first_part: int) -> Response:
    # Of what is paid for in credits the job knows no tokens.
    available = None if job.meter == Meter.CREDITS else job.balance_after
    if available is None:
        available = bot.balance_of(actor, actor.name_of(job.account_id, job.external_user_id, job.end_user_id))
    return bot.answer(bot.of_job(bot.asked(), job, available, first_part))


def _waited(actor: Actor, job: Job, asked: int | None) -> Job:
    try:
        return services().jobs.wait(actor, job.id, _wait_seconds(actor, asked))
    except services().outages:
        # It has been accepted, so an outage now must not look like a refusal: the bot polls.
        return job


def _wait_seconds(actor: Actor, asked: int | None) -> int:
    """What the request says, else the key, else the installation."""
    if asked is not None:
        return asked
    if actor.key is not None and actor.key.wait_seconds is not None:
        return actor.key.wait_seconds
    return services().settings.bot_wait_seconds


def _metadata(given: dict[str, Any]) -> dict[str, Any]:
    name = given["client_request_id"]
    return {**given["metadata"], **({} if name is None else {"clientRequestId": name})}


def _idempotency(given: dict[str, Any], actor: Actor) -> IdempotencyKey | None:
    """By the bot's own number for its request, or the header's; of one person of one bot, whoever pays for them.

    What was asked is compared, and not how: a repeat may want another format, or come with the key in the path.
    """
    name = given["client_request_id"] or request.headers.get("Idempotency-Key")
    if not name:
        return None
    asked = [given[field] for field in ("user_id", "message", "assistant", "callback_url", "metadata")]
    fingerprint = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    named = actor.owner(given["user_id"])
    whose = named if named != actor.account_id else actor.record_id
    return IdempotencyKey(account_id=whose, key=f"bot:{name}", fingerprint=fingerprint)
