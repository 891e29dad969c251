"""The documents that clients were written by, as far as they say what is sent and answered: `examples/*.md`, verbatim.

`differences` holds an answer against a printed example.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent / "examples"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_ROUTE = re.compile(r"- \*\*Метод\*\*: `(\w+) (\S+)`")
_FIELD = re.compile(r"  - `(\w+)` \((\w+)(, optional)?\)")
_STATUS = re.compile(r"  - `(\d{3}) ")
# The words of the technical specification for the types of JSON.
_TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "number": (int, float), "boolean": (bool,), "array": (list,)}


def read(name: str) -> str:
    return (EXAMPLES / f"{name}.md").read_text(encoding="utf-8")


def section(document: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or a higher one."""
    level = len(heading) - len(heading.lstrip("#"))
    _, found, rest = f"\n{document}".partition(f"\n{heading}\n")
    assert found, f"no such heading: {heading}"
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str, kind: str) -> list[str]:
    return [body for label, body in _BLOCK.findall(text) if label == kind]


def printed(document: str, heading: str) -> list[Any]:
    """The JSON under a heading, in the order of the document."""
    return [json.loads(text) for text in blocks(section(document, heading), "json")]


@dataclass(frozen=True)
class Route:
    """A route of the technical specification: types by field, the statuses of its errors."""

    method: str
    path: str
    request: dict[str, str]
    optional: frozenset[str]
    response: dict[str, str]
    statuses: frozenset[int]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def routes(document: str) -> list[Route]:
    """The routes of the technical specification, in its order."""
    found = []
    for text in re.split(r"(?=- \*\*Метод\*\*)", document)[1:]:
        method, path = _ROUTE.match(text).groups()  # type: ignore[union-attr]
        asked, _, answer = text.partition("- **Ответ**:")
        answered, _, errors = answer.partition("- **Ошибки**:")
        fields = _FIELD.findall(asked)
        found.append(
            Route(
                method,
                path,
                request={name: kind for name, kind, _ in fields},
                optional=frozenset(name for name, _, optional in fields if optional),
                response={name: kind for name, kind, _ in _FIELD.findall(answered)},
                statuses=frozenset(int(status) for status in _STATUS.findall(errors)),
            )
        )
    return found


def mistyped(types: dict[str, str], answer: dict[str, Any], added: Iterable[str] = ()) -> list[str]:
    """What is wrong with the fields of an answer: one that is missing or of another type, one that nobody announced."""
    found = [f"{name} is missing" for name in types.keys() - answer.keys()]
    found += [f"{name} was not announced" for name in answer.keys() - types.keys() - set(added)]
    for name in types.keys() & answer.keys():
        value, allowed = answer[name], _TYPES[types[name]]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            found.append(f"{name} is {value!r} instead of a {types[name]}")
    return found


def differences(shown: Any, real: Any, added: Iterable[str] = (), path: str = "") -> list[str]:
    """Where an answer differs from a printed one in its keys, types and forms; `added` are the keys beyond it.

    Of a list every item is as one of the printed ones, mostly the first. Times are in whole seconds and end in Z, and
    what is printed in capitals (a role, a plan) comes in capitals.
    """
    if isinstance(shown, dict) and isinstance(real, dict):
        inner = {key: f"{path}.{key}".lstrip(".") for key in {*shown, *real}}
        found = [f"{inner[key]} is missing" for key in shown.keys() - real.keys()]
        found += [f"{inner[key]} was not announced" for key in real.keys() - shown.keys() if inner[key] not in added]
        for key in shown.keys() & real.keys():
            found += differences(shown[key], real[key], added, inner[key])
        return sorted(found)
    if isinstance(shown, list) and isinstance(real, list):
        return sorted(
            {
                complaint
                for item in real
                for complaint in min((differences(one, item, added, f"{path}[]") for one in shown), key=len)
            }
        )
    if type(shown) is not type(real):
        return [f"{path} is {real!r} instead of a {type(shown).__name__}"]
    if isinstance(shown, str) and bool(_TIME.fullmatch(shown)) is not bool(_TIME.fullmatch(real)):
        return [f"{path} is {real!r} instead of the form {shown!r}"]
    if isinstance(shown, str) and shown.isupper() and not real.isupper():
        return [f"{path} is {real!r} instead of capitals"]
    return []
