"""What people set for their tutor, and whether the model behind it is there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from service.domain.accounts import Actor
from service.domain.catalog import Assistant, ChatModel
from service.domain.errors import RateLimited, Unavailable, UpstreamFailed, UpstreamTimeout, ValidationFailed
from service.domain.tutor import LEAST_TOKENS, TUTOR, TutorConfig
from service.usecases import ports
from service.usecases.owners import Owners, Party

log = structlog.get_logger(__name__)

# Tests of the connection: of one account, and of all together, because each is a call to the provider.
CHECKS_PER_MINUTE = 10
ALL_CHECKS_PER_MINUTE = 60
MINUTE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """The model that the tutor uses, whether the provider has it, and how long it took to say so."""

    model: str
    has_model: bool
    seconds: float


class TutorService:
    def __init__(
        self,
        *,
        owners: Owners,
        configs: ports.TutorConfigs,
        catalog: ports.Catalog,
        upstream: ports.Upstream,
        rate_limits: ports.RateLimits,
        telemetry: ports.Telemetry,
    ) -> None:
        self._owners = owners
        self._configs = configs
        self._catalog = catalog
        self._upstream = upstream
        self._rate_limits = rate_limits
        self._telemetry = telemetry

    def default(self) -> TutorConfig:
        """What applies where nobody has set anything."""
        return self._effective(TutorConfig())

    def config(self, actor: Actor, user_id: str | None) -> TutorConfig:
        """What applies to whoever this `userId` means. Raises as `Owners.resolve`."""
        return self._effective(self._configs.get(self._owners.resolve(actor, user_id, "tutor_config.read")))

    def change(self, actor: Actor, user_id: str | None, changes: Mapping[str, Any]) -> TutorConfig:
        """Set what is named, None meaning the default again. Raises ValidationFailed, and as `Owners.resolve`."""
        owner_id = self._owners.resolve(actor, user_id, "tutor_config.change")
        if not changes:
            return self._effective(self._configs.get(owner_id))
        self._check(replace(self._configs.get(owner_id), **changes))
        changed = self._configs.change(owner_id, changes)
        log.info("tutor configured", owner_id=owner_id, fields=sorted(changes))
        return self._effective(changed)

    def assistant_for(self, party: Party, assistant_id: str = TUTOR) -> Assistant:
        """An assistant of the learning platform as the one for whom it answers wants it. Raises Unavailable."""
        assistant, config = self._assistant(assistant_id), self._configs.get(party.end_user_id or party.account_id)
        return self._allowed(config).applied_to(assistant)

    def speaking_to(self, party: Party, assistant_id: str) -> Assistant:
        """One that answers in a format, which not every model can: only its language is for its user to choose.

        Raises Unavailable.
        """
        return self._configs.get(party.end_user_id or party.account_id).spoken_by(self._assistant(assistant_id))

    def test_connection(self, actor: Actor) -> ConnectionCheck:
        """Really ask the provider. Raises UpstreamFailed with a reason, UpstreamTimeout, RateLimited, Unavailable."""
        for key, most in ((actor.account_id, CHECKS_PER_MINUTE), ("all", ALL_CHECKS_PER_MINUTE)):
            wait = self._rate_limits.hit("test-connection", key, most, MINUTE_SECONDS)
            if wait is not None:
                raise RateLimited("test-connection", retry_after_seconds=wait, params={"seconds": wait})
        alias = self._effective(self._configs.get(actor.account_id)).model or ""
        model = self._model(alias)
        try:
            found = self._upstream.check(model.upstream_id)
        except (UpstreamFailed, UpstreamTimeout) as failure:
            reason = failure.reason if isinstance(failure, UpstreamFailed) else None
            self._telemetry.upstream_check(reason or "timeout")
            raise
        self._telemetry.upstream_check("ok" if found.has_model else "no_model")
        log.info("provider checked", seconds=round(found.seconds, 3), has_model=found.has_model)
        return ConnectionCheck(alias, found.has_model, found.seconds)

    def _check(self, config: TutorConfig) -> None:
        if config.model is not None and self._catalog.model(config.model) is None:
            raise ValidationFailed(details={"model": ["unknown_model"]})
        most = self._model(config.model or self._assistant(TUTOR).model).output_tokens
        if config.max_tokens is not None and not LEAST_TOKENS <= config.max_tokens <= most:
            raise ValidationFailed(details={"max_tokens": [f"range:{LEAST_TOKENS}:{most}"]})

    def _allowed(self, config: TutorConfig) -> TutorConfig:
        """Without what is not on offer any more."""
        known = config if config.model is None or self._catalog.model(config.model) else replace(config, model=None)
        if known.max_tokens is None:
            return known
        most = self._model(known.model or self._assistant(TUTOR).model).output_tokens
        return replace(known, max_tokens=min(known.max_tokens, most))

    def _effective(self, config: TutorConfig) -> TutorConfig:
        """What is set, and the tutor's own where nothing is."""
        allowed = self._allowed(config)
        tutor = allowed.applied_to(self._assistant(TUTOR))
        return TutorConfig(tutor.model, tutor.temperature, tutor.output_tokens, allowed.language)

    def _assistant(self, assistant_id: str) -> Assistant:
        assistant = self._catalog.assistant(assistant_id)
        if assistant is None:
            raise Unavailable(f"there is no assistant {assistant_id}")
        return assistant

    def _model(self, alias: str) -> ChatModel:
        model = self._catalog.model(alias)
        if model is None:
            raise Unavailable(f"the tutor names no known model: {alias}")
        return model
