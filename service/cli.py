"""Commands for operators: `python -m service.cli prepare`."""

import argparse

import structlog

from service import bootstrap
from service.adapters import logs
from service.adapters.mongo.catalog import seed
from service.adapters.mongo.documents import create_indexes
from service.settings import Settings

log = structlog.get_logger(__name__)


def prepare(settings: Settings) -> None:
    """Create indexes, models, assistants and the first admin, where they are missing. Repeatable."""
    container = bootstrap.build(settings)
    create_indexes()
    seed()
    password = settings.admin_password.get_secret_value()
    created = bool(password) and container.accounts.create_admin(settings.admin_username, password)
    log.info("prepared", admin_created=created)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m service.cli", description=__doc__)
    parser.add_argument("command", choices=["prepare"], help="create indexes, models, assistants and the first admin")
    parser.parse_args()
    settings = Settings()
    logs.configure(settings.log_level, "cli")
    prepare(settings)


if __name__ == "__main__":
    main()
