"""What is left of the rate limit, told with the answer to a question."""

from flask import Response, after_this_request

from service.api.headers import rate_limit_headers
from service.api.state import services
from service.domain.accounts import Actor


def tell_quota(actor: Actor, user_id: str | None) -> None:
    """Put it on the answer, whatever that will be. Raises Forbidden."""
    actor.owner(user_id)

    @after_this_request
    def add(response: Response) -> Response:
        response.headers.update(rate_limit_headers(services().jobs.quota(actor, user_id)))
        return response
