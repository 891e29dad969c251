"""The rules by which a test tells the model stand-in what to do with which call.

Rules are kept in the order they came; the first that matches a call decides, and a rule whose
`times` are used up no longer matches. A call that no rule matches gets the default answer.
"""

import asyncio
from dataclasses import dataclass, fields
from typing import Any, Self


class RuleError(ValueError):
    """A rule that the stand-in cannot understand; the text says why."""


@dataclass
class Rule:
    """What a call must look like (the first block), and what happens to it (the rest).

    `contains`, `model`: a piece of the last user message, the exact model. `refuse_params`: matches
    only calls that carry one of these parameters, and refuses them as OpenAI does
    (400 `unsupported_value`). `times`: how many calls it is good for. `path`: the one route beside the chat
    completions that it is for, `/v1/models`.
    """

    contains: str | None = None
    model: str | None = None
    refuse_params: tuple[str, ...] = ()
    times: int | None = None
    path: str | None = None

    # Before the answer: wait for a time, or until `hold` is released; then break the connection.
    delay_seconds: float = 0.0
    hold: str | None = None
    hold_after_chunks: int | None = None  # stream first, then hold; without it, hold at once
    reset: bool = False

    # Another answer than the usual one. `error`: type, code, message, param.
    status: int = 200
    error: dict[str, Any] | None = None
    headers: dict[str, str] | None = None
    raw_body: str | None = None
    content_type: str = "text/html"

    # What a good answer says. `usage` replaces the counted one; null leaves it out.
    answer: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    keeps_usage: bool = True

    # Faults in a stream, after so many pieces of text. A plain call with one of them breaks off.
    chunk_delay_seconds: float = 0.0
    reset_after_chunks: int | None = None
    cut_after_chunks: int | None = None
    stall_after_chunks: int | None = None
    garbage_after_chunks: int | None = None

    @classmethod
    def parse(cls, keys: Any) -> Self:
        """A rule from its JSON form. Raises `RuleError` for unknown keys."""
        if not isinstance(keys, dict):
            raise RuleError("A rule is an object.")
        known = {field.name for field in fields(cls)} - {"keeps_usage"}
        if unknown := set(keys) - known:
            raise RuleError(f"Unknown keys {sorted(unknown)}; known are {sorted(known)}.")
        values = dict(keys)
        values["keeps_usage"] = "usage" not in keys or keys["usage"] is not None
        values["refuse_params"] = tuple(keys.get("refuse_params") or ())
        if values.get("hold_after_chunks") is not None and not values.get("hold"):
            raise RuleError("hold_after_chunks needs the name of a hold.")
        return cls(**values)

    def matches(self, body: dict[str, Any], message: str) -> bool:
        return (
            self.path is None
            and (self.times is None or self.times > 0)
            and (self.contains is None or self.contains in message)
            and (self.model is None or self.model == body.get("model"))
            and (not self.refuse_params or self.refused_param(body) is not None)
        )

    def refused_param(self, body: dict[str, Any]) -> str | None:
        return next((name for name in self.refuse_params if name in body), None)

    def fault_at(self, chunks_sent: int) -> str | None:
        """The fault that is due once so many pieces were sent."""
        due = {
            "reset": self.reset_after_chunks,
            "cut": self.cut_after_chunks,
            "stall": self.stall_after_chunks,
            "garbage": self.garbage_after_chunks,
        }
        return next((name for name, after in due.items() if after == chunks_sent), None)


class RuleBook:
    """The rules in force and the gates at which calls are held. One event loop only."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._gates: dict[str, Gate] = {}
        self._stalled = Gate()

    def add(self, rules: list[Rule]) -> None:
        """Append rules. A hold that was released is closed again by a new rule that names it."""
        for rule in rules:
            if rule.hold and rule.hold in self._gates and self._gates[rule.hold].is_open:
                del self._gates[rule.hold]
        self._rules.extend(rules)

    def clear(self) -> None:
        """Forget every rule and let everybody go who waits."""
        self._rules.clear()
        for gate in (*self._gates.values(), self._stalled):
            gate.open()
        self._gates.clear()
        self._stalled = Gate()

    def match(self, body: dict[str, Any], message: str, otherwise: Rule) -> tuple[int | None, Rule]:
        """The place and the rule that decides this call, which uses it up once; `otherwise` if there is none."""
        for place, rule in enumerate(self._rules):
            if rule.matches(body, message):
                if rule.times is not None:
                    rule.times -= 1
                return place, rule
        return None, otherwise

    def match_path(self, path: str) -> tuple[int | None, Rule]:
        """The same for a call of another route, which says nothing but its path."""
        for place, rule in enumerate(self._rules):
            if rule.path == path and (rule.times is None or rule.times > 0):
                if rule.times is not None:
                    rule.times -= 1
                return place, rule
        return None, Rule()

    def release(self, hold: str) -> int:
        """Open a gate for good, even before the first call reaches it; says how many waited there."""
        return self._gate(hold).open()

    async def wait_at(self, hold: str) -> None:
        await self._gate(hold).wait()

    async def stall(self) -> None:
        """Wait until the rules are cleared."""
        await self._stalled.wait()

    def _gate(self, hold: str) -> "Gate":
        return self._gates.setdefault(hold, Gate())


class Gate:
    """Holds calls until it is opened, and counts them."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._waiting = 0

    @property
    def is_open(self) -> bool:
        return self._event.is_set()

    def open(self) -> int:
        self._event.set()
        return self._waiting

    async def wait(self) -> None:
        self._waiting += 1
        try:
            await self._event.wait()
        finally:
            self._waiting -= 1


def parse_rules(body: Any) -> list[Rule]:
    """One rule or a list of them."""
    return [Rule.parse(keys) for keys in (body if isinstance(body, list) else [body])]
