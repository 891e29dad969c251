"""Tracks of the learning platform: make, list, read, change and delete them, and move through their modules."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import structlog

from service.domain.accounts import Actor
from service.domain.errors import NotFound, ValidationFailed
from service.domain.tracks import MAX_TRACKS, Module, Track
from service.usecases import ports
from service.usecases.owners import Owners

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TrackWithModules:
    track: Track
    modules: list[Module]


class TrackService:
    def __init__(self, *, owners: Owners, tracks: ports.Tracks, clock: ports.Clock) -> None:
        self._owners = owners
        self._tracks = tracks
        self._clock = clock

    def create(self, actor: Actor, user_id: str | None, fields: Mapping[str, Any]) -> Track:
        """A new track for whoever this `userId` means. Raises as `Owners.party`, and ValidationFailed beyond
        `MAX_TRACKS`."""
        party = self._owners.party(actor, user_id, "track.create")
        if self._tracks.count(party.account_id, MAX_TRACKS) >= MAX_TRACKS:
            raise ValidationFailed(details={"title": [f"too_many_tracks:{MAX_TRACKS}"]})
        now = self._clock.now()
        track = Track(
            id=uuid4().hex,
            account_id=party.account_id,
            created_at=now,
            updated_at=now,
            end_user_id=party.end_user_id,
            external_user_id=party.external_user_id,
            **fields,
        )
        self._tracks.add(track)
        log.info("track created", track_id=track.id)
        return track

    def page(self, actor: Actor, user_id: str | None, query: ports.TrackQuery) -> tuple[list[Track], int]:
        """One's own tracks, newest first, and how many there are. Raises as `Owners.party`."""
        party = self._owners.party(actor, user_id, "tracks.read")
        return self._tracks.page(replace(query, account_id=party.account_id, end_user_id=party.end_user_id))

    def get(self, actor: Actor, track_id: str) -> Track:
        """Raises NotFound, and Forbidden if it is somebody else's, as all below do."""
        return self._owned(actor, track_id, "track.read")

    def read(self, actor: Actor, track_id: str, *, with_content: bool = False) -> TrackWithModules:
        """The track with its modules, and their lessons' material if that is wanted."""
        track = self._owned(actor, track_id, "track.read")
        return TrackWithModules(track, self._tracks.modules(track.id, with_content=with_content))

    def change(self, actor: Actor, track_id: str, changes: Mapping[str, Any]) -> TrackWithModules:
        """Change what is named."""
        track = self._owned(actor, track_id, "track.change")
        changed = self._tracks.change(track.id, changes) if changes else track
        if changed is None:
            raise NotFound("track")
        return TrackWithModules(changed, self._tracks.modules(track.id))

    def delete(self, actor: Actor, track_id: str) -> None:
        """Its modules and what was said in its dialogs go with it; usage and ledger stay."""
        track = self._owned(actor, track_id, "track.delete")
        if self._tracks.delete(track):
            log.info("track deleted", track_id=track.id)

    def adopt(self, actor: Actor, track_id: str, plan: Mapping[str, Any]) -> TrackWithModules:
        """Give the track the modules of a plan of `service/domain/structured.py`; the same plan again changes
        nothing."""
        track = self._owned(actor, track_id, "track.plan")
        if self._tracks.store_plan(track, plan):
            log.info("track planned", track_id=track.id)
        return self._now(track)

    def module(self, actor: Actor, module_id: str) -> tuple[Track, Module]:
        """A module and its track."""
        return self._owned_module(actor, module_id, "module.read")

    def complete(self, actor: Actor, module_id: str) -> TrackWithModules:
        """The module is done: its track's progress moves, and at 100 the track is completed. Twice is once.

        Raises NotFound too if another plan took the module away at the same moment.
        """
        track, module = self._owned_module(actor, module_id, "module.complete")
        if self._tracks.complete(track, module):
            log.info("module completed", track_id=track.id, module_id=module.id)
        found = self._now(track)
        if all(each.id != module_id for each in found.modules):
            raise NotFound("module")
        return found

    def _owned_module(self, actor: Actor, module_id: str, action: str) -> tuple[Track, Module]:
        module = self._tracks.module(module_id)
        if module is None:
            raise NotFound("module")
        return self._owned(actor, module.track_id, action), module

    def _owned(self, actor: Actor, track_id: str, action: str) -> Track:
        track = self._tracks.get(track_id)
        if track is None:
            raise NotFound("track")
        named = (track.account_id, track.external_user_id, action)
        self._owners.check(actor, *named, end_user_id=track.end_user_id, goes_on=True, track_id=track_id)
        return track

    def _now(self, track: Track) -> TrackWithModules:
        current = self._tracks.get(track.id)
        if current is None:
            raise NotFound("track")
        return TrackWithModules(current, self._tracks.modules(track.id))
