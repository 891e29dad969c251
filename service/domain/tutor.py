"""What somebody sets for their tutor, on top of what the assistants are."""

from dataclasses import dataclass, replace

from service.domain.billing import OUTPUT_FLOOR_TOKENS
from service.domain.catalog import Assistant

TUTOR = "tutor"
# The least that is worth asking for; the most is the model's own limit.
LEAST_TOKENS = OUTPUT_FLOOR_TOKENS
MAX_TEMPERATURE = 2
# How a persona, whatever its own language, is told in which one to answer.
_IN_LANGUAGE = {"ru": "Отвечай на русском языке.", "en": "Answer in English.", "fr": "Réponds en français."}


@dataclass(frozen=True, slots=True)
class TutorConfig:
    """The alias of the model, and temperature, limit in tokens and language of its answers; None: the assistant's."""

    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    language: str | None = None

    def spoken_by(self, assistant: Assistant) -> Assistant:
        """The assistant in the language that its user wants, and otherwise as it is."""
        return replace(assistant, persona=_persona(assistant.persona, self.language))

    def applied_to(self, assistant: Assistant) -> Assistant:
        """The assistant as its user wants it. Of one that answers in a format the output limit is never lowered: half a
        plan is none."""
        limit = self.max_tokens or assistant.output_tokens
        shaped = assistant.response_format is not None
        return replace(
            assistant,
            persona=_persona(assistant.persona, self.language),
            model=self.model or assistant.model,
            temperature=assistant.temperature if self.temperature is None else self.temperature,
            output_tokens=max(limit, assistant.output_tokens) if shaped else limit,
        )


def _persona(persona: str, language: str | None) -> str:
    return persona if language is None else f"{persona}\n\n{_IN_LANGUAGE[language]}"
