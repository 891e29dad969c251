"""Starts a worker: `python -m workers`, with the options of `celery worker`, say `-c 200 -Q chat -n chat@%h`.

gevent has to replace the standard library's waiting before anything of Celery is imported. Celery's own `-P gevent`
does it a moment too late: patching looks at each of Celery's lazy names and so imports Kombu, whose `sleep` stays the
one that stops the whole process, and every job in it, for up to 30 seconds at a time while Redis is away.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import sys
from importlib import import_module

from celery.bin.celery import main

if __name__ == "__main__":
    fixed = ["worker", "-P", "gevent", "--without-mingle", "--without-gossip"]
    # Quiet: no banner, which would be lines that are not JSON.
    sys.argv = ["celery", "-q", "-A", "workers.app", *fixed, *sys.argv[1:]]
    # Not left to Celery, which would print what is wrong with a setting.
    import_module("workers.app")
    main()
