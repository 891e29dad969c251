"""What tests of links say often."""

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.usecases.links import Confirmed

CHAT_ID = "4242"


def code_of(container: Container, person: Actor) -> str:
    return container.links.issue(person).code


def link(container: Container, bot: Actor, person: Actor, user_id: str = CHAT_ID) -> Confirmed:
    return container.links.confirm(bot, user_id, code_of(container, person))


def balance(container: Container, actor: Actor, user_id: str | None = None) -> int:
    return container.billing.statement(actor, user_id).wallet.available
