"""Branches of a chat: ask an edited question anew, ask for another answer, and show another branch.

Nothing is overwritten: what was there before stays, beside what is new, and can be shown again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from service.domain.accounts import Actor
from service.domain.chat import ChatMessage
from service.domain.dialogs import MAX_SEGMENTS, MAX_SIBLINGS, Chat, Fork, Message, Segment, path_before
from service.domain.errors import NotFound, ValidationFailed
from service.domain.jobs import Job
from service.domain.tutor import TUTOR
from service.usecases import ports
from service.usecases.classroom import ClassroomService
from service.usecases.dialogs import DialogService
from service.usecases.jobs import JobService, Submission
from service.usecases.places import Named


@dataclass(frozen=True, slots=True)
class Repeat:
    """How a question is asked once more: what goes with it as with any question."""

    channel: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    idempotency: ports.IdempotencyKey | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """A message with the ids of all that stand at its place, itself among them, oldest first."""

    message: Message
    siblings: list[str]


class BranchService:
    def __init__(
        self,
        *,
        store: ports.Dialogs,
        branches: ports.Branches,
        dialogs: DialogService,
        jobs: JobService,
        job_store: ports.Jobs,
        classroom: ClassroomService,
        history_messages: int,
    ) -> None:
        self._store = store
        self._branches = branches
        self._dialogs = dialogs
        self._jobs = jobs
        self._job_store = job_store
        self._classroom = classroom
        self._history_messages = history_messages

    def edit(self, actor: Actor, message_id: str, text: str, how: Repeat) -> Job:
        """Ask another question in the place of this one.

        Raises ValidationFailed unless it is a user's message, and what `JobService.submit` raises.
        """
        earlier = self._jobs.earlier(how.idempotency)
        if earlier is not None:
            return earlier
        message, chat = self._message(actor, message_id, "message.edit")
        if message.role != "user":
            raise ValidationFailed(details={"messageId": ["message_not_user"]})
        path = self._path_to(message)
        return self._ask(actor, message, chat, text, Fork(path, message.position, message.parent_id), how)

    def regenerate(self, actor: Actor, message_id: str, how: Repeat) -> Job:
        """Ask for another answer in the place of this one.

        Raises ValidationFailed unless it is an answer to a question, and what `JobService.submit` raises.
        """
        earlier = self._jobs.earlier(how.idempotency)
        if earlier is not None:
            return earlier
        message, chat = self._message(actor, message_id, "message.regenerate")
        question = None if message.parent_id is None else self._store.message(message.parent_id)
        # A greeting answers nobody, also where it follows something.
        if message.role != "assistant" or question is None or question.role != "user":
            raise ValidationFailed(details={"messageId": ["message_not_assistant"]})
        path = self._path_to(message)
        fork = Fork(path, message.position, question.id, keeps_question=True)
        return self._ask(actor, message, chat, question.content, fork, how)

    def user_of(self, actor: Actor, message_id: str) -> str | None:
        """The `userId` by which the actor knows who asked, or None. Says nothing of whose message it is to repeat."""
        message = self._store.message(message_id)
        asked = None if message is None else self._job_store.get(message.job_id)
        return None if asked is None else actor.name_of(asked.account_id, asked.external_user_id, asked.end_user_id)

    def select(self, actor: Actor, message_id: str) -> Chat:
        """Show the branch on which this message lies, to its end, and go on from there.

        Raises NotFound, Forbidden, and JobRunning while a question is open in the chat.
        """
        message, _ = self._message(actor, message_id, "message.select")
        chat = self._branches.select(message, self._history_messages)
        if chat is None:
            raise NotFound("message")
        return chat

    def shown(self, messages: Sequence[Message]) -> list[ShownMessage]:
        """A page of messages of one chat, each with its siblings: one query for all of them."""
        if not messages:
            return []
        siblings = self._store.siblings(messages[0].chat_id, {message.parent_id for message in messages})
        return [ShownMessage(message, siblings.get(message.parent_id, [message.id])) for message in messages]

    def _message(self, actor: Actor, message_id: str, action: str) -> tuple[Message, Chat]:
        message = self._store.message(message_id)
        if message is None:
            raise NotFound("message")
        return message, self._dialogs.chat(actor, message.chat_id, action)

    def _path_to(self, message: Message) -> tuple[Segment, ...]:
        """What leads to the place of a message. Raises ValidationFailed if that is too far."""
        to_branch = self._branches.path(message.branch)
        path = path_before((*to_branch, Segment(message.branch, message.position + 1)), message.position)
        if len(path) >= MAX_SEGMENTS:
            raise ValidationFailed(details={"messageId": [f"too_many_branches:{MAX_SEGMENTS}"]})
        return path

    def _ask(self, actor: Actor, message: Message, chat: Chat, text: str, fork: Fork, how: Repeat) -> Job:
        asked = self._job_store.get(message.job_id)
        if asked is None:
            raise NotFound("job")
        if len(self._store.siblings(chat.id, {fork.parent_id}).get(fork.parent_id, ())) >= MAX_SIBLINGS:
            raise ValidationFailed(details={"messageId": [f"too_many_siblings:{MAX_SIBLINGS}"]})
        *before, last = fork.path or (Segment(message.branch, 0),)
        there = replace(chat, path=tuple(before), branch=last.branch, length=last.until)
        until = fork.position - 1 if fork.keeps_question else fork.position
        context = self._store.messages_before(there, until, self._history_messages)
        return self._jobs.submit(
            actor,
            Submission(
                message=text,
                channel=how.channel,
                user_id=actor.name_of(asked.account_id, asked.external_user_id, asked.end_user_id),
                assistant=self._classroom.tutor_in(chat, asked) if asked.assistant == TUTOR else asked.assistant,
                context=[ChatMessage(said.role, said.content) for said in context],
                metadata=how.metadata,
                callback_url=how.callback_url,
                idempotency=how.idempotency,
                stream=how.stream,
                place=Named(chat.id),
                fork=fork,
            ),
        )
