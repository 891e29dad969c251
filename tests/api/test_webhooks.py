"""`/api/webhooks` and its operators' side over HTTP."""

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pymongo.database import Database

from service.usecases.webhook_messages import PLACEHOLDERS
from tests.api.conftest import Caller, NewCaller
from tests.api.test_openapi import complain

HOOKS = "/api/webhooks"
URL = "https://shop.example.com/hook?key=very-secret"


def create(caller: Caller, **fields: Any) -> dict[str, Any]:
    reply = caller.post(HOOKS, {"url": URL, **fields})
    assert reply.status_code == 201, reply.text
    return dict(reply.json)


def test_an_endpoint_lives_and_dies(user: Caller) -> None:
    made = create(user, events=["job.failed"])
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made["url"] == "https://shop.example.com/hook?***"
    assert (made["events"], made["format"], made["enabled"]) == (["job.failed"], "native", True)
    assert user.get(HOOKS).json == {"webhooks": [made]}
    assert user.get(f"{HOOKS}/{made['id']}").json == made

    changed = user.call("PATCH", f"{HOOKS}/{made['id']}", json={"events": ["job.succeeded"], "enabled": False}).json
    assert changed == {**made, "events": ["job.succeeded"], "enabled": False, "disabledReason": "owner"}
    rotated = user.post(f"{HOOKS}/{made['id']}/secret").json
    assert rotated["secret"] != secret
    assert rotated["oldSecretUntil"] is not None

    assert user.call("DELETE", f"{HOOKS}/{made['id']}").status_code == 204
    assert user.get(f"{HOOKS}/{made['id']}").status_code == 404
    assert user.get(HOOKS).json == {"webhooks": []}


def test_the_secret_is_shown_once(user: Caller) -> None:
    made = create(user)
    for reply in (user.get(HOOKS), user.get(f"{HOOKS}/{made['id']}")):
        assert made["secret"] not in reply.text
        assert "very-secret" not in reply.text


def test_a_key_in_a_path_is_masked(user: Caller) -> None:
    made = create(user, url="https://api.botboom.ru/wapp/message/send/KEY1234", format="botboom")
    assert made["url"] == "https://api.botboom.ru/***"
    assert "KEY1234" not in user.get(HOOKS).text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", 5),
        ("url", None),
        ("events", []),
        ("events", ["job.started"]),
        ("events", "job.failed"),
        ("format", "xml"),
        ("template", {"fields": {}}),
        ("template", {"fields": {"a": 1}}),
        ("template", {"fields": {"a b": "x"}}),
        ("template", {"method": "GET", "fields": {"a": "x"}}),
        ("template", {"fields": {f"a{n}": "x" for n in range(31)}}),
        ("partCharacters", 99),
        ("partCharacters", 4097),
    ],
)
def test_a_bad_field_is_named(user: Caller, field: str, value: object) -> None:
    reply = user.post(HOOKS, {"url": URL, field: value})
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://a@example.com"]
)
def test_an_unsafe_address_is_refused(user: Caller, url: str) -> None:
    reply = user.post(HOOKS, {"url": url})
    assert (reply.status_code, reply.json["code"]) == (400, "UNSAFE_CALLBACK_URL")
    assert reply.json["details"]["url"]


def test_a_template_comes_back(user: Caller) -> None:
    template = {"method": "PUT", "body": "form", "fields": {"variables.text": "{text}"}}
    assert create(user, format="template", template=template)["template"] == template
    reply = user.post(HOOKS, {"url": URL, "format": "template"})
    assert list(reply.json["details"]) == ["template"]


def test_deliveries_are_listed_and_sent_again(db: Database, user: Caller, admin: Caller, support: Caller) -> None:
    made = create(user)
    test = user.post(f"{HOOKS}/{made['id']}/test", {"metadata": {"chatId": 7}})
    assert test.status_code == 202
    delivery = test.json
    assert (delivery["event"], delivery["status"], delivery["jobId"]) == ("webhook.test", "pending", None)
    assert delivery["origin"] == "https://shop.example.com"
    listed = user.get(f"{HOOKS}/{made['id']}/deliveries").json
    assert [each["id"] for each in listed["deliveries"]] == [delivery["id"]]
    assert listed["nextCursor"] is None
    assert user.get(f"{HOOKS}/{made['id']}/deliveries?status=dead").json["deliveries"] == []

    db.deliveries.update_one({"_id": delivery["id"]}, {"$set": {"status": "dead", "tries": 9}})
    again = user.post(f"{HOOKS}/deliveries/{delivery['id']}/redeliver")
    assert (again.status_code, again.json["status"], again.json["tries"]) == (202, "pending", 0)

    everything = support.get("/api/admin/webhooks/deliveries").json["deliveries"]
    assert [each["userId"] for each in everything] == [user.id]
    assert support.get(f"/api/admin/webhooks/deliveries?userId={admin.id}").json["deliveries"] == []
    path = f"/api/admin/webhooks/deliveries/{delivery['id']}/redeliver"
    assert (support.post(path).status_code, admin.post(path).status_code) == (403, 202)
    assert admin.post("/api/admin/webhooks/deliveries/unknown/redeliver").status_code == 404
    assert db.audit.count_documents({"action": "webhook.redeliver", "subject_id": user.id}) == 1


def test_a_secret_for_callbacks(user: Caller) -> None:
    first = user.post(f"{HOOKS}/callback-secret").json
    second = user.post(f"{HOOKS}/callback-secret", {"overlapHours": 0}).json
    assert first["oldSecretUntil"] is None
    assert first["secret"] != second["secret"]
    assert user.get(HOOKS).json == {"webhooks": []}


def test_somebody_elses_is_refused(user: Caller, register: NewCaller) -> None:
    made, stranger = create(user), register()
    assert stranger.get(f"{HOOKS}/{made['id']}").status_code == 403
    assert stranger.get(f"{HOOKS}/unknown").status_code == 404
    assert stranger.get(f"{HOOKS}/callbacks:{user.id}").status_code == 404


def test_real_answers_fit_their_schemas(user: Caller) -> None:
    document = user.client.get("/openapi.json").json
    made = create(user, format="template", template={"fields": {"a": "{text}"}})
    user.post(f"{HOOKS}/{made['id']}/test")
    for path in ("", "/{webhookId}", "/{webhookId}/deliveries"):
        operation = document["paths"][HOOKS + path]["get"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        answer = user.get(HOOKS + path.replace("{webhookId}", made["id"])).json
        assert not complain(document, schema, answer), path


def test_the_placeholders_of_a_template_are_documented(client: FlaskClient) -> None:
    """In the guide, and in the reference, by which a form may list them."""
    guide = (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| `{")]
    assert {name for row in rows for name in re.findall(r"{(\w+)}", row)} == PLACEHOLDERS
    assert "`{metadata.NAME}`" in guide
    schema = client.get("/openapi.json").json["components"]["schemas"]["TemplateInput"]
    listed = schema["properties"]["fields"]["description"].partition("`{placeholders}`: ")[2]
    names = {re.sub(r" \(.*?\)", "", name).strip(" .") for name in re.sub(r"\([^)]*\)", "", listed).split(",")}
    assert names == PLACEHOLDERS | {"metadata.NAME"}


def test_every_placeholder_may_be_used_and_comes_back_as_it_was_saved(user: Caller) -> None:
    made = create(user)
    wanted = {"method": "PUT", "body": "form", "fields": {name: f"<{{{name}}}>" for name in sorted(PLACEHOLDERS)}}
    path = f"{HOOKS}/{made['id']}"
    changed = user.call("PATCH", path, json={"format": "template", "template": wanted})
    assert changed.status_code == 200, changed.text
    assert user.get(path).json["template"] == wanted
    assert user.get(path).json["format"] == "template"
