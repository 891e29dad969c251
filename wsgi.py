"""The WSGI application: `gunicorn -c gunicorn.conf.py wsgi:application`.

Importing this builds the object graph, so it must happen in the worker, after the fork: don't preload it. A wrong
setting stops the import, and with it the worker, with a message that names the setting.
"""

from service import bootstrap
from service.adapters import logs, processes
from service.api.app import create_app
from service.settings import Settings

_settings = Settings()
logs.configure(_settings.log_level, "web")
processes.register("web")
_container = bootstrap.build(_settings)
_container.events.start()
application = create_app(_container)
