"""Generated requests against every documented route of the real stack: no 5xx, and only what the document promises.

A few thousand cases in every `make test`; `make fuzz` runs FUZZ_EXAMPLES per route and caller.
"""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import BaseSchema

from tests.stack.stack import Person, StackUnderTest

SHORT_EXAMPLES = 20
REQUEST_LINE_TOO_LONG = 414
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


@pytest.fixture(scope="module")
def person(stack: StackUnderTest) -> Person:
    return stack.register()


@pytest.fixture(scope="module")
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


def fuzz(stack: StackUnderTest, document: BaseSchema, caller: Person, examples: int) -> None:
    """So many well-formed and as many malformed requests to each route; all the failures at the end."""
    failures = []
    for result in document.get_all_operations():
        operation = result.ok()
        for mode in GenerationMode:

            @quickly(examples)
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Case) -> None:
                who = stack.twin(caller) if operation.definition.raw["operationId"] in ENDING else caller  # noqa: B023
                headers = {"Authorization": f"Bearer {who.token}"}
                reply = case.call(headers=headers, timeout=30)
                # A request line over 8 kB is gunicorn's to refuse, before there is a route.
                if reply.status_code != REQUEST_LINE_TOO_LONG:
                    case.validate_response(reply, checks=[CHECKS.get_one(name) for name in PROMISES])

            try:
                check()
            except FailureGroup as group:
                failures.append(f"{operation.label}, {mode.value}: {group}")
            except Unsatisfiable:
                # Some routes have nothing that could be malformed.
                continue
    assert not failures, "\n\n".join(failures)


@pytest.mark.fuzz
@pytest.mark.timeout(600)
def test_a_person(stack: StackUnderTest, document: BaseSchema, person: Person) -> None:
    fuzz(stack, document, person, SHORT_EXAMPLES)


@pytest.mark.fuzz
@pytest.mark.timeout(600)
def test_an_admin(stack: StackUnderTest, document: BaseSchema, admin: Person) -> None:
    fuzz(stack, document, admin, SHORT_EXAMPLES)


@pytest.mark.fuzz_long
@pytest.mark.timeout(0)
def test_long(stack: StackUnderTest, document: BaseSchema, admin: Person) -> None:
    fuzz(stack, document, admin, int(os.environ.get("FUZZ_EXAMPLES", "750")))
