"""Tracks with their modules, and what people set for their tutor."""

from mongoengine import (
    DateTimeField,
    DictField,
    EmbeddedDocument,
    EmbeddedDocumentListField,
    IntField,
    StringField,
)
from mongoengine.fields import FloatField

from service.adapters.mongo.documents.stored import Stored


class TrackDocument(Stored):
    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    title = StringField(required=True)
    description = StringField()
    skill_area = StringField()
    difficulty_level = StringField(required=True)
    estimated_duration_hours = FloatField()
    user_expectations = StringField()
    status = StringField(required=True)
    progress = IntField(required=True)
    session_id = StringField()
    end_user_id = StringField()
    external_user_id = StringField()
    created_at = DateTimeField(required=True)
    updated_at = DateTimeField(required=True)

    meta = {
        "collection": "tracks",
        "indexes": [
            ("account_id", "-created_at", "-id"),
            ("account_id", "status", "-created_at", "-id"),
            {
                "fields": ["end_user_id", "-created_at", "-id"],
                "partialFilterExpression": {"end_user_id": {"$gt": ""}},
            },
            {
                "fields": ["end_user_id", "status", "-created_at", "-id"],
                "partialFilterExpression": {"end_user_id": {"$gt": ""}},
            },
        ],
    }


class LessonInModule(EmbeddedDocument):
    id = StringField(required=True)
    title = StringField(required=True)
    description = StringField()
    duration_minutes = IntField(required=True)
    content = DictField()


class ModuleDocument(Stored):
    """A module with its lessons, of which there are at most 50."""

    id = StringField(primary_key=True)
    track_id = StringField(required=True)
    position = IntField(required=True)
    title = StringField(required=True)
    description = StringField()
    lessons = EmbeddedDocumentListField(LessonInModule)
    status = StringField(required=True)
    chat_id = StringField()

    meta = {"collection": "modules", "indexes": [("track_id", "position")]}


class TutorConfigDocument(Stored):
    """By account; what isn't set is the assistant's own."""

    id = StringField(primary_key=True)
    model = StringField()
    temperature = FloatField()
    max_tokens = IntField()
    language = StringField()

    meta = {"collection": "tutor_configs"}
