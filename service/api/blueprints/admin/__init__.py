"""`/api/admin`: what operators do. Role `support` may read, role `admin` may do everything."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.admin import balances, catalog, insight, jobs, keys, payments, redeem_codes, users, webhooks

BLUEPRINTS: tuple[ApiBlueprint, ...] = (
    users.blueprint,
    balances.blueprint,
    jobs.blueprint,
    keys.blueprint,
    insight.blueprint,
    catalog.blueprint,
    webhooks.blueprint,
    payments.blueprint,
    redeem_codes.blueprint,
)
