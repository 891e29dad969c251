"""Every setting, read once from the environment and `.env`, typed and checked. A wrong one refuses to start.

A secret may come from a file instead: `JWT_SECRET_KEY_FILE=/run/secrets/jwt` stands for `JWT_SECRET_KEY`.
"""

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.domain.callback_urls import AllowedHosts, CallbackPolicy
from service.domain.plans import PlanPolicy
from service.payment_settings import PaymentSettings

MIN_SECRET_CHARACTERS = 32
_ORIGIN = re.compile(r"https?://[^/?#@\s]+")
# Operators' browsers are sent there: no other scheme, and no password that everybody on the staff could read.
_LINK = re.compile(r"https?://[^/?#@\s]+(?:[/?#][^\s]*)?")
_KNOWN_EXAMPLES = ("change", "secret", "example", "your-", "password", "jwt_secret", "test-secret")


class AppEnv(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Settings(PaymentSettings):
    """The names are those of the environment, in lower case. Durations and sizes carry their unit in the name."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,  # among the input are passwords and keys
    )

    app_env: AppEnv = AppEnv.PRODUCTION
    port: int = Field(default=8000, ge=1, le=65535)
    host: str = "127.0.0.1"
    public_url: str = ""
    top_up_page: str = ""
    flower_url: str = ""
    grafana_url: str = ""
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    log_level: str = "INFO"

    mongodb_uri: SecretStr = SecretStr("mongodb://127.0.0.1:27017/talkmeter?replicaSet=rs0")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    mongodb_timeout_seconds: float = Field(default=4.0, gt=0, le=60)

    openai_api_key: SecretStr = SecretStr("")
    openai_base_url: str = "https://api.openai.com/v1"
    openai_model: str = "gpt-6-luna"
    openai_standin: bool = False
    openai_read_timeout_seconds: float = Field(default=60.0, gt=0, le=600)

    jwt_secret_key: SecretStr = SecretStr("")
    jwt_access_minutes: int = Field(default=60, ge=1, le=24 * 60)
    jwt_refresh_days: int = Field(default=30, ge=1, le=365)

    admin_username: str = "admin"
    admin_password: SecretStr = SecretStr("")
    allow_guests: bool | None = None
    signup_tokens: int | None = Field(default=None, ge=0)
    guest_tokens: int = Field(default=5_000, ge=0)
    signups_per_hour: int | None = Field(default=None, ge=0)
    argon2_time_cost: int = Field(default=3, ge=1)
    argon2_memory_kib: int = Field(default=65_536, ge=8)
    argon2_parallelism: int = Field(default=4, ge=1)

    billing_timezone: str = "UTC"
    end_user_credits: bool | None = None
    fair_use_per_day: int = Field(default=1000, ge=1)
    guest_messages_per_day: int = Field(default=30, ge=1)
    guest_messages_per_day_and_address: int = Field(default=100, ge=1)

    chat_wait_seconds: int = Field(default=0, ge=0, le=55)
    bot_wait_seconds: int = Field(default=2, ge=0, le=55)
    max_history_length: int = Field(default=20, ge=2, le=100)
    rate_limit_per_minute: int = Field(default=60, ge=1)
    tokens_per_minute: int = Field(default=0, ge=0)
    key_rate_limit_per_minute: int = Field(default=600, ge=0)
    key_tokens_per_minute: int = Field(default=0, ge=0)
    model_rate_limit_per_minute: int = Field(default=0, ge=0)
    model_tokens_per_minute: int = Field(default=0, ge=0)
    max_open_jobs: int = Field(default=0, ge=0)
    key_max_open_jobs: int = Field(default=0, ge=0)
    model_max_open_jobs: int = Field(default=0, ge=0)
    max_connections_per_account: int = Field(default=100, ge=0)
    key_max_connections: int = Field(default=1000, ge=0)
    rate_limit_ms: int = Field(default=3000, ge=1, le=3_600_000)
    allowed_origins: str = ""
    socket_ping_seconds: float = Field(default=25.0, gt=0, le=600)
    max_queue_length: int = Field(default=10_000, ge=1)
    max_body_kib: int = Field(default=256, ge=1, le=16_384)
    webhook_allowed_hosts: str = ""
    webhook_timeout_seconds: float = Field(default=10.0, gt=0, le=60)

    job_lease_seconds: int = Field(default=30, ge=3)
    job_deadline_seconds: int = Field(default=90, ge=1)
    worker_grace_seconds: float = Field(default=20, ge=0)
    upkeep_interval_seconds: float = Field(default=1.0, gt=0)

    metrics_port: int = Field(default=0, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"
    tracing_url: str = ""
    exporter_port: int = Field(default=9108, ge=1, le=65535)

    crash_file: str = ""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _NamedFiles(settings_cls), dotenv_settings

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        level = {"WARN": "WARNING"}.get(value.upper(), value.upper())
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be DEBUG, INFO, WARNING (or WARN) or ERROR")
        return level

    @field_validator("flower_url", "grafana_url")
    @classmethod
    def _link(cls, value: str) -> str:
        if value and not _LINK.fullmatch(value):
            raise ValueError("must be an http or https address without a login in it")
        return value

    @field_validator("billing_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("BILLING_TIMEZONE must be a time zone's name such as Europe/Paris")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        development = self.app_env is AppEnv.DEVELOPMENT
        _check_secret(self.jwt_secret_key.get_secret_value())
        if not self.openai_api_key.get_secret_value():
            raise ValueError("OPENAI_API_KEY is not set")
        if self.openai_standin and not development:
            raise ValueError("OPENAI_STANDIN is for APP_ENV=development only")
        if self.crash_file and not development:
            raise ValueError("CRASH_FILE is for APP_ENV=development only")
        AllowedHosts(self.webhook_allowed_hosts.split(","))
        _check_origins(self.origins)
        self.check_payments(development=development)
        if self.allow_guests is None:
            self.allow_guests = development
        if self.signup_tokens is None:
            self.signup_tokens = 100_000 if development else 0
        if self.end_user_credits is None:
            self.end_user_credits = development
        if self.signups_per_hour is None:
            self.signups_per_hour = 0 if development else 60
        return self

    @property
    def openai_keys(self) -> list[str]:
        return [key.strip() for key in self.openai_api_key.get_secret_value().split(",") if key.strip()]

    @property
    def callback_policy(self) -> CallbackPolicy:
        """Which addresses callbacks may go to."""
        return CallbackPolicy(
            allow_http=self.app_env is AppEnv.DEVELOPMENT, allowed=AllowedHosts(self.webhook_allowed_hosts.split(","))
        )

    @property
    def plan_policy(self) -> PlanPolicy:
        """Which months plans have, and who is given their credits."""
        return PlanPolicy(zone=ZoneInfo(self.billing_timezone), end_user_credits=bool(self.end_user_credits))

    @property
    def public_root(self) -> str:
        """The address that people use, without a slash at its end."""
        return self.public_url.rstrip("/") or f"http://localhost:{self.port}"

    @property
    def top_up_url(self) -> str:
        """Where a person pays: shown in every 402."""
        return self.top_up_page or f"{self.public_root}/balance"

    @property
    def origins(self) -> frozenset[str]:
        """The origins of pages that may open sockets, beside our own."""
        return frozenset(origin.strip().lower() for origin in self.allowed_origins.split(",") if origin.strip())

    @property
    def return_url(self) -> str:
        """Where a person comes back to after paying."""
        return self.payment_return_url or self.top_up_url


class _NamedFiles(PydanticBaseSettingsSource):
    """`NAME_FILE` in the environment: the value of NAME is that file's content, without the line's end."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        return (Path(path).read_text(encoding="utf-8").strip() if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


def _check_origins(origins: frozenset[str]) -> None:
    for origin in origins - {"*"}:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError("ALLOWED_ORIGINS are origins such as https://app.example.com, comma-separated, or *")


def _check_secret(secret: str) -> None:
    if len(secret) < MIN_SECRET_CHARACTERS:
        raise ValueError(f"JWT_SECRET_KEY needs at least {MIN_SECRET_CHARACTERS} characters of its own")
    if any(example in secret.lower() for example in _KNOWN_EXAMPLES) or len(set(secret)) < 10:
        raise ValueError("JWT_SECRET_KEY is a known example or too regular: generate one, e.g. `openssl rand -hex 32`")
