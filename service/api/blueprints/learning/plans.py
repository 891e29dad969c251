"""`/api/ai`: plans, lessons and the welcome, which the model answers with as objects."""

from typing import Any

from flask import Response, jsonify

from service.api.answering import PATIENT_SECONDS, answer
from service.api.blueprint import ApiBlueprint
from service.api.blueprints.learning.asking import line, made, question_route, replied, said, terms
from service.api.blueprints.learning.plan_schemas import (
    FinalQuestion,
    FinalReply,
    LessonQuestion,
    LessonReply,
    PlanQuestion,
    PlanReply,
    WelcomeQuestion,
    WelcomeReply,
)
from service.api.learning import track_body
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.briefing import COURSE_FIELDS
from service.domain.jobs import Job
from service.usecases.courses import LessonWish, PlanWish

blueprint = ApiBlueprint("plans", __name__, url_prefix="/api/ai", description="Learning: plans and lessons")
_PLAN, _LESSON, _WELCOME, _FINAL = PlanReply(), LessonReply(), WelcomeReply(), FinalReply()


@question_route(blueprint, "/generate-plan", PlanQuestion, PlanReply, "The plan")
def plan(given: dict[str, Any], *, actor: Actor) -> Response:
    """Make a plan of a course

    Of what the body says, of a track's fields, or of both; one of them must say what the course is about. With
    `session_id` or `chat_id` what was said there counts too, and nothing is added to it. Waits for the answer, for 55
    seconds unless `Prefer` says otherwise. A refusal, a truncated or an invalid answer is a 500 with its reason, and
    free.
    """
    wish = PlanWish({name: given[name] for name in COURSE_FIELDS}, given["track_id"], line(given))
    asked = terms(given, actor)

    def submit() -> Job:
        return services().courses.plan(actor, wish, asked)

    return answer(actor, submit, _PLAN, made, wait_seconds=PATIENT_SECONDS)


@question_route(blueprint, "/generate-lesson", LessonQuestion, LessonReply, "The lesson")
def lesson(given: dict[str, Any], *, actor: Actor) -> Response:
    """Write the material of a lesson

    With `module_id` and `lesson_id` it is kept with that lesson, in the place of what was there; otherwise of what the
    body says, for a module or for none, and kept with the job alone. Waits for the answer as `generate-plan` does.
    """
    facts = {name: given[name] for name in COURSE_FIELDS if given.get(name)}
    wish = LessonWish(facts, given["module_id"], given["lesson_id"])
    asked = terms(given, actor)

    def submit() -> Job:
        return services().courses.lesson(actor, wish, asked)

    return answer(actor, submit, _LESSON, _lesson, wait_seconds=PATIENT_SECONDS)


@question_route(
    blueprint,
    "/welcome-message",
    WelcomeQuestion,
    WelcomeReply,
    "The greeting, and where to go on",
    errors=(402, 404, 409, 429),
)
def welcome(given: dict[str, Any], *, actor: Actor) -> Response:
    """Greet somebody at the beginning of a track

    With a plan to begin with, said by the assistant in the track's session, which begins here, or in the chat that is
    named. Waits for the answer as `generate-plan` does.
    """
    asked = terms(given, actor)

    def submit() -> Job:
        return services().courses.welcome(actor, given["track_id"], line(given), asked)

    return answer(actor, submit, _WELCOME, _welcome, wait_seconds=PATIENT_SECONDS)


@question_route(blueprint, "/finalize-course-plan", FinalQuestion, FinalReply, "The track with its modules")
def finalize(given: dict[str, Any], *, actor: Actor) -> Response:
    """Give a track its modules

    Those of `plan`, at once and free; or of the plan that the model makes of what was said in `chat_id`, `session_id`
    or else the track's session. All of them are stored in one transaction, whether or not anybody still waits. The same
    plan again changes nothing; of another one what it left unchanged keeps status, chat and material.
    """
    courses, track_id = services().courses, given["track_id"]
    if given["plan"] is not None:
        found = courses.adopt(actor, given["user_id"], track_id, given["plan"])
        return jsonify(_FINAL.dump({"track": track_body(found, actor), "plan": given["plan"]}))

    asked = terms(given, actor)

    def submit() -> Job:
        return courses.finalize(actor, track_id, line(given), asked)

    def finalized(job: Job) -> dict[str, Any]:
        found = services().tracks.read(actor, track_id)
        return {"track": track_body(found, actor), "plan": made(job), **replied(job)}

    return answer(actor, submit, _FINAL, finalized, wait_seconds=PATIENT_SECONDS)


def _lesson(job: Job) -> dict[str, Any]:
    applies = job.applies
    kept = {} if applies is None else {"module_id": applies.module_id, "lesson_id": applies.lesson_id}
    return {**made(job), **kept}


def _welcome(job: Job) -> dict[str, Any]:
    return {**said(job), "plan": made(job)["plan"]}
