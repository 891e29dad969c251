"""The codes by which people link: one end user's, once, for minutes, and not to be guessed."""

from datetime import timedelta
from typing import Any

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import LinkCodeInvalid, RateLimited
from service.domain.links import CODE_LIFE, hash_code, new_code
from service.usecases.links import CODES_PER_HOUR, FAILURES_PER_END_USER, FAILURES_PER_OWNER, LinkService
from tests.core.links.support import CHAT_ID, code_of, link
from tests.core.support import SettableClock, new_key, program_of


def links_with(container: Container, **changes: Any) -> LinkService:
    """The container's links with another clock or the like."""
    names = ("links", "keys", "accounts", "money", "owners", "rate_limits", "telemetry", "clock", "secret")
    return LinkService(**{**{name: getattr(container.links, f"_{name}") for name in names}, **changes})


def test_a_code_is_for_one_end_user(container: Container, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    container.links.confirm(bot, CHAT_ID, code)
    with pytest.raises(LinkCodeInvalid):
        container.links.confirm(bot, "another", code)


def test_a_newer_code_ends_the_one_before(container: Container, vera: Actor, bot: Actor) -> None:
    older, newer = code_of(container, vera), code_of(container, vera)
    with pytest.raises(LinkCodeInvalid):
        container.links.confirm(bot, CHAT_ID, older)
    assert container.links.confirm(bot, CHAT_ID, newer).moved_tokens == 1_500


def test_a_code_expires(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    clock = SettableClock()
    links = links_with(container, clock=clock)
    code = links.issue(vera).code
    clock.time += CODE_LIFE
    with pytest.raises(LinkCodeInvalid):
        links.confirm(bot, CHAT_ID, code)
    clock.time -= timedelta(seconds=1)
    assert links.confirm(bot, CHAT_ID, code).moved_tokens == 1_500
    indexes = db.link_codes.index_information().values()
    assert [index["expireAfterSeconds"] for index in indexes if "expireAfterSeconds" in index] == [0]


def test_a_code_is_not_stored(container: Container, db: Database, vera: Actor) -> None:
    code = code_of(container, vera)
    stored = str(list(db.link_codes.find()))
    assert code not in stored
    assert code.replace("-", "") not in stored
    assert hash_code(code, "another secret") not in stored, "a copy of the database alone tells nothing"


def test_a_code_may_be_typed_as_people_type(container: Container, vera: Actor, bot: Actor) -> None:
    assert {hash_code(each, "s") for each in ("01AB-CDEF", " olab cdef ", "oiab—CDEF", "O1A-B-CD-EF")} == {
        hash_code("01ABCDEF", "s")
    }
    code = code_of(container, vera)
    assert container.links.confirm(bot, CHAT_ID, f" {code.lower().replace('-', ' ')}\n").moved_tokens == 1_500


def test_codes_are_random() -> None:
    codes = {new_code() for _ in range(1_000)}
    assert len(codes) == 1_000
    assert all(len(code) == 9 and not set(code) & set("ILOU") for code in codes)


def test_guessing_is_throttled_per_end_user_and_per_owner(
    container: Container, db: Database, vera: Actor, owner: Actor, bot: Actor
) -> None:
    code = code_of(container, vera)
    for _ in range(FAILURES_PER_END_USER):
        with pytest.raises(LinkCodeInvalid):
            container.links.confirm(bot, "guesser", "AAAA-AAAA")
    with pytest.raises(RateLimited):
        container.links.confirm(bot, "guesser", code)
    # Another key of the same owner and ever new end users don't help either.
    other = program_of(new_key(container, owner))
    failures = 0
    for number in range(FAILURES_PER_OWNER):
        try:
            container.links.confirm(other, f"invented {number}", "AAAA-AAAA")
        except LinkCodeInvalid:
            failures += 1
        except RateLimited:
            break
    assert failures == FAILURES_PER_OWNER - FAILURES_PER_END_USER
    with pytest.raises(RateLimited):
        container.links.confirm(bot, CHAT_ID, code)
    stranger = program_of(new_key(container, vera))
    assert container.links.confirm(stranger, "1", code).moved_tokens == 0


def test_one_bad_typist_does_not_stop_the_others(container: Container, vera: Actor, bot: Actor) -> None:
    for _ in range(FAILURES_PER_END_USER + 3):
        with pytest.raises((LinkCodeInvalid, RateLimited)):
            container.links.confirm(bot, "guesser", "AAAA-AAAA")
    assert link(container, bot, vera).moved_tokens == 1_500


def test_codes_are_throttled(container: Container, vera: Actor) -> None:
    for _ in range(CODES_PER_HOUR):
        code_of(container, vera)
    with pytest.raises(RateLimited):
        code_of(container, vera)


def test_a_used_code_is_no_way_back_after_the_link_was_removed(container: Container, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    container.links.confirm(bot, CHAT_ID, code)
    container.links.remove(vera, container.links.own(vera)[0].id)
    with pytest.raises(LinkCodeInvalid):
        container.links.confirm(bot, CHAT_ID, code)
