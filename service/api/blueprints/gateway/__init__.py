"""The gateway: `/api/auth`, `/api/chat`, `/api/context` and `/api/billing` as the technical specification has them,
and `/api/assistants`, `/api/keys`, `/api/link` and `/api/webhooks`."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.gateway import (
    assistants,
    auth,
    billing,
    chat,
    context,
    keys,
    link,
    payment_notices,
    payments,
    webhooks,
)

BLUEPRINTS: tuple[ApiBlueprint, ...] = (
    auth.blueprint,
    keys.blueprint,
    link.blueprint,
    chat.blueprint,
    assistants.blueprint,
    context.blueprint,
    billing.blueprint,
    payments.blueprint,
    payment_notices.blueprint,
    webhooks.blueprint,
)
