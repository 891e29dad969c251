"""What an answer changes beside the money and the dialog: a part of the transaction that settles it, so that whoever
asked finds either all of it or nothing, whichever process died meanwhile."""

from pymongo.client_session import ClientSession

from service.adapters.mongo.modules import store_lesson, store_modules
from service.domain.jobs import Job


def apply_answer(session: ClientSession, job: Job) -> None:
    """Store the modules of the track, or the material of the lesson, that a succeeded job was asked for.

    What is gone meanwhile stays gone: the answer is paid for and kept with its job.
    """
    applies, result = job.applies, job.result
    if applies is None or result is None:
        return
    if applies.module_id is not None and applies.lesson_id is not None:
        store_lesson(session, applies.module_id, applies.lesson_id, result)
    elif applies.track_id is not None:
        store_modules(session, applies.track_id, result)
