"""Copy what the API reference pages need out of node_modules: `python -m devstack.docs_assets FROM TO`.

Only these few files are served; the packages around them are many times larger. Redoc's logo, which it would fetch from
its makers' server, is left out.
"""

import shutil
import sys
from pathlib import Path

ASSETS = {
    "swagger-ui-dist/swagger-ui-bundle.js": "swagger-ui-bundle.js",
    "swagger-ui-dist/swagger-ui.css": "swagger-ui.css",
    "swagger-ui-dist/favicon-32x32.png": "favicon-32x32.png",
    "swagger-ui-dist/LICENSE": "swagger-ui.LICENSE.txt",
    "swagger-ui-dist/NOTICE": "swagger-ui.NOTICE.txt",
    "redoc/bundles/redoc.standalone.js": "redoc.standalone.js",
    "redoc/bundles/redoc.standalone.js.LICENSE.txt": "redoc.standalone.js.LICENSE.txt",
    "redoc/LICENSE": "redoc.LICENSE.txt",
}
REMOTE_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
NO_LOGO = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"


def copy_assets(node_modules: Path, target: Path) -> None:
    """Replace the target directory by a fresh copy of the assets."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for source, name in ASSETS.items():
        shutil.copyfile(node_modules / source, target / name)
    redoc = target / "redoc.standalone.js"
    text = redoc.read_text(encoding="utf-8")
    if REMOTE_LOGO not in text:
        raise ValueError(f"{redoc} has no {REMOTE_LOGO}: look whether it fetches something else now")
    redoc.write_text(text.replace(REMOTE_LOGO, NO_LOGO), encoding="utf-8")


if __name__ == "__main__":
    copy_assets(Path(sys.argv[1]), Path(sys.argv[2]))
