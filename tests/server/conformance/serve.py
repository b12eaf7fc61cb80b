"""Our server with the suite's fixtures beside our own tools: python -m conformance.serve PORT PROJECT."""

import sys
from pathlib import Path

import uvicorn

from progressive_training.loop.project.project import Project
from progressive_training.server.app import build_server
from progressive_training.server.serving import http_app

from . import fixtures
from .task_fixtures import FixtureTasks


def main(port: int, folder: str) -> None:
    project = Project(Path(folder))
    server = build_server(project, more_tasks=[FixtureTasks()])
    fixtures.add(server)
    uvicorn.run(http_app(project, server=server), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
