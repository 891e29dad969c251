"""Nobody reads or moves what is not theirs: every documented route × everybody who might try.

The grid is made from the OpenAPI document. Each route says whose things it is about (`x-access`); one that doesn't, or
that names somebody in a way not known here, fails.
"""

from dataclasses import dataclass
from typing import Any

import pytest
import requests
from pymongo.database import Database

from service.api.errors import STATUSES
from tests.stack.stack import PASSWORD, Person, Program, StackUnderTest

# Whether somebody gets past the doorkeeper of a route; what the route then makes of it is for other tests.
ALLOWED = {
    "public": {"nobody", "stranger", "support", "admin", "owner"},
    "self": {"stranger", "support", "admin", "owner"},
    "private": {"owner"},
    "owner": {"admin", "owner"},
    "support": {"support", "admin"},
    "admin": {"admin"},
}
WHO = ("nobody", "stranger", "support", "admin", "owner")
# Where nobody listens.
NOWHERE = "http://127.0.0.1:9/"
# These end what the next request of the same person needs.
ENDING = {"authLogout", "authChangePassword"}
# Refusals that have nothing to do with whose things they are.
OTHER_REASONS = {"BAD_CREDENTIALS", "TOPUP_UNAVAILABLE"}
METHODS = {"get", "post", "put", "patch", "delete"}
SCOPES = ("chat", "context", "billing:read", "billing:topup", "bot")
# What a route calls whose things it is about, in its dialect.
OWNER_NAMES = {"userId", "user_id"}
# What a body calls the track or module that it is about.
THINGS = {"track_id", "trackId", "module_id"}
# What an end user of the owner's key is called by its program, and what it said.
EXTERNAL_ID = "4242"
SECRET_WORD = "tamarisk"


@dataclass(frozen=True)
class Route:
    """`fields` are the names that its JSON body may have."""

    method: str
    path: str
    operation: dict[str, Any]
    fields: frozenset[str]

    @property
    def access(self) -> str:
        return str(self.operation["x-access"])

    @property
    def has_key_in_path(self) -> bool:
        return "{apiKey}" in self.path

    @property
    def takes_keys(self) -> bool:
        return self.has_key_in_path or any("apiKey" in scheme for scheme in self.operation["security"])

    @property
    def names_a_thing(self) -> bool:
        in_path = "{" in self.path.replace("{apiKey}", "").replace("{model}", "")
        return in_path or "jobId" in self.query or bool(THINGS & self.fields)

    @property
    def names_somebody(self) -> bool:
        return self.names_a_thing or bool((OWNER_NAMES | {"session_id", "sessionId"}) & (self.query | self.fields))

    @property
    def query(self) -> set[str]:
        return {each["name"] for each in self.operation.get("parameters", []) if each.get("in") == "query"}

    @property
    def body(self) -> dict[str, Any]:
        content = self.operation.get("requestBody", {}).get("content", {})
        return dict(content.get("application/json", {}).get("example", {}))


@dataclass(frozen=True)
class Cast:
    """Everybody who tries; a job, key, webhook, delivery, payment and link of the owner's; a redeem code of nobody's.

    `end_user_job_id` is of an end user of that key. What else a job leads to is looked up in `db`.
    """

    db: Database
    people: dict[str, Person]
    job_id: str
    program: Program
    end_user_job_id: str
    webhook_id: str
    delivery_id: str
    payment_id: str
    code_id: str
    link_id: str
    track_id: str
    end_user_track_id: str


@pytest.fixture(scope="module")
def routes(stack: StackUnderTest) -> list[Route]:
    document = requests.get(f"{stack.web.url}/openapi.json", timeout=10).json()
    found = [
        Route(method, path, operation, body_fields(document, operation))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]
    # What deletes the thing that others are about comes after them.
    # And another plan takes modules away.
    return sorted(found, key=lambda route: (route.method == "delete", "finalize" in route.path))


def body_fields(document: dict[str, Any], operation: dict[str, Any]) -> frozenset[str]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    alternatives = [schema, *schema.get("oneOf", ())]
    return frozenset(name for each in alternatives for name in each.get("properties", {}))


@pytest.fixture
def cast(stack: StackUnderTest) -> Cast:
    people = {who: stack.register() for who in WHO if who != "nobody"}
    for role in ("support", "admin"):
        stack.db.accounts.update_one({"_id": people[role].account_id}, {"$set": {"role": role}})
    owner = people["owner"]
    job_id = owner.submit("mine alone")
    owner.final(job_id)
    program = owner.new_key("chat", "context", "billing:read")
    grant(people["admin"], program)
    program.call("POST", "/api/billing/topup", json={"userId": EXTERNAL_ID, "amount": 31_337})
    end_user_job_id = program.submit(f"the word is {SECRET_WORD}", userId=EXTERNAL_ID)
    program.final(end_user_job_id)
    webhook_id = owner.call("POST", "/api/webhooks", json={"url": NOWHERE}).json()["id"]
    delivery_id = owner.call("POST", f"/api/webhooks/{webhook_id}/test").json()["id"]
    payment_id = owner.call("POST", "/api/billing/topup", json={"amount": 1_000_000}).json()["paymentId"]
    (code,) = people["admin"].call("POST", "/api/admin/redeem-codes", json={"tokens": 5}).json()["codes"]
    link_code = owner.call("POST", "/api/link/code").json()["code"]
    assert program.call("POST", "/api/link/confirm", json={"userId": "7", "code": link_code}).status_code == 200
    link_id = owner.call("GET", "/api/link").json()["links"][0]["linkId"]
    track_id = owner.call("POST", "/api/tracks", json={"title": "mine alone"}).json()["id"]
    of_end_user = {"title": f"the word is {SECRET_WORD}", "user_id": EXTERNAL_ID}
    end_user_track_id = program.call("POST", "/api/tracks", json=of_end_user).json()["id"]
    for each in (track_id, end_user_track_id):
        add_module(stack, each)
    nobody = Person(stack.web.url, "", "")
    own = (webhook_id, delivery_id, payment_id, code["codeId"], link_id, track_id, end_user_track_id)
    return Cast(stack.db, {**people, "nobody": nobody}, job_id, program, end_user_job_id, *own)


def add_module(stack: StackUnderTest, track_id: str) -> None:
    lesson = {"id": "lesson", "title": SECRET_WORD, "description": "", "duration_minutes": 5}
    module = {"title": SECRET_WORD, "description": "", "position": 0, "lessons": [lesson], "status": "pending"}
    stack.db.modules.insert_one({"_id": f"module-of-{track_id}", "track_id": track_id, **module})


def grant(admin: Person, program: Program) -> None:
    """Give the key every scope."""
    reply = admin.call("POST", f"/api/admin/keys/{program.key_id}/scopes", json={"scopes": SCOPES})
    assert reply.status_code == 200, reply.text


def attempt(stack: StackUnderTest, route: Route, cast: Cast, who: str) -> requests.Response:
    """One try at the owner's things."""
    owner, person = cast.people["owner"], cast.people[who]
    if route.operation["operationId"] in ENDING and who != "nobody":
        person = stack.twin(person)
    return try_as(person, route, cast, owner.account_id, cast.job_id, cast.track_id)


def try_as(person: Person, route: Route, cast: Cast, user_id: str, job_id: str, track_id: str) -> requests.Response:
    ids = {"keyId": cast.program.key_id, "webhookId": cast.webhook_id, "deliveryId": cast.delivery_id}
    ids |= {"paymentId": cast.payment_id, "codeId": cast.code_id, "model": "default"}
    ids |= {"alias": "default", "assistantId": "chat"}
    ids |= {"linkId": cast.link_id, "apiKey": person.secret if isinstance(person, Program) else "tm_" + "x" * 43}
    said = "user" if route.path.endswith("/edit") else "assistant"
    job = cast.db.jobs.find_one({"_id": job_id}) or {}
    ids |= {"sessionId": job["session_id"], "chatId": job["chat_id"]}
    ids["messageId"] = f"{job_id}:{said}"
    path = route.path.format(userId=user_id, jobId=job_id, trackId=track_id, **ids)
    body = {**route.body, **({"currentPassword": PASSWORD} if "currentPassword" in route.fields else {})}
    body |= dict.fromkeys(OWNER_NAMES & route.fields, user_id)
    in_dialog = {"session_id": "session_id", "sessionId": "session_id", "chat_id": "chat_id"}
    body |= {name: job[field] for name, field in in_dialog.items() if name in body}
    things = {"track_id": track_id, "trackId": track_id, "module_id": f"module-of-{track_id}", "lesson_id": "lesson"}
    body |= {name: thing for name, thing in things.items() if name in route.fields}
    named = {**dict.fromkeys(OWNER_NAMES, user_id), "jobId": job_id, "q": SECRET_WORD}
    query = {name: value for name, value in named.items() if name in route.query}
    sent = None if route.method in ("get", "delete") else body
    return person.call(route.method.upper(), path, params=query, json=sent)


def outcome(reply: requests.Response) -> tuple[int, str]:
    """Status and code; of the bot profile, whose status is always 200, the status that its code has elsewhere, and of
    OpenAI's error object, which says it in lower case, our code."""
    is_json = reply.headers.get("Content-Type", "").startswith("application/json")
    body = reply.json() if reply.content and is_json else {}
    if body.get("errorCode"):
        return int(STATUSES[body["errorCode"]]), str(body["errorCode"])
    if isinstance(body.get("error"), dict):
        return reply.status_code, str(body["error"]["code"]).upper()
    return reply.status_code, str(body.get("code", ""))


def test_every_route_is_classified(routes: list[Route]) -> None:
    assert len(routes) > 30
    unclassified = [route.path for route in routes if route.operation.get("x-access") not in ALLOWED]
    assert not unclassified
    # A route of the kind `owner` must have a way to name somebody else, or the grid below proves nothing about it.
    assert not [route.path for route in routes if route.access == "owner" and not route.names_somebody]


@pytest.mark.parametrize("who", WHO)
def test_only_those_who_may_get_through(stack: StackUnderTest, routes: list[Route], cast: Cast, who: str) -> None:
    wrong = []
    for route in routes:
        if route.has_key_in_path:
            # Who somebody is doesn't matter there.
            assert outcome(attempt(stack, route, cast, who)) == (401, "UNAUTHORIZED"), route
            continue
        reply = attempt(stack, route, cast, who)
        status, code = outcome(reply)
        stopped = status in (401, 403) and code not in OTHER_REASONS
        if route.access == "public":
            # A refresh token that is none has the code of a missing login.
            stopped = stopped and code != "UNAUTHORIZED"
        if stopped is (who in ALLOWED[route.access]):
            wrong.append(f"{who}: {route.method} {route.path} → {reply.status_code} {reply.text[:100]}")
    assert not wrong, "\n".join(wrong)


def test_nobody_is_told_to_log_in_and_others_that_they_may_not(
    stack: StackUnderTest, routes: list[Route], cast: Cast
) -> None:
    closed = [route for route in routes if route.access not in ("public", "self") and not route.has_key_in_path]
    assert {outcome(attempt(stack, route, cast, "nobody"))[0] for route in closed} == {401}
    assert {outcome(attempt(stack, route, cast, "stranger"))[0] for route in closed} == {403}


def test_a_key_without_a_scope_gets_nowhere(stack: StackUnderTest, routes: list[Route], cast: Cast) -> None:
    """Not even to what is its own account's, and not with an operator's account behind it."""
    for who in ("owner", "admin"):
        powerless = cast.people[who].new_key()
        for route in routes:
            if route.access != "public":
                reply = try_as(powerless, route, cast, cast.people["owner"].account_id, cast.job_id, cast.track_id)
                assert outcome(reply) == (403, "FORBIDDEN"), route


@pytest.mark.parametrize("whose", ["stranger", "owner", "admin"])
def test_another_key_reaches_no_ones_things(stack: StackUnderTest, routes: list[Route], cast: Cast, whose: str) -> None:
    """With every scope, naming an end user of the owner's key by both of its names: the owner's other key neither."""
    other = cast.people[whose].new_key()
    grant(cast.people["admin"], other)
    end_user = stack.db.accounts.find_one({"external_id": EXTERNAL_ID, "key_id": cast.program.key_id})
    assert end_user is not None
    before = things_of(stack, end_user["_id"])
    for route in routes:
        if route.access == "public":
            continue
        for name in (EXTERNAL_ID, end_user["_id"]):
            reply = try_as(other, route, cast, name, cast.end_user_job_id, cast.end_user_track_id)
            status, _ = outcome(reply)
            if not route.takes_keys or route.names_a_thing:
                assert status == 403, route
            assert status < 500, route
            assert SECRET_WORD not in reply.text, route
            assert cast.end_user_job_id not in reply.text or status == 403, route
    assert things_of(stack, end_user["_id"]) == before


def things_of(stack: StackUnderTest, account_id: str) -> dict[str, Any]:
    """All that is stored of an account."""
    return {
        name: sorted(stack.db[name].find({"account_id": account_id}), key=str)
        for name in ("jobs", "sessions", "chats", "messages", "ledger", "usage", "payments", "tracks")
    } | {"wallet": stack.db.wallets.find_one({"_id": account_id})}


def test_a_program_reaches_its_own_end_user(stack: StackUnderTest, routes: list[Route], cast: Cast) -> None:
    """Or the tests above would pass with every door shut."""
    reached = [route for route in routes if route.takes_keys]
    assert len(reached) >= 10
    for route in reached:
        reply = try_as(cast.program, route, cast, EXTERNAL_ID, cast.end_user_job_id, cast.end_user_track_id)
        status, code = outcome(reply)
        # The code of the documentation is nobody's, but only who may use one is told so; and a route before this one
        # may have asked a question in the same chat.
        assert status in (200, 201, 202, 204) or code in ("LINK_CODE_INVALID", "JOB_RUNNING"), (route, reply.text)


def test_a_linked_bot_reaches_what_it_asked_and_no_more(stack: StackUnderTest, routes: list[Route], cast: Cast) -> None:
    """Of the person behind its user it gets the answers to its own questions, and of nobody else's."""
    stranger = cast.people["stranger"]
    private_id = stranger.submit(f"the word is {SECRET_WORD}")
    stranger.final(private_id)
    private_track = {"title": f"the word is {SECRET_WORD}"}
    track_id = stranger.call("POST", "/api/tracks", json=private_track).json()["id"]
    add_module(stack, track_id)
    code = stranger.call("POST", "/api/link/code").json()["code"]
    bot = cast.people["owner"].new_key()
    grant(cast.people["admin"], bot)
    assert bot.call("POST", "/api/link/confirm", json={"userId": "42", "code": code}).status_code == 200
    for route in routes:
        if route.access == "public" or not route.takes_keys:
            continue
        for name in ("42", stranger.account_id):
            reply = try_as(bot, route, cast, name, private_id, track_id)
            if route.names_a_thing:
                assert outcome(reply)[0] == 403, route
            assert SECRET_WORD not in reply.text, route
            assert name == stranger.account_id or stranger.account_id not in reply.text, route
