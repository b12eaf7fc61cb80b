"""A loop server in memory, at the seam that the offline agent uses; only the training is the test's own function.

It keeps the real one's promises as far as the agent can see them: the order of the Steps, one diff against the current
script, symbols within the action's `where`, the user's fixed values. It writes no file.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp import MCPError
from mcp.types import CallToolResult, ReadResourceResult, TextContent, TextResourceContents

from progressive_training.loop.author.guard import check_action
from progressive_training.loop.author.patch import apply_patch, parse_diff
from progressive_training.loop.errors import DocumentError, LoopError
from progressive_training.loop.script.changes import changed_symbols
from progressive_training.loop.script.fixed import Fixed, clashes
from progressive_training.loop.script.source import Script


@dataclass(frozen=True)
class Trained:
    """What training and scoring a script gives; `failure` is why it failed, and then there is no score."""

    score: float | None
    train_loss: Sequence[float] = ()
    val_loss: Sequence[float] = ()
    failure: str | None = None
    unscorable: str | None = None
    """Why each of its evaluations fails."""


@dataclass
class _Version:
    script: str
    result: Trained | None = None
    scored: bool = False
    analysis: dict[str, Any] | None = None
    action: dict[str, Any] | None = None
    repairs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class FakeLoop:
    """`train(version, script)` is asked for each training; each run says `running` once before it is done."""

    def __init__(
        self,
        baseline: str,
        train: Callable[[int, str], Trained],
        *,
        max_versions: int = 4,
        fixed: Sequence[Fixed] = (),
        metric: str = "accuracy",
        higher_is_better: bool = True,
        refuse_action: Callable[[dict[str, Any]], str | None] = lambda _: None,
    ) -> None:
        self.versions: list[_Version] = []
        self.report: dict[str, Any] | None = None
        self.calls: list[str] = []
        self._baseline = baseline
        self._train = train
        self._max_versions = max_versions
        self._fixed = tuple(fixed)
        self._metric = metric
        self._higher_is_better = higher_is_better
        self._refuse_action = refuse_action
        self._polled: set[tuple[str, int]] = set()

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None) -> CallToolResult:
        self.calls.append(name)
        given = dict(arguments or {})
        try:
            answer = self._call(name, given)
        except LoopError as error:
            refused = {"error": {"code": error.code, "what": error.what, "next": error.hint}}
            text = TextContent(type="text", text=str(error))
            return CallToolResult(content=[text], structured_content=refused, is_error=True)
        return CallToolResult(content=[], structured_content=answer)

    async def read_resource(self, uri: str) -> ReadResourceResult:
        parts = uri.removeprefix("loop://").split("/")
        if parts == ["status"]:
            text = json.dumps(self._status())
        elif parts[2] == "script":
            text = self.versions[int(parts[1]) - 1].script
        else:
            result = self.versions[int(parts[1]) - 1].result
            if result is None or not (result.train_loss or result.val_loss):
                raise MCPError(-32002, "there is no metrics.csv yet")
            epochs = list(range(max(len(result.train_loss), len(result.val_loss))))
            curves = {"epochs": epochs, "train_loss": list(result.train_loss), "val_loss": list(result.val_loss)}
            text = json.dumps(curves)
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, text=text)])

    def _call(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        phase, legal = self._next()
        if name == "next_step":
            failed = self.versions[-1].result if phase == "repair" else None
            return {"phase": phase, "next": legal, "failure": failed and failed.failure and _failure(failed.failure)}
        early = name == "final_report" and "stop_reason" in given
        if legal is None or (name != legal["tool"] and not early):
            raise LoopError(f"{name} is not possible now: phase {phase}", hint=f"call {legal}")
        wait = given.pop("wait_seconds", 0)
        if name in ("run_train", "run_eval", "final_report"):
            assert wait <= 50, "a client gives up after 60 seconds"
            key = (f"{name}{len(self.versions[-1].repairs)}", len(self.versions))
            if key not in self._polled:
                self._polled.add(key)
                return {"state": "running", "next": {"tool": name, "arguments": given}}
        return getattr(self, f"_{name}")(**given)

    def _next(self) -> tuple[str, dict[str, Any] | None]:
        if self.report is not None:
            return "done", None
        if not self.versions:
            return "start", _call("start_loop", None)
        number, last = len(self.versions), self.versions[-1]
        if last.result is None:
            return "train", _call("run_train", number)
        if last.result.failure:
            return "repair", _call("repair_version", number, f"attempt 1 failed ({last.result.failure})")
        if not last.scored:
            return "evaluate", _call("run_eval", number)
        if last.analysis is None:
            return "analysis", _call("write_analysis", number)
        if last.action is None:
            return "action", _call("write_action", number)
        if number >= self._max_versions:
            return "report", _call("final_report", None)
        return "author", _call("author_next_version", number)

    def _start_loop(self) -> dict[str, Any]:
        self.versions.append(_Version(self._baseline))
        return {"state": "done"}

    def _run_train(self, version: int) -> dict[str, Any]:
        own = self.versions[version - 1]
        own.result = self._train(version, own.script)
        if own.result.failure is None:
            return {"state": "done"}
        return {"state": "failed", "message": own.result.failure, "failure": _failure(own.result.failure)}

    def _run_eval(self, version: int) -> dict[str, Any]:
        own = self.versions[version - 1]
        if own.result is not None and (why := own.result.unscorable):
            return {"state": "failed", "message": why, "failure": _failure(why)}
        own.scored = True
        return {"state": "done"}

    def _repair_version(self, version: int, diff: str, root_cause: str, change_summary: str) -> dict[str, Any]:
        own = self.versions[version - 1]
        own.script = self._patched(own.script, diff)
        own.repairs.append({"root_cause": root_cause, "change_summary": change_summary})
        own.result = None
        return {}

    def _write_analysis(self, version: int, **parts: Any) -> dict[str, Any]:
        assert set(parts) == {"summary", "evidence", "hypotheses", "next_focus_candidates"}
        assert all(parts.values()), "every part says something"
        self.versions[version - 1].analysis = parts
        return {}

    def _write_action(self, version: int, **parts: Any) -> dict[str, Any]:
        if refusal := self._refuse_action(parts):
            raise DocumentError(refusal)
        own = self.versions[version - 1]
        known = {symbol.name for symbol in Script.parse(own.script, "script").symbols}
        assert set(parts["where"]) <= known, "where names symbols of the script"
        assert parts["where"], "and at least one"
        own.action = parts
        return {}

    def _author_next_version(self, version: int, diff: str) -> dict[str, Any]:
        own = self.versions[version - 1]
        assert own.action is not None
        text = self._patched(own.script, diff)
        check_action(
            changed_symbols(Script.parse(own.script, "old"), Script.parse(text, "new")), own.action["where"], "new"
        )
        self.versions.append(_Version(f"# v{version + 1:03d}: one action away from v{version:03d}\n{text}"))
        return {}

    def _final_report(self, analysis: str | None = None, stop_reason: str | None = None) -> dict[str, Any]:
        self.report = {"analysis": analysis, "stop_reason": stop_reason}
        return {"state": "done"}

    def _patched(self, text: str, diff: str) -> str:
        (patch,) = parse_diff(diff)
        new = apply_patch(text, patch, name="script").text
        if found := clashes(Script.parse(new, "script"), self._fixed):
            raise LoopError(str(found[0]))
        return new

    def _status(self) -> dict[str, Any]:
        phase, legal = self._next()
        return {
            "project": "/projects/fake",
            "phase": phase,
            "version": len(self.versions),
            "max_versions": self._max_versions,
            "dataset_id": "v1",
            "primary_metric": self._metric,
            "rules_changed": None,
            "report": None,
            "fixed": [{"rule": one.rule, "name": one.name, "value": one.value} for one in self._fixed],
            "versions": [self._row(number, one) for number, one in enumerate(self.versions, 1)],
            "next": legal,
        }

    def _row(self, number: int, one: _Version) -> dict[str, Any]:
        score = one.result.score if one.scored and one.result else None
        metric = {"name": self._metric, "value": score, "higher_is_better": self._higher_is_better}
        keys = ("goal", "change", "where")
        return {
            "version": number,
            "version_id": f"v{number:03d}",
            "metrics": [] if score is None else [metric],
            "latency_ms": None,
            "attempts": 1,
            "symbols": [],
            "gain": None,
            "action": None if one.action is None else {key: one.action[key] for key in keys},
            "status": "scored" if one.scored else "authored",
        }


def _failure(kind: str) -> dict[str, str]:
    return {"kind": kind, "summary": f"it failed by: {kind}"}


def _call(tool: str, version: int | None, why: str = "it is next") -> dict[str, Any]:
    return {"tool": tool, "arguments": {} if version is None else {"version": version}, "why": why}
