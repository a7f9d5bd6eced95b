"""Print the schema; the frontend's client is generated from it."""

import json
import sys

from scopebook_api.app import add_routes
from scopebook_api.described import Described


def schema() -> dict[str, object]:
    """Return the schema of all routes, independent of the installed version and of a database."""
    app = Described(
        title="Scopebook",
        summary="The feature dictionary of Qwen-Scope sparse autoencoders.",
        version="1",
    )
    add_routes(app)
    return app.openapi()


if __name__ == "__main__":
    json.dump(schema(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
