"""`/api/assistants`: whom one may ask, and what it costs the one who looks."""

from collections.abc import Callable

from flask.testing import FlaskClient

from service.domain.keys import Scope
from tests.api.conftest import Caller, Program

ROUTE = "/api/assistants"


def meters(body: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {each["id"]: each["meter"] for each in body["assistants"]}


def test_those_that_answer_in_plain_text_are_listed_the_usual_one_first(user: Caller) -> None:
    reply = user.get(ROUTE)
    assert reply.status_code == 200
    assert [each["id"] for each in reply.json["assistants"]] == ["chat", "bizlevel", "coach", "tutor"]
    assert reply.json["assistants"][2] == {"id": "coach", "meter": "credits", "locale": "fr"}


def test_what_is_free_for_guests_costs_others_tokens(client: FlaskClient, user: Caller) -> None:
    assert meters(user.get(ROUTE).json) == {
        "chat": "tokens",
        "bizlevel": "tokens",
        "coach": "credits",
        "tutor": "tokens",
    }
    guest = client.post("/api/auth/guest-login").json["token"]
    listed = client.get(ROUTE, headers={"Authorization": f"Bearer {guest}"}).json
    assert meters(listed)["bizlevel"] == "free"
    assert meters(listed)["chat"] == "tokens"


def test_each_of_them_can_be_asked(user: Caller) -> None:
    for each in user.get(ROUTE).json["assistants"]:
        reply = user.post("/api/chat", {"message": "hello", "assistant": each["id"]})
        assert reply.status_code == 202, each
        job = user.post(f"/api/chat/jobs/{reply.json['jobId']}/cancel").json
        assert (job["assistant"], job["meter"]) == (each["id"], each["meter"])


def test_programs_may_look_if_they_may_ask(
    client: FlaskClient, user: Caller, program_for: Callable[..., Program]
) -> None:
    assert program_for(user, [Scope.CHAT]).get(ROUTE).status_code == 200
    assert program_for(user, [Scope.CONTEXT]).get(ROUTE).status_code == 403
    assert client.get(ROUTE).status_code == 401
