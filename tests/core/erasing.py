"""What tests of erasing say often."""

from datetime import UTC, datetime, timedelta

from pymongo.database import Database

from service.bootstrap import Container
from service.usecases.places import NewSession

NEW = NewSession()
SECRET = "tamarisk"


def erased(container: Container, db: Database) -> None:
    """Upkeep comes by, and what is due later is due now."""
    db.erasures.update_many({}, {"$set": {"next_at": datetime.now(UTC) - timedelta(minutes=1)}})
    container.erase()


def long_ago(db: Database) -> None:
    """Whatever came late has come."""
    earlier = datetime.now(UTC) - timedelta(minutes=10)
    db.erasures.update_many({}, {"$set": {"created_at": earlier, "next_at": earlier}})


def everything(db: Database, *but: str) -> str:
    """All that is stored, but these collections."""
    names = [name for name in db.list_collection_names() if name not in but]
    return "\n".join(str(row) for name in names for row in db[name].find())
