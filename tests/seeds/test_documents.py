"""The measure itself: each way in which an answer may leave its contract is found."""

from typing import Any

import pytest

from tests.seeds.documents import differences, mistyped, printed, read, routes, section

SHOWN = {"list": [{"id": "x", "role": "USER", "at": "2024-01-15T10:00:00Z"}], "count": 4, "ok": True}
ITEM = {"id": "y", "role": "ASSISTANT", "at": "2026-02-28T23:59:59Z"}
REAL = {"list": [ITEM, ITEM], "count": 0, "ok": False}


def test_what_keeps_to_the_example_is_right() -> None:
    assert differences(SHOWN, REAL) == []
    assert differences(SHOWN, {**REAL, "list": []}) == []
    assert differences(SHOWN, {**REAL, "more": 1, "list": [{**ITEM, "new": None}]}, {"more", "list[].new"}) == []


@pytest.mark.parametrize(
    ("real", "complaint"),
    [
        ({"count": 0, "ok": True}, "list is missing"),
        ({**REAL, "more": 1}, "more was not announced"),
        ({**REAL, "count": "0"}, "count is '0' instead of a int"),
        ({**REAL, "count": True}, "count is True instead of a int"),
        ({**REAL, "count": None}, "count is None instead of a int"),
        ({**REAL, "list": {}}, "list is {} instead of a list"),
        ({**REAL, "list": [ITEM, {**ITEM, "Id": "x"}]}, "list[].Id was not announced"),
        ({**REAL, "list": [{"id": "x", "role": "USER"}]}, "list[].at is missing"),
        ({**REAL, "list": [{**ITEM, "role": "user"}]}, "list[].role is 'user' instead of capitals"),
        (
            {**REAL, "list": [{**ITEM, "at": "2024-01-15T10:00:00.123Z"}]},
            "list[].at is '2024-01-15T10:00:00.123Z' instead of the form '2024-01-15T10:00:00Z'",
        ),
    ],
)
def test_what_leaves_the_example_is_found(real: dict[str, Any], complaint: str) -> None:
    assert differences(SHOWN, real, {"more[]"}) == [complaint]


def test_a_field_of_another_type_is_found() -> None:
    types = {"a": "number", "b": "string", "c": "array", "d": "boolean"}
    assert mistyped(types, {"a": 1, "b": "x", "c": [], "d": True, "e": 0}, {"e"}) == []
    assert set(mistyped(types, {"a": True, "b": None, "d": 1, "e": 0})) == {
        "c is missing",
        "e was not announced",
        "a is True instead of a number",
        "b is None instead of a string",
        "d is 1 instead of a boolean",
    }


def test_the_documents_are_read_to_their_end() -> None:
    assert len(routes(read("gateway"))) == 11
    assert sum(len(route.statuses) for route in routes(read("gateway"))) == 36
    assert printed(read("coach"), "#### GET /api/chat/sessions")[0]["sessions"][0]["messageCount"] == 10
    assert "PREMIUM" in section(read("coach"), "### Crédits par plan")
