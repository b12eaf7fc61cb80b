"""What Ray's answers, and those of others at its address, come to; a real Ray is asked in test_ray.py."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.errors import RunError
from progressive_training.loop.jobs.cluster import submission
from progressive_training.loop.jobs.cluster.ray import Ray
from progressive_training.loop.jobs.job import Placement
from progressive_training.loop.jobs.runner import attempt_files as files
from support.jobs import job

SECRET = "s3cret-of-this-test"
Answer = tuple[int, str] | None


class Head:
    """Answers as it is told to; None closes the connection without a word. `seen` are the requests, with headers."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.answer: Callable[[str, str], Answer] = lambda method, path: self.usual(path)
        self.location = ""
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def usual(self, path: str) -> Answer:
        if path == "/api/jobs/":
            return 200, json.dumps(self.jobs)
        if path.startswith("/api/v0/nodes"):
            node = {"state": "ALIVE", "resources_total": {"CPU": 8.0, "memory": 2.0**34}}
            return 200, json.dumps({"data": {"result": {"result": [node, {**node, "state": "DEAD"}]}}})
        found = [one for one in self.jobs if path.split("/")[3] == one["submission_id"]]
        return (200, json.dumps(found[0])) if found else (404, "Job does not exist")

    def asked(self, path: str = "/api/jobs/") -> int:
        return sum(one[:2] == ("GET", path) for one in self.seen)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        head = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                head.seen.append((self.command, self.path, dict(self.headers.items())))
                answer = head.answer(self.command, self.path)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer[0])
                if head.location:
                    self.send_header("Location", head.location)
                body = answer[1].encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        return Handler


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Head]:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_JOB_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    running = Head()
    yield running
    running.close()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """As BatchExecutor leaves it."""
    (tmp_path / files.JOB).write_text(job(tmp_path, "pass").to_json())
    return submission.write_script(tmp_path, "", Placement("ray"))


def details(status: str, **more: Any) -> dict[str, Any]:
    return {"type": "SUBMISSION", "submission_id": "v001-train", "status": status, "message": None, **more}


# Tokens


def sent(head: Head) -> str | None:
    Ray(head.address).look("any")
    return {name.lower(): value for name, value in head.seen[-1][2].items()}.get("authorization")


def test_the_token_is_found_where_ray_itself_looks_for_it(
    head: Head, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert sent(head) is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("of the home folder\n")
    assert sent(head) == "Bearer of the home folder"
    (tmp_path / "token").write_text("of a file\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert sent(head) == "Bearer of a file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the environment")
    assert sent(head) == "Bearer of the environment"
    monkeypatch.setenv("RAY_JOB_HEADERS", '{"AUTHORIZATION": "Basic mine", "X-Proxy": "too"}')
    assert sent(head) == "Basic mine"
    assert head.seen[-1][2]["X-Proxy"] == "too"
    monkeypatch.delenv("RAY_JOB_HEADERS")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert sent(head) is None


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("RAY_JOB_HEADERS", f"X-Key: {SECRET}", "RAY_JOB_HEADERS is not a JSON object of texts"),
        ("RAY_JOB_HEADERS", f'["{SECRET}"]', "RAY_JOB_HEADERS is not a JSON object of texts"),
        ("RAY_JOB_HEADERS", f'{{"X-Key": "{SECRET}\\r\\nHost: other"}}', "holds what no header can carry"),
        ("RAY_AUTH_TOKEN", f"{SECRET}한글", "holds what no header can carry"),
        ("RAY_AUTH_TOKEN", f"{SECRET}\nX: y", "holds what no header can carry"),
        ("RAY_AUTH_TOKEN_PATH", "/no/such/file", "names a file that doesn't exist"),
    ],
)
def test_what_can_be_no_header_is_refused_without_being_shown(
    head: Head, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(RunError, match=told) as refused:
        Ray(head.address).look("any")
    assert SECRET not in f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
    assert head.seen == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_the_variables_and_quotes_no_secret(
    head: Head, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    head.answer = lambda method, path: (status, f"you said {SECRET}")
    with pytest.raises(RunError) as refused:
        Ray(head.address).look("any")
    told = str(refused.value)
    assert f"Ray refuses us ({status}): the token is not the cluster's" in told
    assert "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH" in told and "jobs there go on" in told
    assert SECRET not in told


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed_so_that_the_token_stays_here(
    head: Head, monkeypatch: pytest.MonkeyPatch, status: int, script: Path
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    other = Head()
    head.location = f"{other.address}/login?from={SECRET}"
    head.answer = lambda method, path: (status, "")
    for ask in (lambda: Ray(head.address).look("any"), lambda: Ray(head.address).submit("a", script, Placement("ray"))):
        with pytest.raises(RunError, match=r"sends us on to 127\.0\.0\.1:") as refused:
            ask()
        assert SECRET not in str(refused.value)
    other.close()
    assert other.seen == []


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert Ray(head.address).look("any") is None
    with pytest.raises(RunError, match="can't be reached"):  # a proxy that isn't there
        Ray("http://ray.invalid:8265").look("any")


@pytest.mark.parametrize(
    ("variable", "value"), [("SSL_CERT_FILE", "/no/such/file"), ("ALL_PROXY", f"gopher://me:{SECRET}@proxy.invalid")]
)
def test_a_proxy_or_certificate_that_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(RunError, match=r"can't be used \(\w+Error\)\nNext: correct SSL_CERT_FILE") as refused:
        Ray("https://ray.invalid:8265").look("any")
    assert SECRET not in str(refused.value)


# Others than Ray


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, "<html>Welcome to the proxy</html>"), "does not answer as Ray's Jobs API"),
        ((200, '{"jobs": []}'), "does not answer as Ray's Jobs API"),
        ((404, "<html>not here</html>"), "does not answer as Ray's Jobs API"),
        ((405, "Method not allowed"), "answered 405: Method not allowed"),
        ((500, "Traceback (most recent call last):\n  x\nRpcError: no GCS\n.\n"), "answered 500: RpcError: no GCS"),
        ((502, '{"result": false, "msg": "head is restarting"}'), "answered 502: head is restarting"),
        ((503, ""), "answered 503: no word"),
        (None, "Ray can't be reached"),
    ],
)
def test_an_answer_that_is_not_rays_is_told_in_the_users_words(
    head: Head, script: Path, answer: Answer, told: str
) -> None:
    head.answer = lambda method, path: answer
    for ask in (lambda: Ray(head.address).look("any"), lambda: Ray(head.address).submit("a", script, Placement("ray"))):
        with pytest.raises(RunError, match=told) as refused:
            ask()
        assert "Next: " in str(refused.value)
        assert head.address in str(refused.value)


def test_an_address_where_nobody_is_says_that_jobs_go_on() -> None:
    with pytest.raises(RunError, match=r"Ray can't be reached .*\nNext: see that the cluster is up.*jobs there go on"):
        Ray("http://127.0.0.1:9").look("any")


def test_a_submission_whose_answer_got_lost_counts_if_ray_has_it(head: Head, script: Path) -> None:
    def answer(method: str, path: str) -> Answer:
        if method == "POST":
            head.jobs.append(details("PENDING"))
            return None
        return head.usual(path)

    head.answer = answer
    assert Ray(head.address).submit("v001-train", script, Placement("ray")) == "v001-train"
    head.answer = lambda method, path: None if method == "POST" else head.usual(path)
    with pytest.raises(RunError, match="can't be reached"):
        Ray(head.address).submit("never-taken", script, Placement("ray"))


# How often Ray is asked


def test_one_question_serves_all_jobs_and_is_asked_ever_less(head: Head) -> None:
    now = [0.0]
    scheduler = Ray(head.address, now=lambda: now[0])
    head.jobs = [details("RUNNING"), {**details("RUNNING"), "submission_id": "second"}]

    def looks(seconds: int) -> int:
        """How often it was asked within these seconds, in which both jobs are looked at twenty times a second."""
        before = head.asked()
        for _ in range(seconds * 20):
            now[0] += 0.05
            assert scheduler.look("v001-train") and scheduler.look("second")
        return head.asked() - before

    assert looks(60) <= 11
    assert looks(60) == 4  # every 15 s
    head.jobs[1]["status"] = "STOPPED"
    while (seen := scheduler.look("second")) is not None and seen.state == "running":
        looks(1)
    assert seen is not None and seen.ending == "cancelled"
    assert looks(3) >= 2  # news bring it back to a second
    looks(60)
    scheduler.cancel("v001-train")
    assert looks(1) >= 1


def test_an_ended_job_is_asked_about_no_more(head: Head) -> None:
    now = [0.0]
    scheduler = Ray(head.address, now=lambda: now[0])
    head.jobs = [details("STOPPED")]
    for _ in range(100):
        now[0] += 5.0
        assert scheduler.look("v001-train", fresh=True)
    assert head.asked() == 1


def test_whoever_waits_for_an_end_gets_fresh_answers_but_not_without_bound(head: Head) -> None:
    now = [0.0]
    scheduler = Ray(head.address, now=lambda: now[0])
    head.jobs = [details("RUNNING")]
    for _ in range(100):
        now[0] += 0.05
        scheduler.look("v001-train", fresh=True)
    assert 10 <= head.asked() <= 18


def test_a_cluster_that_is_away_is_asked_ever_less_and_found_again(head: Head) -> None:
    now = [0.0]
    scheduler = Ray(head.address, now=lambda: now[0])
    head.jobs = [details("RUNNING")]
    scheduler.look("v001-train")
    head.answer = lambda method, path: (503, "restarting")
    before = head.asked()
    for _ in range(1200):
        now[0] += 0.05
        try:
            scheduler.look("v001-train", fresh=True)
        except RunError as error:
            assert "answered 503" in str(error)
    assert head.asked() - before <= 12
    head.answer = lambda method, path: head.usual(path)
    now[0] += 15.0
    seen = scheduler.look("v001-train")
    assert seen is not None and seen.state == "running"


# Words

LONG = "Job entrypoint command failed with exit code 7, last available logs (truncated to 20,000 chars):\nfirst\nlast"
DIED = """Job supervisor actor died: The actor died unexpectedly before finishing this task.
\tclass_name: JobSupervisor
\tpid: 5
The actor is dead because {}"""


@pytest.mark.parametrize(
    ("told", "state", "ending", "word"),
    [
        (
            details("RUNNING", message="Job is currently running."),
            "running",
            None,
            "RUNNING: Job is currently running.",
        ),
        (details("SOMETHING_NEW"), "running", None, "SOMETHING_NEW"),
        (details("SUCCEEDED", driver_exit_code=0), "ended", "by itself", "SUCCEEDED"),
        (
            details("FAILED", message=LONG, driver_exit_code=7, error_type="JOB_ENTRYPOINT_COMMAND_ERROR"),
            *("ended", "by itself", "FAILED: Job entrypoint command failed with exit code 7"),
        ),
        (details("FAILED", driver_exit_code=-9), "ended", "by itself", "FAILED"),
        (details("STOPPED"), "ended", "cancelled", "STOPPED"),
        (
            details("FAILED", message="within 900.0 seconds", error_type="JOB_SUPERVISOR_ACTOR_START_TIMEOUT"),
            *("ended", "never started", "FAILED: within 900.0 seconds"),
        ),
        (details("FAILED", error_type="RUNTIME_ENV_SETUP_FAILURE"), "ended", "never started", "FAILED"),
    ],
)
def test_rays_states_in_the_loops_words(
    head: Head, told: dict[str, Any], state: str, ending: str | None, word: str
) -> None:
    head.jobs = [{**told, "end_time": 1_700_000_000_500}]
    seen = Ray(head.address).look("v001-train")
    assert seen is not None
    assert (seen.state, seen.ending, seen.word) == (state, ending, word)
    if state == "ended":
        assert (seen.exit_code, seen.ended_at) == (told.get("driver_exit_code"), 1_700_000_000.5)


@pytest.mark.parametrize(
    ("cause", "ending"),
    [
        ("its worker process has died. It may be SIGKILLed by OOM killer due to high memory usage.", "node failed"),
        ("its node has died.", "node failed"),
        ("1 worker(s) were killed due to the node running low on memory.", "out of memory"),
        ("the node was preempted.", "preempted"),
    ],
)
def test_a_job_whose_keeper_died_ends_when_its_grace_is_over(head: Head, cause: str, ending: str) -> None:
    now = [0.0]
    scheduler = Ray(head.address, now=lambda: now[0])
    died = {"message": DIED.format(cause), "error_type": "JOB_SUPERVISOR_ACTOR_DIED", "metadata": {"grace": "10"}}
    head.jobs = [details("FAILED", **died)]
    waited = 0
    while (seen := scheduler.look("v001-train")) is not None and seen.state == "running":
        now[0] += 1.0
        waited += 1
    assert waited == 13
    assert seen is not None
    assert seen.ending == ending
    assert seen.word.startswith("FAILED: Job supervisor actor died: The actor died unexpectedly before finishing")
    assert "class_name" not in seen.word and cause[:20] in seen.word


def test_a_waiting_job_says_what_ray_says_what_is_lacking_and_who_else_waits(head: Head) -> None:
    head.jobs = [
        details("PENDING", message="It may wait.", metadata={"cpus": "16", "gpus": "1", "memory": str(2**33)}),
        {**details("PENDING"), "submission_id": "another"},
        {"type": "DRIVER", "submission_id": None, "status": "RUNNING"},
    ]
    seen = Ray(head.address).look("v001-train")
    assert seen is not None and (seen.state, seen.waiting_for) == ("queued", "other_request")
    assert seen.word == (
        "PENDING: It may wait.; it asks for 16 CPU and no node has more than 8 CPU; "
        "it asks for 1 GPU and no node has more than 0 GPU; 1 other job waits too"
    )
    head.answer = lambda method, path: (404, "") if "nodes" in path else head.usual(path)
    seen = Ray(head.address).look("v001-train")
    assert seen is not None and seen.word == "PENDING: It may wait.; 1 other job waits too"
    assert seen.waiting_for == "resources"


def test_what_ray_does_not_know_is_nothing(head: Head) -> None:
    assert Ray(head.address).look("v001-train") is None
    assert Ray(head.address).find("v001-train") is None
    Ray(head.address).cancel("v001-train")
