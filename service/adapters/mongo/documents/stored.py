"""What all documents have in common."""

from typing import Any

from mongoengine import Document


class Stored(Document):
    meta: dict[str, Any] = {"auto_create_index": False, "abstract": True}
