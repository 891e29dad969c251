"""The gateway: `/api/auth`, `/api/chat`, `/api/context` and `/api/billing` as the technical specification has them,
and `/api/keys` and `/api/webhooks`."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.gateway import (
    auth,
    billing,
    chat,
    context,
    keys,
    payment_notices,
    payments,
    webhooks,
)

BLUEPRINTS: tuple[ApiBlueprint, ...] = (
    auth.blueprint,
    keys.blueprint,
    chat.blueprint,
    context.blueprint,
    billing.blueprint,
    payments.blueprint,
    payment_notices.blueprint,
    webhooks.blueprint,
)
