"""Generated requests against every documented route of the real stack: no 5xx, and only what the document promises.

Some two thousand cases in every `make test`; `make fuzz` runs FUZZ_EXAMPLES per route and caller.
"""

import os
from collections.abc import Mapping
from http import HTTPStatus

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import BaseSchema

from service.domain.keys import ADMIN_SCOPES, Scope
from tests.stack.stack import Person, StackUnderTest

SHORT_EXAMPLES = 4
PROMISES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# These end the session of who asks, so that everything after them would be refused.
ENDING = ("authLogout", "authChangePassword")


@pytest.fixture(scope="module")
def document(stack: StackUnderTest) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{stack.web.url}/openapi.json")


@pytest.fixture
def person(stack: StackUnderTest) -> Person:
    return stack.register()


@pytest.fixture
def admin(stack: StackUnderTest) -> Person:
    admin = stack.register()
    stack.db.accounts.update_one({"_id": admin.account_id}, {"$set": {"role": "admin"}})
    return admin


def quickly(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )


def ids_of(caller: Person) -> dict[str, str]:
    """What is the caller's own, by the names that paths give it: made-up ids are only ever not found."""
    hook = caller.call("POST", "/api/webhooks", json={"url": "http://127.0.0.1/hook"}).json()["id"]
    key = caller.call("POST", "/api/keys", json={"name": "spare", "scopes": []}).json()["keyId"]
    return {"userId": caller.account_id, "jobId": caller.submit("mine"), "webhookId": hook, "keyId": key}


def fuzz(
    stack: StackUnderTest,
    document: BaseSchema,
    caller: Person,
    examples: int,
    ids: dict[str, str],
    headers: dict[str, str] | None = None,
) -> None:
    """So many well-formed and as many malformed requests to each route, about the half of them with ids that exist; all
    the failures at the end. `headers` say who asks, else it is the caller."""
    failures = []
    for result in document.get_all_operations():
        operation = result.ok()
        for mode in GenerationMode:

            @quickly(examples)
            @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
            def check(case: Case, known: bool) -> None:
                who = stack.twin(caller) if operation.definition.raw["operationId"] in ENDING else caller  # noqa: B023
                if known:
                    case.path_parameters = {**case.path_parameters, **_own(case.path_parameters, ids)}
                reply = case.call(headers=headers or {"Authorization": f"Bearer {who.token}"}, timeout=30)
                # A request line over 8 kB is gunicorn's to refuse, before there is a route.
                if reply.status_code != HTTPStatus.REQUEST_URI_TOO_LONG:
                    case.validate_response(reply, checks=[CHECKS.get_one(name) for name in PROMISES])

            try:
                check()
            except FailureGroup as group:
                failures.append(f"{operation.label}, {mode.value}: {group}")
            except Unsatisfiable:
                # Some routes have nothing that could be malformed.
                continue
    assert not failures, "\n\n".join(failures)


def _own(parameters: Mapping[str, object], ids: dict[str, str]) -> dict[str, str]:
    return {name: ids[name] for name in parameters if name in ids}


@pytest.mark.fuzz
@pytest.mark.timeout(600)
def test_a_person(stack: StackUnderTest, document: BaseSchema, person: Person) -> None:
    fuzz(stack, document, person, SHORT_EXAMPLES, ids_of(person))


@pytest.mark.fuzz
@pytest.mark.timeout(600)
def test_a_program(stack: StackUnderTest, document: BaseSchema, person: Person) -> None:
    program = person.new_key(*(set(Scope) - ADMIN_SCOPES))
    ids = {**ids_of(person), "userId": "4242"}
    fuzz(stack, document, person, SHORT_EXAMPLES, ids, {"X-API-Key": program.secret})


@pytest.mark.fuzz
@pytest.mark.timeout(600)
def test_an_admin(stack: StackUnderTest, document: BaseSchema, admin: Person, person: Person) -> None:
    fuzz(stack, document, admin, SHORT_EXAMPLES, ids_of(person))


@pytest.mark.fuzz_long
@pytest.mark.timeout(0)
def test_long(stack: StackUnderTest, document: BaseSchema, admin: Person, person: Person) -> None:
    fuzz(stack, document, admin, int(os.environ.get("FUZZ_EXAMPLES", "750")), ids_of(person))
