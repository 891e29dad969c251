"""Every collection: its fields and its indexes, and nothing else.

Indexes are created by `python -m service.cli prepare`, never on a hot path. A test asks the database to explain each
query and fails on one that has no index.
"""

from service.adapters.mongo.documents.accounts import AccountDocument, KeyDocument, LinkCodeDocument
from service.adapters.mongo.documents.chat import (
    AssistantDocument,
    JobDocument,
    ModelDocument,
    ProviderModelsDocument,
)
from service.adapters.mongo.documents.dialogs import BranchDocument, ChatDocument, MessageDocument, SessionDocument
from service.adapters.mongo.documents.erasures import ErasureDocument, SuccessorDocument
from service.adapters.mongo.documents.learning import ModuleDocument, TrackDocument, TutorConfigDocument
from service.adapters.mongo.documents.money import (
    CreditsDocument,
    IdempotencyDocument,
    LedgerDocument,
    UsageDocument,
    WalletDocument,
)
from service.adapters.mongo.documents.operations import AuditDocument, FiguresDocument, LeaseDocument
from service.adapters.mongo.documents.payments import PaymentDocument, RedeemCodeDocument, TestPaymentDocument
from service.adapters.mongo.documents.webhooks import DeliveryDocument, DeliverySlotsDocument, EndpointDocument

__all__ = [
    "AccountDocument",
    "AssistantDocument",
    "AuditDocument",
    "BranchDocument",
    "ChatDocument",
    "CreditsDocument",
    "DeliveryDocument",
    "DeliverySlotsDocument",
    "EndpointDocument",
    "ErasureDocument",
    "FiguresDocument",
    "IdempotencyDocument",
    "JobDocument",
    "KeyDocument",
    "LeaseDocument",
    "LedgerDocument",
    "LinkCodeDocument",
    "MessageDocument",
    "ModelDocument",
    "ModuleDocument",
    "PaymentDocument",
    "ProviderModelsDocument",
    "RedeemCodeDocument",
    "SessionDocument",
    "SuccessorDocument",
    "TestPaymentDocument",
    "TrackDocument",
    "TutorConfigDocument",
    "UsageDocument",
    "WalletDocument",
    "create_indexes",
]

DOCUMENTS = (
    AccountDocument,
    KeyDocument,
    LinkCodeDocument,
    WalletDocument,
    CreditsDocument,
    LedgerDocument,
    JobDocument,
    SessionDocument,
    ChatDocument,
    BranchDocument,
    MessageDocument,
    ErasureDocument,
    SuccessorDocument,
    IdempotencyDocument,
    UsageDocument,
    AuditDocument,
    LeaseDocument,
    FiguresDocument,
    EndpointDocument,
    DeliveryDocument,
    DeliverySlotsDocument,
    PaymentDocument,
    RedeemCodeDocument,
    TestPaymentDocument,
    ModelDocument,
    ProviderModelsDocument,
    AssistantDocument,
    TrackDocument,
    ModuleDocument,
    TutorConfigDocument,
)


def create_indexes() -> None:
    """Create what is missing of every collection and index. Repeatable."""
    for document in DOCUMENTS:
        document.ensure_indexes()
