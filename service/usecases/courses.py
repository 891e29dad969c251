"""What the model makes for a course as objects: plans, lessons, the welcome with a plan to begin with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from service.domain import briefing, structured
from service.domain.accounts import Actor
from service.domain.catalog import Assistant
from service.domain.chat import MESSAGE_MAX_CHARACTERS
from service.domain.errors import NotFound, ValidationFailed
from service.domain.jobs import Applies, Job
from service.domain.tracks import Module, Track
from service.usecases import ports
from service.usecases.asking import CHANNEL, NO_LINE, Asking, Line, Terms
from service.usecases.jobs import Submission
from service.usecases.owners import Owners, Party
from service.usecases.places import Place, Places
from service.usecases.tracks import TrackService, TrackWithModules
from service.usecases.tutor import TutorService

PLANNER = "planner"
AUTHOR = "lesson"
GREETER = "welcome"
_FINAL = "Составь окончательный план этого курса: учти всё, о чём договорились в разговоре."
# What a course, and a lesson, may be called by, the clearest first.
_COURSE_NAMES = ("title", "user_expectations", "description", "skill_area")
_LESSON_NAMES = ("title", "description")


@dataclass(frozen=True, slots=True)
class PlanWish:
    """A course to be planned. `facts` are those of `briefing.COURSE_FIELDS`; the track has those that are missing."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    track_id: str | None = None
    line: Line = NO_LINE


@dataclass(frozen=True, slots=True)
class LessonWish:
    """A lesson of a module, whose material is kept there; or one that `facts` describe, of a module or of none."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    module_id: str | None = None
    lesson_id: str | None = None


class CourseService:
    """All methods that ask raise what `JobService.submit` does, NotFound, and Forbidden for what is somebody else's."""

    def __init__(
        self,
        *,
        asking: Asking,
        owners: Owners,
        tracks: TrackService,
        track_store: ports.Tracks,
        tutor: TutorService,
    ) -> None:
        self._asking = asking
        self._owners = owners
        self._tracks = tracks
        self._track_store = track_store
        self._tutor = tutor

    def plan(self, actor: Actor, wish: PlanWish, terms: Terms) -> Job:
        """Ask for a plan. Of a chat that is named the history is known; nothing is said in it.

        Raises ValidationFailed if nothing says what the course is about.
        """

        def prepare(party: Party) -> Submission:
            track = None if wish.track_id is None else self._asking.track(actor, party, wish.track_id)
            chat = self._asking.chat(party, wish.line)
            if chat is not None and track is None:
                track = self._asking.track_of(chat)
            known = {} if track is None else briefing.facts_of(track)
            given = {name: value for name, value in wish.facts.items() if value not in (None, "")}
            facts = {**known, **given}
            return Submission(
                message=_named(facts, _COURSE_NAMES),
                channel=CHANNEL,
                assistant=self._planner(party, facts),
                place=Places.beside(chat) if chat is not None else _about(track),
            )

        return self._asking.ask(actor, terms, prepare)

    def lesson(self, actor: Actor, wish: LessonWish, terms: Terms) -> Job:
        """Ask for the material of a lesson; that of a module's own lesson is kept with it when the job is settled.

        Raises ValidationFailed if nothing says what the lesson is about.
        """
        if wish.lesson_id is not None and wish.module_id is None:
            raise ValidationFailed(details={"module_id": ["required"]})

        def prepare(party: Party) -> Submission:
            if wish.module_id is None:
                return self._free_lesson(party, wish.facts)
            track, module = self._asking.module(actor, party, wish.module_id)
            return self._module_lesson(party, track, module, wish)

        return self._asking.ask(actor, terms, prepare)

    def welcome(self, actor: Actor, track_id: str, line: Line, terms: Terms) -> Job:
        """Ask for a greeting with a plan to begin with, said as the first thing in the track's session, or in the chat
        that is named. Nobody asked it: the chat gets the answer alone."""

        def prepare(party: Party) -> Submission:
            track = self._asking.track(actor, party, track_id)
            chat = self._asking.chat(party, line) or self._asking.open(track)
            assistant = self._tutor.speaking_to(party, GREETER)
            told = briefing.course(briefing.facts_of(track), briefing.WHOLE_TEXT_CHARACTERS)
            return Submission(
                message=track.title,
                channel=CHANNEL,
                assistant=_briefed(assistant, course=told),
                place=Places.at(chat),
                unasked=True,
            )

        return self._asking.ask(actor, terms, prepare)

    def finalize(self, actor: Actor, track_id: str, line: Line, terms: Terms) -> Job:
        """Ask for the plan that the conversation came to: that of the chat that is named, else of the track's session.

        The track gets its modules in the transaction that settles the job.
        """

        def prepare(party: Party) -> Submission:
            track = self._asking.track(actor, party, track_id)
            chat = self._asking.chat(party, line) or self._asking.opened(track)
            planner = self._planner(party, briefing.facts_of(track))
            return Submission(
                message=track.title,
                channel=CHANNEL,
                assistant=replace(planner, persona=f"{planner.persona}\n\n{_FINAL}"),
                place=_about(track) if chat is None else Places.beside(chat),
                applies=Applies(track_id=track.id),
            )

        return self._asking.ask(actor, terms, prepare)

    def adopt(self, actor: Actor, user_id: str | None, track_id: str, plan: dict[str, Any]) -> TrackWithModules:
        """Give the track the modules of this plan, without asking anybody; the same plan again changes nothing.

        Raises ValidationFailed if it is none, NotFound, Forbidden.
        """
        try:
            checked = structured.parse(structured.PLAN, structured.dump(plan))
        except structured.InvalidAnswer:
            raise ValidationFailed(details={"plan": ["invalid"]}) from None
        track = self._asking.track(actor, self._owners.party(actor, user_id, "track.plan"), track_id)
        return self._tracks.adopt(actor, track.id, checked)

    def _planner(self, party: Party, facts: Mapping[str, Any]) -> Assistant:
        told = briefing.course(facts, briefing.WHOLE_TEXT_CHARACTERS)
        return _briefed(self._tutor.speaking_to(party, PLANNER), course=told)

    def _free_lesson(self, party: Party, facts: Mapping[str, Any]) -> Submission:
        message = _named(facts, _LESSON_NAMES)
        told = briefing.course(facts, briefing.WHOLE_TEXT_CHARACTERS)
        author = _briefed(self._tutor.speaking_to(party, AUTHOR), lesson=told)
        return Submission(message=message, channel=CHANNEL, assistant=author, place=Place())

    def _module_lesson(self, party: Party, track: Track, module: Module, wish: LessonWish) -> Submission:
        facts, applies = wish.facts, None
        told = briefing.course(facts, briefing.WHOLE_TEXT_CHARACTERS)
        if wish.lesson_id is not None:
            found = next((each for each in module.lessons if each.id == wish.lesson_id), None)
            if found is None:
                raise NotFound("lesson")
            facts = {"title": found.title}
            told = briefing.lesson(found)
            applies = Applies(track.id, module.id, found.id)
        # The titles of the lessons around it are enough; their material would cost more than it says.
        around = replace(module, lessons=tuple(replace(each, content=None) for each in module.lessons))
        author = _briefed(
            self._tutor.speaking_to(party, AUTHOR),
            course=briefing.course(briefing.facts_of(track)),
            modules=briefing.titles(self._track_store.modules(track.id)),
            module=briefing.module(around),
            lesson=told,
        )
        message = _named(facts, _LESSON_NAMES)
        return Submission(message=message, channel=CHANNEL, assistant=author, place=_about(track), applies=applies)


def _briefed(assistant: Assistant, **parts: Any) -> Assistant:
    return replace(assistant, persona=briefing.briefed(assistant.persona, **parts))


def _about(track: Track | None) -> Place:
    """Said nowhere; forgotten with the track's session."""
    return Place(None if track is None else track.session_id)


def _named(facts: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The question: what somebody calls it in their own language, which the answer is to be in too."""
    for name in names:
        value = str(facts.get(name) or "").strip()
        if value:
            return value[:MESSAGE_MAX_CHARACTERS]
    raise ValidationFailed(details={"title": ["required"]})
