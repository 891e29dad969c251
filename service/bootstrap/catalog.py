"""Wires what is on offer: whom people may ask, and how admins keep it."""

from dataclasses import dataclass

from service.adapters.mongo.leases import MongoLeases
from service.adapters.tokenizer import count_tokens
from service.bootstrap.outside import Outside
from service.usecases.audit import Auditor
from service.usecases.catalog_desk import CatalogDeskService
from service.usecases.offer import OfferService
from service.usecases.provider_watch import ProviderWatch


@dataclass(frozen=True)
class Catalogs:
    """`watch` is the workers'."""

    offer: OfferService
    desk: CatalogDeskService
    watch: ProviderWatch


def connect_catalog(outside: Outside, *, auditor: Auditor) -> Catalogs:
    desk = CatalogDeskService(
        desk=outside.catalog_desk,
        news=outside.provider_news,
        auditor=auditor,
        clock=outside.clock,
        count_tokens=count_tokens,
    )
    return Catalogs(
        offer=OfferService(catalog=outside.catalog),
        desk=desk,
        watch=ProviderWatch(
            desk=desk,
            upstream=outside.upstream,
            news=outside.provider_news,
            leases=MongoLeases(),
            telemetry=outside.metrics,
            clock=outside.clock,
            holder=outside.worker_id,
        ),
    )
