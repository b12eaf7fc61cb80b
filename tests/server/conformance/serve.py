"""Our server with the suite's fixtures beside our own tools, unless bare.

python -m conformance.serve PORT PROJECT [--bare]
"""

import sys
from pathlib import Path

import uvicorn

from progressive_training.loop.project.project import Project
from progressive_training.server.app import build_server
from progressive_training.server.listening import configured
from progressive_training.server.over_http import http_app

from . import fixtures
from .task_fixtures import FixtureTasks


def main(port: int, folder: str, *, bare: bool) -> None:
    project = Project(Path(folder))
    server = None
    if not bare:
        server = build_server(project, more_tasks=[FixtureTasks()])
        fixtures.add(server)
    # The suites can't send a token; everything else is as it is served.
    app = http_app(project, "127.0.0.1", port, server=server)
    uvicorn.Server(configured(app, port=port)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], bare=sys.argv[3:] == ["--bare"])
