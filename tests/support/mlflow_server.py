"""An MLflow server for tests: the real one's contract as far as it is used, with gates to stop a client at any call.

The tests that run against it also run against a real `mlflow server` with `-m trackers`; what they don't see here, they
would not see there. `Mlflow` reads either through its REST API.
"""

import json
import os
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import httpx2

_API, _PROXY = "/api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/artifacts/"
_WANTED = re.compile(r"tags\.`([^`]+)` = '([^']*)'")
_NAME = re.compile(r"[/\w.\- ]+")


class Refused(Exception):
    """What the server answers instead: status, error code, message."""


@dataclass
class Store:
    """What the server holds."""

    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)


class FakeMlflow:
    """Serves on loopback. `seen` are the calls in order; `headers` those of the newest one.

    `hold`: the calls (such as "POST runs/create") that are carried out and then not answered until `release`.
    """

    def __init__(self) -> None:
        self.store = Store()
        self.seen: list[str] = []
        self.headers: dict[str, str] = {}
        self.hold: set[str] = set()
        self.artifact_root = "mlflow-artifacts:"
        self.too_large: int | None = None
        self.status: int | None = None
        self.held, self._released = threading.Event(), threading.Event()
        self._changed, self._lock = threading.Condition(), threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def release(self) -> None:
        self.hold.clear()
        self._released.set()

    def await_call(self, call: str, seconds: float = 60) -> None:
        """Returns once such a call was answered."""
        with self._changed:
            assert self._changed.wait_for(lambda: call in self.seen, seconds), f"no {call} in {self.seen}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: object) -> None:
                return

            def _answer(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fake.headers = {name.lower(): value for name, value in self.headers.items()}
                status, body = fake.answered(self.command, self.path, data)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler

    def answered(self, method: str, path: str, data: bytes) -> tuple[int, bytes]:
        parts = urlsplit(path)
        call = f"{method} {parts.path.removeprefix(_API)}" if parts.path.startswith(_API) else f"{method} artifact"
        with self._lock:
            try:
                status, body = (self.status, b"busy") if self.status else (200, self._done(method, parts, data))
            except Refused as error:
                status, code, message = error.args
                body = json.dumps({"error_code": code, "message": message}).encode()
        if call in self.hold:
            self.held.set()
            self._released.wait(120)
        with self._changed:
            self.seen.append(call)
            self._changed.notify_all()
        return status, body

    def _done(self, method: str, parts: Any, data: bytes) -> bytes:
        if parts.path.startswith(_PROXY):
            return self._artifact(method, unquote(parts.path.removeprefix(_PROXY)), data)
        if not parts.path.startswith(_API):
            raise Refused(404, "ENDPOINT_NOT_FOUND", parts.path)
        name = parts.path.removeprefix(_API).replace("/", "_").replace("-", "_")
        given = dict(parse_qsl(parts.query)) if method == "GET" else json.loads(data)
        return json.dumps(getattr(self, f"_{name}")(given)).encode()

    def _artifact(self, method: str, name: str, data: bytes) -> bytes:
        if method == "GET":
            return self.store.artifacts[name]
        if self.too_large is not None and len(data) > self.too_large:
            raise Refused(413, "TOO_LARGE", "too large")
        self.store.artifacts[name] = data
        return b"{}"

    def _experiments_get_by_name(self, given: Any) -> Any:
        name = given["experiment_name"]
        if name not in self.store.experiments:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Could not find experiment with name '{name}'")
        return {"experiment": self.store.experiments[name]}

    def _experiments_create(self, given: Any) -> Any:
        if given["name"] in self.store.experiments:
            raise Refused(400, "RESOURCE_ALREADY_EXISTS", "exists")
        made = {"experiment_id": str(len(self.store.experiments) + 1), "lifecycle_stage": "active"}
        self.store.experiments[given["name"]] = {**made, "name": given["name"]}
        return {"experiment_id": made["experiment_id"]}

    def _runs_create(self, given: Any) -> Any:
        run_id, experiment = uuid.uuid4().hex, given["experiment_id"]
        info = {"run_id": run_id, "experiment_id": experiment, "run_name": given["run_name"], "status": "RUNNING"}
        info |= {"start_time": given["start_time"], "lifecycle_stage": "active"}
        info["artifact_uri"] = f"{self.artifact_root}/{experiment}/{run_id}/artifacts"
        tags = {tag["key"]: tag["value"] for tag in given["tags"]}
        self.store.runs[run_id] = {"info": info, "tags": tags, "params": {}, "metrics": {}}
        return {"run": self._shown(run_id)}

    def _shown(self, run_id: str) -> Any:
        run = self.store.runs[run_id]
        newest = [
            max(points, key=lambda p: (p["step"], p["timestamp"], p["value"])) for points in run["metrics"].values()
        ]
        pairs = {kind: [{"key": k, "value": v} for k, v in run[kind].items()] for kind in ("params", "tags")}
        return {"info": run["info"], "data": {**pairs, "metrics": newest}}

    def _run(self, given: Any, *, active: bool = True) -> Any:
        run = self.store.runs.get(given["run_id"])
        if run is None:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Run with id={given['run_id']} not found")
        if active and run["info"]["lifecycle_stage"] != "active":
            raise Refused(400, "INVALID_PARAMETER_VALUE", "The run must be in the 'active' state.")
        return run

    def _runs_get(self, given: Any) -> Any:
        self._run(given, active=False)
        return {"run": self._shown(given["run_id"])}

    def _runs_search(self, given: Any) -> Any:
        wanted = dict(_WANTED.findall(given.get("filter", "")))
        found = [
            self._shown(run_id)
            for run_id, run in self.store.runs.items()
            if run["info"]["experiment_id"] in given["experiment_ids"]
            and run["info"]["lifecycle_stage"] == "active"
            and wanted.items() <= run["tags"].items()
        ]
        return {"runs": found[: given["max_results"]]} if found else {}

    def _runs_delete(self, given: Any) -> Any:
        self._run(given)["info"]["lifecycle_stage"] = "deleted"
        return {}

    def _runs_update(self, given: Any) -> Any:
        info = self._run(given)["info"]
        info |= {key: value for key, value in given.items() if key != "run_id"}
        return {"run_info": info}

    def _runs_log_batch(self, given: Any) -> Any:
        run = self._run(given)
        metrics, params, tags = (given.get(kind, []) for kind in ("metrics", "params", "tags"))
        if len(metrics) > 1000 or len(params) > 100 or len(tags) > 100:
            raise Refused(400, "INVALID_PARAMETER_VALUE", "too many at a time")
        for one in (*metrics, *params, *tags):
            if not _NAME.fullmatch(one["key"]) or os.path.normpath(one["key"]) != one["key"] or len(one["key"]) > 250:
                raise Refused(400, "INVALID_PARAMETER_VALUE", f"Invalid value {one['key']!r}")
        for one in params:
            if run["params"].get(one["key"], one["value"]) != one["value"]:
                raise Refused(400, "INVALID_PARAMETER_VALUE", "Changing param values is not allowed.")
        for one in metrics:
            points = run["metrics"].setdefault(one["key"], [])
            if one not in points:
                points.append(one)
        run["params"] |= {one["key"]: one["value"] for one in params}
        run["tags"] |= {one["key"]: one["value"] for one in tags}
        return {}

    def _metrics_get_history(self, given: Any) -> Any:
        return {"metrics": self._run(given)["metrics"].get(given["metric_key"], [])}


@dataclass(frozen=True)
class Run:
    """A run as the server's REST API tells it."""

    run_id: str
    status: str
    uri: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]

    @property
    def note(self) -> str:
        return self.tags["mlflow.note.content"]


@dataclass(frozen=True)
class Mlflow:
    """A server, fake or real, and the experiment that a test uses there. `fake` is None for a real one."""

    address: str
    experiment: str
    fake: FakeMlflow | None = None

    def runs(self) -> dict[str, Run]:
        """The active runs by version. Fails if a version has two."""
        with httpx2.Client(base_url=self.address + _API) as client:
            found = client.get("experiments/get-by-name", params={"experiment_name": self.experiment})
            if found.status_code == 404:
                return {}
            body = {"experiment_ids": [found.json()["experiment"]["experiment_id"]], "max_results": 100}
            listed = [_run_of(run) for run in client.post("runs/search", json=body).json().get("runs", [])]
        runs = {run.tags["progressive_training.version"]: run for run in listed}
        assert len(runs) == len(listed), f"a version has two runs: {listed}"
        return dict(sorted(runs.items()))

    def history(self, run: Run, metric: str) -> list[tuple[int, float]]:
        with httpx2.Client(base_url=self.address + _API) as client:
            answer = client.get("metrics/get-history", params={"run_id": run.run_id, "metric_key": metric})
        return [(int(point.get("step", 0)), point["value"]) for point in answer.json().get("metrics", [])]

    def artifact(self, run: Run, name: str) -> bytes:
        path = f"{urlsplit(run.uri).path.strip('/')}/{name}"
        answer = httpx2.get(f"{self.address}{_PROXY}{quote(path)}")
        assert answer.is_success, answer.text
        return answer.content


def _run_of(run: Any) -> Run:
    info, data = run["info"], run["data"]
    params, tags = ({pair["key"]: pair["value"] for pair in data.get(kind, [])} for kind in ("params", "tags"))
    metrics = {metric["key"]: metric["value"] for metric in data.get("metrics", [])}
    return Run(info["run_id"], info["status"], info["artifact_uri"], params, tags, metrics)


@contextmanager
def fake_mlflow(experiment: str) -> Iterator[Mlflow]:
    fake = FakeMlflow()
    try:
        yield Mlflow(fake.address, experiment, fake)
    finally:
        fake.close()
