"""Serve the API by the settings: `python -m scopebook_api.serving`.

By uvicorn's own command line its first lines, and all of those of the process that watches several,
would be written in a form of their own.
"""

import uvicorn

from scopebook.log_setup import set_up_logs
from scopebook.settings import settings


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    chosen = settings()
    set_up_logs()
    uvicorn.run(
        "scopebook_api.app:create_app",
        factory=True,
        host=chosen.host,
        port=chosen.port,
        workers=chosen.api_processes,
        # A process that does not answer is killed: not because it computes for some seconds.
        timeout_worker_healthcheck=60,
        # Open event streams would hold the stop up for ever.
        timeout_graceful_shutdown=2,
        log_config=None,
        log_level=chosen.log_level.lower(),
    )


if __name__ == "__main__":
    main()
