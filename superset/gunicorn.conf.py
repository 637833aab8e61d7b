"""Gunicorn's settings: one process with threads is enough, since Presto does the work."""

import os

bind = f"{os.environ['SUPERSET_LISTEN']}:{os.environ['SUPERSET_PORT']}"
worker_class = "gthread"
workers = 1
threads = 8
# The first start also makes Superset's tables before the worker reports for duty.
timeout = 180
# Every request only reads, so none is worth a longer wait.
graceful_timeout = 1
keepalive = 30
worker_tmp_dir = os.environ["SUPERSET_HOME"]
control_socket_disable = True
