"""What a delivery says to receivers with words of their own: botboom's, and those of a template."""

import json
from urllib.parse import parse_qsl

from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from tests.core.deliveries.support import deliver_all, hurry, only, register, template
from tests.core.receivers import Receiver
from tests.core.support import ask, new_key, program_of

BOTBOOM = {"format": "botboom", "part_characters": 100}


def form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))


def test_botboom_gets_the_parts_in_order_each_once(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    answer = "\n\n".join(f"Абзац {number}. " + "слово " * 10 for number in range(5))
    upstream.clear()
    upstream.rule(answer=answer)
    register(calling, actor, receiver.url, **BOTBOOM)
    receiver.replies = [(200, {}), (200, {}), (500, {}), (200, {}), (503, {})]
    ask(calling, actor, metadata={"chatId": 4242})
    for _ in range(4):
        deliver_all(calling, db)
        hurry(db)

    assert only(db)["status"] == "delivered"
    assert {each.headers["Content-Type"] for each in receiver.heard} == {
        "application/x-www-form-urlencoded; charset=utf-8"
    }
    sent = [form(each.body) for each in receiver.heard]
    assert {each["chatId"] for each in sent} == {"4242"}
    arrived = [each["caption"] for number, each in enumerate(sent) if number not in (2, 4)]
    assert len(arrived) == len(set(arrived)) == 5
    assert " ".join(" ".join(arrived).split()) == " ".join(answer.split())
    assert sent[2] == sent[3], "the part that failed is sent again, and none before it"


def test_botboom_is_told_of_a_failure_in_words(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    upstream.clear()
    upstream.rule(status=400)
    register(calling, actor, receiver.url, format="botboom")
    ask(calling, actor, metadata={"chatId": "77"})
    deliver_all(calling, db)
    (heard,) = receiver.heard
    assert form(heard.body) == {
        "chatId": "77",
        "caption": "Поставщик модели вернул ошибку. Ничего не списано. Повторите запрос.",
    }


def test_botboom_knows_the_end_users_chat(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    upstream.clear()
    upstream.rule(times=1, answer="pong")
    upstream.rule(status=400)
    register(calling, actor, receiver.url, format="botboom")
    bot = program_of(new_key(calling, actor))
    calling.billing.top_up(bot, "4242", 10_000, None)
    ask(calling, bot, user_id="4242")
    deliver_all(calling, db)
    ask(calling, bot, user_id="4242", metadata={"chatId": 77})
    deliver_all(calling, db)
    assert [form(heard.body)["chatId"] for heard in receiver.heard] == ["4242", "77"]


def test_botboom_without_a_chat_is_dead(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    register(calling, actor, receiver.url, format="botboom")
    ask(calling, actor)
    deliver_all(calling, db)
    assert (only(db)["status"], only(db)["last_error"]) == ("dead", "no_recipient")
    assert not receiver.heard


def test_a_template_speaks_the_receivers_words(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    upstream.clear()
    upstream.rule(answer='a "quoted" {jobId} & more')
    fields = {
        "client_id": "{metadata.client}",
        "variables.answer": "{text}",
        "variables.cost": "{charged} tokens",
        "event": "{event}",
        "nothing": "{errorCode}{metadata.absent}",
    }
    register(calling, actor, receiver.url, **template("json", "PUT", **fields))
    register(calling, actor, receiver.url, **template("form", **{"a[b]": "{message}", "id": "{jobId}"}))
    job = ask(calling, actor, metadata={"client": 5})
    deliver_all(calling, db)

    by_method = {each.method: each for each in receiver.heard}
    assert json.loads(by_method["PUT"].body) == {
        "client_id": "5",
        "variables": {"answer": 'a "quoted" {jobId} & more', "cost": f"{job.charged} tokens"},
        "event": "job.succeeded",
        "nothing": "",
    }
    assert form(by_method["POST"].body) == {"a[b]": 'a "quoted" {jobId} & more', "id": job.id}
