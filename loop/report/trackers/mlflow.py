"""MLflow over its REST API: no package of MLflow's is needed here, only a server that the user runs.

Experiment, runs, metrics, parameters and tags go through `/api/2.0/mlflow/…`, files through the server's own artifact
proxy (on by default in `mlflow server`). Credentials are MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD, of this process's environment.
"""

import hashlib
import os
import ssl
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx2
from pydantic import JsonValue, ValidationError

from ...errors import LoopError
from ...rules.schema import MlflowConfig
from ...store.paths import ARTIFACTS
from ...store.tree import Tree
from .mlflow_answers import (
    Answer,
    ExperimentFound,
    ExperimentMade,
    Fault,
    Run,
    RunFound,
    RunInfo,
    RunsFound,
    named,
    slices,
)
from .tracker import Remember, Unreachable
from .version_as_run import File, RunView

VERSION_TAG, LOOP_TAG = "progressive_training.version", "progressive_training.loop"
# A slow store behind the server may think for a while; an address where nobody is should be known soon.
_TIMEOUT = httpx2.Timeout(120.0, connect=5.0)
_METRICS_A_CALL, _OTHERS_A_CALL = 500, 100
_CHUNK_BYTES = 1 << 20
_MOST_PARAM, _MOST_TAG = 500, 5000
_CURVES = "curves"
_ABSENT, _EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
_STATUS = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED"}
A = TypeVar("A", bound=Answer)


@contextmanager
def mlflow(config: MlflowConfig, folder: str) -> Generator["MlflowServer"]:
    """The server that the rules or MLFLOW_TRACKING_URI name. Raises `Unreachable` if neither does."""
    address = (config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")).rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unreachable(
            "no MLflow server is named" if not address else "MLFLOW_TRACKING_URI is no http:// or https:// address",
            where="tracking_config.mlflow",
            hint="give tracking_uri; a server of your own: mlflow server --backend-store-uri sqlite:///mlflow.db",
        )
    # A name and password in the environment's address are used, and shown nowhere.
    own = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    headers, auth = _credentials(login)
    try:
        with httpx2.Client(timeout=_TIMEOUT, auth=auth, headers=headers, verify=_verify()) as client:
            yield MlflowServer(client, own, config.experiment or folder)
    except httpx2.InvalidURL as error:
        raise Unreachable(f"is no address ({error})", where=own, hint="correct tracking_uri") from error


def _credentials(login: tuple[str, str] | None) -> tuple[dict[str, str], tuple[str, str] | None]:
    name, token = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_TOKEN")
    if name:
        return {}, (name, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
    return ({"Authorization": f"Bearer {token}"}, None) if token else ({}, login)


def _verify() -> ssl.SSLContext | bool:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        return False
    certificate = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    return ssl.create_default_context(cafile=certificate) if certificate else True


class MlflowServer:
    """One experiment on one server. A version's run is found again by its tags, whoever made it."""

    def __init__(self, client: httpx2.Client, address: str, experiment: str) -> None:
        self._client, self._address, self._experiment_name = client, address, experiment
        self._experiment: str | None = None

    @property
    def target(self) -> str:
        return f"{self._address} experiment {self._experiment_name}"

    def send(
        self, tree: Tree, run: RunView, run_id: str | None, parts: Mapping[str, str], remember: Remember
    ) -> tuple[str, ...]:
        """See `Tracker`. Parameters can't be changed in MLflow: a run with other ones is deleted and made anew."""
        found = self._find(run, run_id)
        if found is not None and not _keeps(found, run):
            self._post("runs/delete", {"run_id": found.info.run_id})
            found = None
        there = dict(parts) if found is not None and found.info.run_id == run_id else {}
        info = (found or self._make(run)).info
        remember(info.run_id, there)
        points = list(_points(run))
        curves = hashlib.sha256(repr(points).encode()).hexdigest()
        self._log(info.run_id, run, points if there.get(_CURVES) != curves else [])
        there[_CURVES] = curves
        remember(info.run_id, there)
        notes = self._send_files(tree, run, info, there, remember)
        update: dict[str, JsonValue] = {"run_id": info.run_id, "run_name": run.version_id}
        ended: dict[str, JsonValue] = {} if run.status == "running" else {"end_time": run.ended_ms}
        self._post("runs/update", {**update, "status": _STATUS[run.status], **ended})
        return notes

    def _find(self, run: RunView, run_id: str | None) -> Run | None:
        experiment = self._experiment_id()
        if run_id is not None:
            known = self._get("runs/get", RunFound, run_id=run_id)
            if known is not None and known.run.info.lifecycle_stage == "active":
                return known.run
        wanted = f"tags.`{LOOP_TAG}` = '{run.loop}' and tags.`{VERSION_TAG}` = '{run.version_id}'"
        answer = self._post("runs/search", {"experiment_ids": [experiment], "filter": wanted, "max_results": 10})
        return next(iter(self._read(answer, RunsFound).runs), None)

    def _make(self, run: RunView) -> Run:
        body: dict[str, JsonValue] = {
            "experiment_id": self._experiment_id(),
            "run_name": run.version_id,
            "start_time": run.started_ms,
            "tags": _pairs({VERSION_TAG: run.version_id, LOOP_TAG: run.loop}),
        }
        return self._read(self._post("runs/create", body), RunFound).run

    def _experiment_id(self) -> str:
        if self._experiment is None:
            self._experiment = self._named_experiment() or self._made_experiment()
        return self._experiment

    def _named_experiment(self) -> str | None:
        found = self._get("experiments/get-by-name", ExperimentFound, experiment_name=self._experiment_name)
        if found is not None and found.experiment.lifecycle_stage != "active":
            raise Unreachable(
                "is deleted", where=self.target, hint="restore it, or name another in tracking_config.mlflow.experiment"
            )
        return found.experiment.experiment_id if found is not None else None

    def _made_experiment(self) -> str:
        answer = self._request("POST", "experiments/create", json={"name": self._experiment_name})
        if not answer.is_success and _fault(answer).error_code == _EXISTS:
            return self._named_experiment() or ""  # another loop has made it in the meantime
        return self._read(self._successful(answer), ExperimentMade).experiment_id

    def _log(self, run_id: str, run: RunView, points: list[JsonValue]) -> None:
        score: list[JsonValue] = [
            {"key": key, "value": value, "timestamp": run.ended_ms, "step": run.score_step}
            for key, value in named(run.score.items()).items()
        ]
        for some in slices([*score, *points], _METRICS_A_CALL):
            self._post("runs/log-batch", {"run_id": run_id, "metrics": list(some)})
        for some in slices(_pairs(_params(run)), _OTHERS_A_CALL):
            self._post("runs/log-batch", {"run_id": run_id, "params": list(some)})
        tags = {"mlflow.note.content": run.note, "mlflow.source.name": f"02_train_{run.version_id}.py", **run.tags}
        cut = {key: value[:_MOST_TAG] for key, value in tags.items()}
        self._post("runs/log-batch", {"run_id": run_id, "tags": _pairs(cut)})

    def _send_files(
        self, tree: Tree, run: RunView, info: RunInfo, there: dict[str, str], remember: Remember
    ) -> tuple[str, ...]:
        folder = self._artifact_folder(info.artifact_uri)
        if folder is None:
            place = {"progressive_training.artifacts": str(tree.path(f"{ARTIFACTS}/{run.version_id}"))}
            self._post("runs/log-batch", {"run_id": info.run_id, "tags": _pairs(place)})
            return (f"{self._address} takes no files: the tag progressive_training.artifacts says where they are",)
        notes: list[str] = []
        for file in run.files:
            if there.get(file.name) == file.sha256:
                continue
            if not self._put(tree, file, f"{folder}/{quote(file.name)}"):
                notes.append(f"{self._address} refuses files as large as {run.version_id}'s {file.name}")
            there[file.name] = file.sha256
            remember(info.run_id, there)
        return tuple(notes)

    def _artifact_folder(self, uri: str) -> str | None:
        """Where this server takes a run's files; None if it leaves that to its clients. No other host gets any."""
        parts, proxy = urlsplit(uri), f"{self._address}/api/2.0/mlflow-artifacts/artifacts"
        if parts.scheme == "mlflow-artifacts" and parts.netloc in ("", urlsplit(self._address).netloc):
            return f"{proxy}/{quote(parts.path.strip('/'))}"
        return uri.rstrip("/") if uri.startswith(f"{proxy}/") else None

    def _put(self, tree: Tree, file: File, url: str) -> bool:
        """False if the server, or a proxy before it, finds the file too large."""
        with tree.opened(file.source) as handle, os.fdopen(os.dup(handle), "rb") as stream:
            headers = {"Content-Length": str(os.fstat(handle).st_size), "Content-Type": "application/octet-stream"}
            content = iter(lambda: stream.read(_CHUNK_BYTES), b"")
            answer = self._sent(self._client.build_request("PUT", url, content=content, headers=headers))
        if answer.status_code != 413:
            self._successful(answer)
        return answer.is_success

    def _post(self, call: str, body: Mapping[str, JsonValue]) -> httpx2.Response:
        return self._successful(self._request("POST", call, json=body))

    def _get(self, call: str, kind: type[A], **params: str) -> A | None:
        """None for what the server doesn't have."""
        answer = self._request("GET", call, params=params)
        if not answer.is_success and _fault(answer).error_code == _ABSENT:
            return None
        return self._read(self._successful(answer), kind)

    def _request(
        self,
        method: str,
        call: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, JsonValue] | None = None,
    ) -> httpx2.Response:
        address = f"{self._address}/api/2.0/mlflow/{call}"
        return self._sent(self._client.build_request(method, address, params=params, json=json))

    def _sent(self, request: httpx2.Request) -> httpx2.Response:
        try:
            answer = self._client.send(request)
        except httpx2.HTTPError as error:
            told = str(error) or type(error).__name__
            hint = "see that the server runs and tracking_config.mlflow.tracking_uri is right"
            raise Unreachable(f"can't be reached ({told})", where=self._address, hint=hint) from error
        if answer.status_code in (401, 403):
            hint = "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD, where the loop runs"
            raise Unreachable(f"refuses us ({answer.status_code})", where=self._address, hint=hint)
        if answer.is_redirect or answer.status_code == 429 or answer.is_server_error:
            raise Unreachable(f"answered with {answer.status_code}", where=self._address, hint="see its log")
        return answer

    def _successful(self, answer: httpx2.Response) -> httpx2.Response:
        if not answer.is_success:
            told = _fault(answer)
            raise LoopError(f"{told.error_code}: {told.message[:300]}", where=f"{answer.url.path} of {self._address}")
        return answer

    def _read(self, answer: httpx2.Response, kind: type[A]) -> A:
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError as error:
            hint = "tracking_config.mlflow.tracking_uri is where `mlflow server` listens"
            raise Unreachable("does not answer as an MLflow server", where=self._address, hint=hint) from error


def _fault(answer: httpx2.Response) -> Fault:
    try:
        return Fault.model_validate_json(answer.content)
    except ValidationError:
        return Fault(error_code=f"HTTP {answer.status_code}", message=answer.text[:200])


def _keeps(found: Run, run: RunView) -> bool:
    """Whether every parameter that the run has is one that it shall have."""
    return {pair.key: pair.value for pair in found.data.params}.items() <= _params(run).items()


def _params(run: RunView) -> dict[str, str]:
    return {key: str(value)[:_MOST_PARAM] for key, value in named(run.params.items()).items()}


def _pairs(values: Mapping[str, str]) -> list[JsonValue]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _points(run: RunView) -> Iterator[JsonValue]:
    """The same points have the same times each time, so that a store that has them already takes them for the same."""
    for key, points in named((curve.name, curve.points) for curve in run.curves).items():
        for place, (epoch, value) in enumerate(points):
            at = run.epoch_ms(place, len(points))
            yield {"key": key, "value": value, "timestamp": at, "step": epoch}
