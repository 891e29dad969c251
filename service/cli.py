"""Commands for operators: `python -m service.cli prepare`."""

import argparse
import sys
from collections.abc import Callable

import structlog
from pydantic import ValidationError

from service import bootstrap
from service.adapters import logs
from service.adapters.mongo import backup
from service.adapters.mongo.catalog import seed
from service.adapters.mongo.documents import create_indexes
from service.settings import Settings

log = structlog.get_logger(__name__)

COMMANDS = {
    "prepare": "create indexes, models, assistants and the first admin, where they are missing",
    "backup": "write the database as it is at this moment to standard output",
    "check-backup": "read a backup from standard input and say what it holds",
    "restore": "write a backup from standard input into MONGODB_URI's database, which must be empty",
}


def prepare(settings: Settings) -> None:
    """Create indexes, models, assistants and the first admin, where they are missing. Repeatable."""
    container = bootstrap.build(settings)
    create_indexes()
    seed()
    password = settings.admin_password.get_secret_value()
    created = bool(password) and container.accounts.create_admin(settings.admin_username, password)
    log.info("prepared", admin_created=created)


def take_backup(settings: Settings) -> None:
    with backup.connect(settings.mongodb_uri.get_secret_value()) as client:
        documents = backup.dump(client, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    log.info("backup done", documents=documents)


def check_backup(_settings: Settings) -> None:
    log.info("backup is whole", documents=backup.check(sys.stdin.buffer))


def restore(settings: Settings) -> None:
    with backup.connect(settings.mongodb_uri.get_secret_value()) as client:
        log.info("restored", documents=backup.restore(client, sys.stdin.buffer))


RUN: dict[str, Callable[[Settings], None]] = {
    "prepare": prepare,
    "backup": take_backup,
    "check-backup": check_backup,
    "restore": restore,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m service.cli", formatter_class=argparse.RawDescriptionHelpFormatter, description=_described()
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    command = parser.parse_args().command
    try:
        settings = Settings()
    except ValidationError as error:
        # Each in a line of its own, without the values: some are secrets.
        for each in error.errors(include_url=False, include_input=False):
            names = "".join(f"{part}: ".upper() for part in each["loc"])
            print(f"settings: {names}{each['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        return 1
    # A backup is what standard output is for.
    logs.configure(settings.log_level, "cli", sys.stderr if command == "backup" else sys.stdout)
    try:
        RUN[command](settings)
    except (backup.BackupError, OSError) as error:
        log.error("failed", command=command, reason=str(error))
        return 1
    return 0


def _described() -> str:
    return "\n".join(f"  {name:14}{text}" for name, text in COMMANDS.items())


if __name__ == "__main__":
    sys.exit(main())
