"""`/api/admin/models` and `/api/admin/assistants` over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from devstack.servers import MongoServer
from service.bootstrap import Container
from tests.api.conftest import Caller

MODELS = "/api/admin/models"
ASSISTANTS = "/api/admin/assistants"


@pytest.fixture(autouse=True)
def catalog(mongo: MongoServer, container: Container) -> Iterator[Database]:
    """The catalog is as before when the test is over."""
    with MongoClient(mongo.uri) as client:
        db = client.get_default_database()
        before = {name: list(db[name].find({})) for name in ("models", "assistants")}
        yield db
        for name, rows in before.items():
            db[name].delete_many({})
            db[name].insert_many(rows)
    container.catalog.desk._desk._catalog.memory.forget()


def one(rows: list[dict[str, Any]], key: str, value: str) -> dict[str, Any]:
    (found,) = [row for row in rows if row[key] == value]
    return found


def test_models_are_listed(support: Caller) -> None:
    body = support.get(MODELS).json
    assert body["defaultModel"] == "gpt-6-luna"
    assert body.keys() == {"models", "defaultModel", "providerReadAt"}
    row = one(body["models"], "alias", "gpt-4-turbo")
    assert row.pop("daysLeft") < 0
    row.pop("providerShutdownOn")
    assert row == {
        "alias": "gpt-4-turbo",
        "upstreamId": "gpt-4-turbo",
        "sentId": "gpt-5.6-sol",
        "weights": {"version": 1, "inputMilli": 1000, "cachedMilli": 1000, "outputMilli": 1000},
        "contextTokens": 128000,
        "outputTokens": 4096,
        "acceptsTemperature": True,
        "outputParameter": "max_completion_tokens",
        "reasoningEffort": None,
        "shutdownOn": "2026-10-23",
        "successor": "gpt-5.6-sol",
        "warning": "replaced",
        "isDefault": False,
        "assistants": [],
        "version": 1,
    }
    default = one(body["models"], "alias", "gpt-6-luna")
    assert default["isDefault"]
    assert {"chat", "coach", "planner"} <= set(default["assistants"])


def test_a_model_is_changed(admin: Caller) -> None:
    changes = {"expectedVersion": 1, "weights": {"outputMilli": 4000}, "shutdownOn": "2027-03-01", "successor": None}
    reply = admin.call("PATCH", f"{MODELS}/gpt-4o-mini", json=changes)
    assert reply.status_code == 200, reply.text
    assert reply.json["weights"] == {"version": 2, "inputMilli": 1000, "cachedMilli": 1000, "outputMilli": 4000}
    assert (reply.json["shutdownOn"], reply.json["successor"], reply.json["version"]) == ("2027-03-01", None, 2)
    assert one(admin.get(MODELS).json["models"], "alias", "gpt-4o-mini") == reply.json
    again = admin.call("PATCH", f"{MODELS}/gpt-4o-mini", json={**changes, "shutdownOn": None})
    assert (again.status_code, again.json["code"], again.json["version"]) == (409, "VERSION_CHANGED", 2)


def test_a_model_is_changed_whose_name_is_a_path(admin: Caller, catalog: Database) -> None:
    """As providers behind one address call theirs."""
    stored = catalog.models.find_one({"_id": "gpt-4o-mini"}) or {}
    catalog.models.insert_one({**stored, "_id": "openai/gpt-4o-mini"})
    for slash, version in (("%2F", 1), ("/", 2)):
        changes = {"expectedVersion": version, "outputTokens": 1000 + version}
        reply = admin.call("PATCH", f"{MODELS}/openai{slash}gpt-4o-mini", json=changes)
        assert (reply.status_code, reply.json.get("alias")) == (200, "openai/gpt-4o-mini"), reply.text


def test_an_assistant_is_changed(admin: Caller, support: Caller) -> None:
    before = one(support.get(ASSISTANTS).json["assistants"], "id", "coach")
    assert (before["meter"], before["locale"], before["version"]) == ("credits", "fr", 1)
    changes = {"expectedVersion": 1, "persona": "Tu es un autre coach.", "temperature": None, "listed": False}
    reply = admin.call("PATCH", f"{ASSISTANTS}/coach", json=changes)
    assert reply.status_code == 200, reply.text
    assert reply.json == {
        **before,
        "persona": "Tu es un autre coach.",
        "temperature": None,
        "listed": False,
        "version": 2,
    }
    offered = [each["id"] for each in support.get("/api/assistants").json["assistants"]]
    assert "coach" not in offered, "at once, where it was changed"
    assert admin.call("PATCH", f"{ASSISTANTS}/coach", json=changes).status_code == 409


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (f"{MODELS}/gpt-6-luna", {}, "expectedVersion"),
        (f"{MODELS}/gpt-6-luna", {"weights": {"outputMilli": 0}}, "weights.outputMilli"),
        (f"{MODELS}/gpt-6-luna", {"weights": {"inputMilli": -5}}, "weights.inputMilli"),
        (f"{MODELS}/gpt-6-luna", {"weights": {"inputMilli": 1.5}}, "weights.inputMilli"),
        (f"{MODELS}/gpt-6-luna", {"weights": None}, "weights"),
        (f"{MODELS}/gpt-6-luna", {"weights": 5}, "weights"),
        (f"{MODELS}/gpt-6-luna", {"shutdownOn": "soon"}, "shutdownOn"),
        (f"{MODELS}/gpt-6-luna", {"outputTokens": 63}, "outputTokens"),
        (f"{MODELS}/gpt-6-luna", {"successor": ""}, "successor"),
        (f"{MODELS}/gpt-6-luna", {"successor": "gpt-4o-mini"}, "successor"),
        (f"{MODELS}/gpt-6-luna", {"reasoningEffort": "great"}, "reasoningEffort"),
        (f"{MODELS}/gpt-6-luna", {"acceptsTemperature": "yes"}, "acceptsTemperature"),
        (f"{MODELS}/gpt-6-luna", {"upstreamId": None}, "upstreamId"),
        (f"{ASSISTANTS}/chat", {"persona": "  "}, "persona"),
        (f"{ASSISTANTS}/chat", {"persona": "x" * 20_001}, "persona"),
        (f"{ASSISTANTS}/chat", {"temperature": 2.1}, "temperature"),
        (f"{ASSISTANTS}/chat", {"model": "gpt-0"}, "model"),
        (f"{ASSISTANTS}/chat", {"model": None}, "model"),
        (f"{ASSISTANTS}/chat", {"outputTokens": 99_999}, "outputTokens"),
        (f"{ASSISTANTS}/chat", {"historyMessages": 201}, "historyMessages"),
        (f"{ASSISTANTS}/chat", {"locale": "de"}, "locale"),
    ],
)
@pytest.mark.parametrize("language", ["ru", "en", "fr"])
def test_nonsense_is_refused_with_its_field(
    admin: Caller, catalog: Database, path: str, body: dict[str, Any], field: str, language: str
) -> None:
    sent = {"expectedVersion": 1, **body} if body else {"successor": None}
    reply = admin.call("PATCH", path, json=sent, headers={"Accept-Language": language})
    assert (reply.status_code, reply.json["code"]) == (400, "VALIDATION_ERROR"), reply.text
    assert field.split(".")[0] in {name.split(".")[0] for name in reply.json["details"]}
    assert "detail." not in reply.text
    assert catalog.models.find_one({"_id": "gpt-6-luna"})["version"] == 1


@pytest.mark.parametrize(
    "body", [{"meter": "free"}, {"id": "x", "_id": "y"}, {"version": 9}, {"responseFormat": "plan"}]
)
def test_what_is_not_to_be_changed_is_ignored(admin: Caller, catalog: Database, body: dict[str, Any]) -> None:
    before = list(catalog.assistants.find({}))
    reply = admin.call("PATCH", f"{ASSISTANTS}/chat", json={"expectedVersion": 1, **body})
    assert reply.status_code == 200
    assert list(catalog.assistants.find({})) == before


def test_who_may(admin: Caller, support: Caller, user: Caller) -> None:
    for route in (MODELS, ASSISTANTS):
        assert user.get(route).status_code == 403
        assert support.get(route).status_code == 200
    for path in (f"{MODELS}/default", f"{ASSISTANTS}/chat"):
        assert support.call("PATCH", path, json={"expectedVersion": 1}).status_code == 403
        assert admin.call("PATCH", path, json={"expectedVersion": 1}).status_code == 200
    for path in (f"{MODELS}/gpt-0", f"{ASSISTANTS}/nobody"):
        assert admin.call("PATCH", path, json={"expectedVersion": 1}).status_code == 404


def test_a_change_is_in_the_audit_trail(admin: Caller) -> None:
    admin.call("PATCH", f"{ASSISTANTS}/tutor", json={"expectedVersion": 1, "outputTokens": 1234})
    (line,) = admin.get("/api/admin/audit?subjectId=tutor&limit=1").json["audit"]
    assert (line["action"], line["actorId"], line["outcome"]) == ("assistant.change", admin.id, "done")
    assert line["details"] == {"before": {"output_tokens": 2000}, "after": {"output_tokens": 1234}}
