"""The settings of payments: who takes them, what is bought costs, and what receipts say. Part of `service.settings`."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from service.domain.billing import Unit
from service.domain.payments import MINOR_UNITS, Price

# As YooKassa's API has them: https://yookassa.ru/developers/payment-acceptance/receipts/54fz/yoomoney/parameters-values
PaymentMode = Literal["full_prepayment", "partial_prepayment", "advance", "full_payment"]


class PaymentSettings(BaseSettings):
    payment_provider: Literal["off", "manual", "yookassa", "test"] | None = None
    payment_return_url: str = ""
    payment_recheck_seconds: float = Field(default=30.0, gt=0, le=3600)
    payment_sweep_seconds: float = Field(default=10.0, gt=0, le=3600)
    topup_tokens_per_ruble: int = Field(default=10_000, ge=1, le=10**9)
    topup_credit_kopecks: int = Field(default=500, ge=1, le=10**6)
    topup_min_rubles: int = Field(default=10, ge=1, le=10**6)
    topup_max_rubles: int = Field(default=50_000, ge=1, le=10**6)

    yookassa_shop_id: str = ""
    yookassa_secret_key: SecretStr = SecretStr("")
    yookassa_api_url: str = "https://api.yookassa.ru/v3"
    yookassa_timeout_seconds: float = Field(default=8.0, gt=0, le=30)
    yookassa_notification_addresses: str = ""
    receipt_vat_code: int = Field(default=0, ge=0, le=12)
    receipt_tax_system_code: int = Field(default=0, ge=0, le=6)
    receipt_payment_subject: str = Field(default="service", pattern="^[a-z_]{1,64}$")
    receipt_payment_mode: PaymentMode = "full_prepayment"

    @property
    def prices(self) -> dict[Unit, Price]:
        """What each unit costs."""
        limits = self.topup_min_rubles, self.topup_max_rubles
        return {
            Unit.TOKENS: Price(self.topup_tokens_per_ruble, MINOR_UNITS, *limits),
            Unit.CREDITS: Price(1, self.topup_credit_kopecks, *limits),
        }

    @property
    def notification_networks(self) -> list[IPv4Network | IPv6Network]:
        """Where YooKassa's notifications may come from; none named: from anywhere, because they are never believed."""
        named = (part.strip() for part in self.yookassa_notification_addresses.split(","))
        return [ip_network(part) for part in named if part]

    @property
    def has_yookassa(self) -> bool:
        return bool(self.yookassa_shop_id and self.yookassa_secret_key.get_secret_value())

    def check_payments(self, *, development: bool) -> None:
        """Fill in what depends on the environment. Raises ValueError naming what is wrong."""
        if self.payment_provider is None:
            self.payment_provider = "test" if development else "manual"
        if self.payment_provider == "test" and not development:
            raise ValueError("PAYMENT_PROVIDER=test is for APP_ENV=development only: it takes no money")
        if self.payment_provider == "yookassa" and not self.has_yookassa:
            raise ValueError("PAYMENT_PROVIDER=yookassa needs YOOKASSA_SHOP_ID and YOOKASSA_SECRET_KEY")
        if not self.yookassa_api_url.startswith("https://") and not development:
            raise ValueError("YOOKASSA_API_URL must begin with https://: the secret key goes there")
        if self.topup_min_rubles > self.topup_max_rubles:
            raise ValueError("TOPUP_MIN_RUBLES is more than TOPUP_MAX_RUBLES")
        if self.prices[Unit.CREDITS].least > self.prices[Unit.CREDITS].most:
            raise ValueError("TOPUP_CREDIT_KOPECKS: no number of credits costs between the least and the most rubles")
        try:
            self.notification_networks  # noqa: B018 - for its error
        except ValueError as error:
            raise ValueError(f"YOOKASSA_NOTIFICATION_ADDRESSES: {error}") from error
