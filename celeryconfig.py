"""Celery's settings: plain values. The broker is only a doorbell (see docs/decisions), so nothing here may be needed
for correctness; what it is for is speed and for recovering quickly after a broker was away."""

task_default_queue = "chat"
task_routes = {
    "workers.tasks.run_job": {"queue": "chat"},
    "workers.tasks.deliver": {"queue": "webhooks"},
    "workers.tasks.upkeep": {"queue": "upkeep"},
    "workers.tasks.measure": {"queue": "upkeep"},
    "workers.tasks.sweep_payments": {"queue": "upkeep"},
    "workers.tasks.watch_provider": {"queue": "upkeep"},
}

# Job state is in MongoDB; there is no result backend.
task_ignore_result = True
# Otherwise Celery looks for a backend among all installed packages anew in every greenlet, a fifth of a task's CPU.
result_backend_thread_safe = True
task_serializer = "json"
accept_content = ["json"]

# No limit but the pool's size, which holds the consumer back when it is full. With a limit each acknowledgement that an
# outage of Redis swallows costs one place for good, and a worker without a free place neither reads the queue nor
# notices that its connection is gone.
worker_prefetch_multiplier = 0
worker_hijack_root_logger = False
worker_enable_remote_control = True
worker_send_task_events = True
task_send_sent_event = False
enable_utc = True

broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_pool_limit = 50
# The gevent pool runs hundreds of tasks at once and acknowledges each over its own connection; with the default
# limit acknowledgements get lost.
broker_transport_options = {
    "max_connections": 2000,
    "visibility_timeout": 600,
    # A worker that is told to end waits so long for the queue.
    "polling_interval": 1,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_connect_timeout": 1,
    "socket_keepalive": True,
    "health_check_interval": 10,
}

# Intervals and expiries come from UPKEEP_INTERVAL_SECONDS and PAYMENT_SWEEP_SECONDS (service/adapters/celery_app.py); a
# round that nobody could run is not made up for.
beat_schedule = {
    "upkeep": {
        "task": "workers.tasks.upkeep",
        "schedule": 1.0,
        "options": {"expires": 5.0, "queue": "upkeep"},
    },
    "measure": {
        "task": "workers.tasks.measure",
        "schedule": 60.0,
        "options": {"expires": 30.0, "queue": "upkeep"},
    },
    # Asks once a day; in between there is nothing to do but to see that.
    "provider": {
        "task": "workers.tasks.watch_provider",
        "schedule": 300.0,
        "options": {"expires": 300.0, "queue": "upkeep"},
    },
    "payments": {
        "task": "workers.tasks.sweep_payments",
        "schedule": 10.0,
        "options": {"expires": 50.0, "queue": "upkeep"},
    },
}
