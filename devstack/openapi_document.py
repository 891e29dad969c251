"""Write the OpenAPI document of this source tree: `python -m devstack.openapi_document FILE`. Needs no server.

The types of the web UI are generated from it (`make types`).
"""

import sys
from pathlib import Path
from typing import Any

from devstack.quick_settings import JWT_SECRET_KEY
from service import bootstrap
from service.api.app import create_app
from service.settings import AppEnv, Settings


def document() -> str:
    """The document as `/openapi.json` serves it. Building the application connects to nothing."""
    values: dict[str, Any] = {"openai_api_key": "of-nobody", "jwt_secret_key": JWT_SECRET_KEY}
    settings = Settings(**values, app_env=AppEnv.DEVELOPMENT)
    return create_app(bootstrap.build(settings)).test_client().get("/openapi.json").text


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")
