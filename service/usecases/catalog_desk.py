"""Models, their prices and assistants, as admins keep them. `support` may look, and each change is audited.

A change is for questions that are asked after it: a job has its prompt, limits and prices from when it was accepted.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from service.domain.accounts import Actor
from service.domain.billing import OUTPUT_FLOOR_TOKENS
from service.domain.catalog import DEFAULT_MODEL, Assistant, AssistantEntry, ChatModel, ModelEntry
from service.domain.chat import ChatMessage, CountTokens, prompt_tokens
from service.domain.errors import Forbidden, NotFound, ValidationFailed, VersionChanged
from service.domain.model_lives import Lives, ModelWarning, comes_back, newly_lost
from service.usecases import ports
from service.usecases.audit import Auditor

log = structlog.get_logger(__name__)

# What the persona and the longest answer must leave for the question and what was said before it.
LEAST_ROOM_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model for admins: `sent` is what goes to the provider for it today, None if its successor is missing.

    `provider_shutdown_on` is what the provider said of the model itself, `days_left` until the earlier of both ends.
    """

    entry: ModelEntry
    sent: ChatModel | None
    assistants: list[str]
    warning: ModelWarning | None
    days_left: int | None
    provider_shutdown_on: str | None


class CatalogDeskService:
    def __init__(
        self,
        *,
        desk: ports.CatalogDesk,
        news: ports.ProviderNewsStore,
        auditor: Auditor,
        clock: ports.Clock,
        count_tokens: CountTokens,
    ) -> None:
        self._desk = desk
        self._news = news
        self._auditor = auditor
        self._clock = clock
        self._count = count_tokens

    @property
    def default_model(self) -> str:
        """The alias that `default` stands for."""
        return self._desk.default_model

    def models(self, actor: Actor) -> list[ModelState]:
        """By their aliases, in alphabetical order."""
        _require(actor.is_staff)
        entries = self._desk.models()
        return self._states(entries, list(entries))

    def assistants(self, actor: Actor) -> list[AssistantEntry]:
        """By their ids, in alphabetical order."""
        _require(actor.is_staff)
        return list(self._desk.assistants().values())

    def provider_read_at(self, actor: Actor) -> datetime | None:
        """When the provider was last asked for its models."""
        _require(actor.is_staff)
        news = self._news.latest()
        return None if news is None else news.read_at

    def change_model(self, actor: Actor, alias: str, expected: int, changes: Mapping[str, Any]) -> ModelState:
        """Set fields of a `ChatModel`, of `weights` those that are named; what else it was sent by stays.

        Raises NotFound, VersionChanged, ValidationFailed.
        """
        _require(actor.is_admin)
        alias = self.default_model if alias == DEFAULT_MODEL else alias
        entries = self._desk.models()
        entry = entries.get(alias)
        if entry is None:
            raise NotFound("model")
        if entry.version != expected:
            raise VersionChanged(version=entry.version)
        changed = _changed_model(entry.model, changes)
        made = _differences(entry.model, changed)
        if made:
            self._check_model(changed, frozenset(made), entries)
            before = {name: _plain(getattr(entry.model, name)) for name in made}
            after = {name: _plain(value) for name, value in made.items()}
            with self._auditor.change(actor, "model.change", alias, before=before, after=after):
                stored = self._desk.change_model(entry, made, partial(_check_successor, changed))
                if stored is None:
                    raise VersionChanged(version=self._desk.models()[alias].version)
            entries[alias] = stored
            log.info("model changed", model=alias, fields=sorted(made), version=stored.version)
        (state,) = self._states(entries, [alias])
        return state

    def change_assistant(
        self, actor: Actor, assistant_id: str, expected: int, changes: Mapping[str, Any]
    ) -> AssistantEntry:
        """Set fields of an `Assistant`. Raises NotFound, VersionChanged, ValidationFailed."""
        _require(actor.is_admin)
        entry = self._desk.assistants().get(assistant_id)
        if entry is None:
            raise NotFound("assistant")
        if entry.version != expected:
            raise VersionChanged(version=entry.version)
        changed = replace(entry.assistant, **changes)
        made = _differences(entry.assistant, changed)
        if not made:
            return entry
        self._check_assistant(changed, frozenset(made))
        before = {name: getattr(entry.assistant, name) for name in made}
        with self._auditor.change(actor, "assistant.change", assistant_id, before=before, after=made):
            stored = self._desk.change_assistant(entry, made)
            if stored is None:
                raise VersionChanged(version=self._desk.assistants()[assistant_id].version)
        log.info("assistant changed", assistant=assistant_id, fields=sorted(made), version=stored.version)
        return stored

    def lives(self) -> Lives:
        """How long all models live, as it is known now."""
        return self._lives(self._desk.models())

    def users_of(self) -> dict[str, list[str]]:
        """The ids of the assistants that ask each model, by its alias."""
        users: dict[str, list[str]] = {}
        for entry in self._desk.assistants().values():
            users.setdefault(self._alias(entry.assistant), []).append(entry.assistant.id)
        return users

    def _states(self, entries: Mapping[str, ModelEntry], aliases: list[str]) -> list[ModelState]:
        lives, users = self._lives(entries), self.users_of()
        return [
            ModelState(
                entry=entries[alias],
                sent=lives.sent_today(alias),
                assistants=users.get(alias, []),
                warning=lives.warning(alias),
                days_left=lives.days_left(alias),
                provider_shutdown_on=lives.news.end_of(entries[alias].model.upstream_id) if lives.news else None,
            )
            for alias in aliases
        ]

    def _lives(self, entries: Mapping[str, ModelEntry]) -> Lives:
        models = {alias: entry.model for alias, entry in entries.items()}
        return Lives(models, self._news.latest(), self._clock.now().date())

    def _alias(self, assistant: Assistant) -> str:
        return self.default_model if assistant.model == DEFAULT_MODEL else assistant.model

    def _check_model(self, model: ChatModel, changed: frozenset[str], entries: Mapping[str, ModelEntry]) -> None:
        """Only what is to change is looked at: what else is wrong may stay."""
        if changed & {"output_tokens", "context_tokens"}:
            self._check_limits(model)
        if "successor" in changed:
            _check_successor(model, entries)

    def _check_limits(self, model: ChatModel) -> None:
        if model.output_tokens >= model.context_tokens:
            raise ValidationFailed(
                details={"outputTokens": [f"range:{OUTPUT_FLOOR_TOKENS}:{model.context_tokens - 1}"]}
            )
        for entry in self._desk.assistants().values():
            if self._alias(entry.assistant) == model.alias and self._room(entry.assistant, model) < LEAST_ROOM_TOKENS:
                raise ValidationFailed(details={"contextTokens": [f"assistant_needs_room:{entry.assistant.id}"]})

    def _check_assistant(self, assistant: Assistant, changed: frozenset[str]) -> None:
        """Only what is to change is looked at: what else is wrong, as after a change of its model, may stay."""
        if not changed & {"persona", "model", "temperature", "output_tokens"}:
            return
        model = self.lives().sent_today(self._alias(assistant))
        if model is None:
            raise ValidationFailed(details={"model": ["unknown_model"]})
        if changed & {"temperature", "model"} and assistant.temperature is not None and not model.accepts_temperature:
            raise ValidationFailed(details={"temperature": ["temperature_not_accepted"]})
        if changed & {"output_tokens", "model"} and assistant.output_tokens > model.output_tokens:
            raise ValidationFailed(details={"outputTokens": [f"range:{OUTPUT_FLOOR_TOKENS}:{model.output_tokens}"]})
        if changed != {"temperature"} and self._room(assistant, model) < LEAST_ROOM_TOKENS:
            raise ValidationFailed(details={"persona": [f"no_room:{LEAST_ROOM_TOKENS}"]})

    def _room(self, assistant: Assistant, model: ChatModel) -> int:
        """What persona and answer leave for the dialog, in tokens."""
        persona = prompt_tokens((ChatMessage("system", assistant.persona),), self._count)
        return model.context_tokens - persona - min(assistant.output_tokens, model.output_tokens)


def _check_successor(model: ChatModel, entries: Mapping[str, ModelEntry]) -> None:
    """Raises ValidationFailed if what takes over from a model, among these, is unknown, leads back to it, or is too far
    from a model that leads to this one."""
    if model.successor is None:
        return
    # The one that `default` describes has no entry of its own that could be followed.
    following = entries.get(model.successor)
    if following is None or following.id != model.successor:
        raise ValidationFailed(details={"successor": ["unknown_model"]})
    models = {alias: entry.model for alias, entry in entries.items()}
    changed = {**models, model.alias: model}
    if comes_back(changed, model.alias):
        raise ValidationFailed(details={"successor": ["successor_loop"]})
    lost = newly_lost(models, changed)
    if lost:
        raise ValidationFailed(details={"successor": [f"successor_too_far:{lost[0]}"]})


def _changed_model(model: ChatModel, changes: Mapping[str, Any]) -> ChatModel:
    """The model with these changes; other prices are a new version of them."""
    weights = replace(model.weights, **changes.get("weights", {}))
    if weights != model.weights:
        weights = replace(weights, version=model.weights.version + 1)
    return replace(model, **{**changes, "weights": weights})


def _differences(before: ChatModel | Assistant, after: ChatModel | Assistant) -> dict[str, Any]:
    """The fields that are to change, with their new values."""
    named = {field.name: getattr(after, field.name) for field in fields(after)}
    return {name: value for name, value in named.items() if value != getattr(before, name)}


def _plain(value: Any) -> Any:
    """As the audit trail keeps it."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _require(allowed: bool) -> None:
    if not allowed:
        raise Forbidden("role is not enough")
