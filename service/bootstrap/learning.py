"""Wires the learning platform: tracks, the tutor's settings, and what is asked about them."""

from dataclasses import dataclass

from service.bootstrap.outside import Outside
from service.usecases.asking import Asking
from service.usecases.classroom import ClassroomService
from service.usecases.courses import CourseService
from service.usecases.jobs import JobService
from service.usecases.owners import Owners
from service.usecases.places import Places
from service.usecases.tracks import TrackService
from service.usecases.tutor import TutorService


@dataclass(frozen=True)
class Learning:
    tracks: TrackService
    tutor: TutorService
    courses: CourseService
    classroom: ClassroomService


def connect_learning(outside: Outside, *, owners: Owners, jobs: JobService, places: Places) -> Learning:
    tracks = TrackService(owners=owners, tracks=outside.tracks, clock=outside.clock)
    tutor = TutorService(
        owners=owners,
        configs=outside.tutor_configs,
        catalog=outside.catalog,
        upstream=outside.upstream,
        rate_limits=outside.rate_limits,
        telemetry=outside.metrics,
    )
    asking = Asking(
        jobs=jobs,
        tracks=tracks,
        track_store=outside.tracks,
        dialogs=outside.dialogs,
        places=places,
        clock=outside.clock,
    )
    return Learning(
        tracks=tracks,
        tutor=tutor,
        courses=CourseService(asking=asking, owners=owners, tracks=tracks, track_store=outside.tracks, tutor=tutor),
        classroom=ClassroomService(
            asking=asking,
            tracks=tracks,
            track_store=outside.tracks,
            dialogs=outside.dialogs,
            places=places,
            tutor=tutor,
        ),
    )
