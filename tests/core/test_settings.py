"""Settings: what is wrong refuses to start, by name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import AppEnv, Settings

GOOD = {"jwt_secret_key": "9b1f4e7c2a8d5063f1e2d3c4b5a69788", "openai_api_key": "sk-1, sk-2"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **{**GOOD, **values})


def test_defaults_are_those_of_production() -> None:
    production = settings()
    assert production.app_env is AppEnv.PRODUCTION
    assert (production.signup_tokens, production.allow_guests, production.signups_per_hour) == (0, False, 60)
    assert production.plan_policy.end_user_credits is False
    assert production.openai_keys == ["sk-1", "sk-2"]
    assert (production.payment_provider, production.return_url) == ("manual", "http://localhost:8000/balance")


def test_development_is_generous() -> None:
    development = settings(app_env="development")
    assert (development.signup_tokens, development.allow_guests, development.signups_per_hour) == (100_000, True, 0)
    assert development.payment_provider == "test"
    assert development.plan_policy.end_user_credits
    assert not settings(app_env="development", end_user_credits=False).plan_policy.end_user_credits


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"jwt_secret_key": ""}, "JWT_SECRET_KEY"),
        ({"jwt_secret_key": "short"}, "JWT_SECRET_KEY"),
        ({"jwt_secret_key": "changeme-changeme-changeme-changeme"}, "JWT_SECRET_KEY"),
        ({"jwt_secret_key": "a" * 64}, "JWT_SECRET_KEY"),
        ({"openai_api_key": ""}, "OPENAI_API_KEY"),
        ({"openai_standin": True}, "OPENAI_STANDIN"),
        ({"crash_file": "/tmp/x"}, "CRASH_FILE"),
        ({"payment_provider": "test"}, "PAYMENT_PROVIDER=test"),
        ({"payment_provider": "yookassa"}, "YOOKASSA_SHOP_ID"),
        ({"payment_provider": "yookassa", "yookassa_shop_id": "1"}, "YOOKASSA_SECRET_KEY"),
        ({"payment_provider": "stripe"}, "payment_provider"),
        ({"yookassa_api_url": "http://example.com/v3"}, "YOOKASSA_API_URL"),
        ({"yookassa_notification_addresses": "185.71.76.0/27, nowhere"}, "YOOKASSA_NOTIFICATION_ADDRESSES"),
        ({"topup_min_rubles": 500, "topup_max_rubles": 100}, "TOPUP_MIN_RUBLES"),
        ({"topup_min_rubles": 10, "topup_max_rubles": 10, "topup_credit_kopecks": 1_001}, "TOPUP_CREDIT_KOPECKS"),
        ({"billing_timezone": "Europe/Atlantis"}, "BILLING_TIMEZONE"),
        ({"billing_timezone": "../../etc/passwd"}, "BILLING_TIMEZONE"),
        ({"flower_url": "javascript:alert(1)"}, "flower_url"),
        ({"grafana_url": "https://admin:pw@grafana.example.com"}, "grafana_url"),
        ({"fair_use_per_day": 0}, "fair_use_per_day"),
        ({"receipt_vat_code": 13}, "receipt_vat_code"),
        ({"chat_wait_seconds": 56}, "chat_wait_seconds"),
        ({"rate_limit_ms": 0}, "rate_limit_ms"),
        ({"allowed_origins": "app.example.com"}, "ALLOWED_ORIGINS"),
        ({"allowed_origins": "https://app.example.com, https://other.example.com/page"}, "ALLOWED_ORIGINS"),
        ({"port": "eighty"}, "port"),
        ({"log_level": "loud"}, "log_level"),
    ],
)
def test_wrong_value_is_refused_by_name(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        settings(**wrong)


def test_origins_are_read_without_case_and_blanks() -> None:
    read = settings(allowed_origins=" https://App.Example.com,http://localhost:5173 ,").origins
    assert read == {"https://app.example.com", "http://localhost:5173"}
    assert settings(allowed_origins="*").origins == {"*"}


def test_secret_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "jwt"
    secret.write_text("from-a-file-9b1f4e7c2a8d5063f1e2d3c4b5a69788\n")
    monkeypatch.setenv("JWT_SECRET_KEY_FILE", str(secret))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert Settings(_env_file=None).jwt_secret_key.get_secret_value().startswith("from-a-file")


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    assert settings().port == 8000


def test_secrets_are_not_shown() -> None:
    assert "sk-1" not in repr(settings())
    assert GOOD["jwt_secret_key"] not in repr(settings())


def test_a_refusal_shows_no_other_secret() -> None:
    with pytest.raises(ValidationError) as refused:
        settings(jwt_secret_key="short", admin_password="correct horse")
    assert "correct horse" not in str(refused.value)
    assert "sk-1" not in str(refused.value)
