"""Drives the whole loop without a key: ask what is next, do that Step, until there is nothing left to do."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from ...loop.author.patch import unified_diff
from ...loop.errors import DocumentError, RuleViolation
from ...loop.project.receipts import INFRASTRUCTURE
from ...loop.report.status import Status
from ...loop.script.source import Script
from ...loop.store.paths import version_id
from ..base import AgentStopped, Event, NextCall, ToolClient
from . import documents, optimisation
from .case import case_of, scores_of
from .diagnosis import diagnose
from .loop_client import Loop, ToolRefused
from .playbook import Move, Past, moves

# The server takes no such action; any other refusal would meet the next one as well.
_OF_THE_ACTION = frozenset[str]({DocumentError.default_code, RuleViolation.default_code})
_MAX_REPEATS = 5  # how often one Step may come up for one version before a person should look
_CANDIDATES = 3


@dataclass(frozen=True)
class Report:
    """What became of the loop; `best` is a version_id, None where no version has the primary metric."""

    versions: int
    best: str | None
    primary_metric: str
    score: float | None
    stop_reason: str | None
    events: tuple[Event, ...]


async def drive(
    client: ToolClient, *, on_event: Callable[[Event], None] | None = None, last_version: int | None = None
) -> Report:
    """Runs the loop to its report. It may be called at any point of a loop: it goes on where that stands.

    `last_version` ends the loop after that version, where the rules would let it go on.

    Raises: AgentStopped when a person has to look; what is finished by then is kept by the server.
    """
    return await _Driver(Loop(client), on_event, last_version).run()


class _Driver:
    def __init__(self, loop: Loop, on_event: Callable[[Event], None] | None, last_version: int | None) -> None:
        self._loop = loop
        self._on_event = on_event
        self._last_version = last_version
        self._events: list[Event] = []
        self._stop_reason: str | None = None
        self._failed_by: str | None = None
        self._failed_before: tuple[str, int | None, str] | None = (
            None  # Step, version and kind, with nothing changed since
        )
        self._steps: dict[str, Callable[[NextCall], Awaitable[str]]] = {
            "start_loop": self._start,
            "run_train": self._run,
            "run_eval": self._run,
            "repair_version": self._repair,
            "write_analysis": self._analyse,
            "write_action": self._act,
            "author_next_version": self._author,
            "final_report": self._report,
        }

    async def run(self) -> Report:
        seen: dict[tuple[str, int | None], int] = {}
        while (situation := await self._loop.next_step()).phase != "done":
            call = situation.next
            self._failed_by = situation.failure.kind if situation.failure else None
            if call is None or call.tool not in self._steps:
                wanted = call.tool if call else f"nothing in phase {situation.phase}"
                raise AgentStopped(
                    f"the loop asks for {wanted}, which the offline agent can't do",
                    hint="do that step by hand or with a model, then start the agent again",
                )
            key = (call.tool, call.version)
            seen[key] = seen.get(key, 0) + 1
            if seen[key] > _MAX_REPEATS:
                raise AgentStopped(
                    f"{call.tool} was asked for {_MAX_REPEATS} times without getting on: {call.why}",
                    where=_label(call.version),
                    hint="read that version's attempts and log, correct the cause, then start the agent again",
                )
            try:
                text = await self._steps[call.tool](call)
            except ToolRefused as refused:
                raise AgentStopped(
                    refused.what, where=f"{call.tool} {_label(call.version)}", hint=_BY_HAND
                ) from refused
            self._tell(call, text)
        return await self._finished()

    def _tell(self, call: NextCall, text: str) -> None:
        event = Event(call.tool, call.version, text)
        self._events.append(event)
        if self._on_event is not None:
            self._on_event(event)

    async def _finished(self) -> Report:
        status = await self._loop.status()
        scores = scores_of(status, status.version)
        best = scores.best
        return Report(
            versions=len(status.versions),
            best=None if best is None else status.versions[best].version_id,
            primary_metric=status.primary_metric,
            score=None if best is None else scores.values[best],
            stop_reason=self._stop_reason,
            events=tuple(self._events),
        )

    async def _start(self, call: NextCall) -> str:
        run = await self._loop.finish("start_loop", call.arguments)
        if run.state == "failed":  # a rehearsal that was cut off; the loop goes on without
            return f"the loop is started; {run.message or 'its rehearsal failed'}"
        return "the loop is started"

    async def _run(self, call: NextCall) -> str:
        run = await self._loop.finish(call.tool, {"version": _version(call)})
        if run.failure is not None and run.failure.kind == "cancelled":
            raise AgentStopped("was cancelled", where=f"{call.tool} {_label(call.version)}", hint=_GO_ON)
        if run.state == "done":
            self._failed_before = None
            return run.state
        said = run.message or "the server gave no reason"
        kind = run.failure.kind if run.failure is not None else ""
        failed = (call.tool, call.version, kind)
        if failed == self._failed_before and kind not in INFRASTRUCTURE:
            return await self._give_up(f"{_label(call.version)} failed twice in the same way. {said}")
        self._failed_before = failed
        return f"failed: {said}"

    async def _repair(self, call: NextCall) -> str:
        """A diverged training gets a tenth of its learning rate; anything else needs a person or a model."""
        version = _version(call)
        text = await self._loop.script(version)
        status = await self._loop.status()
        script = Script.parse(text, _file(version))
        found = diagnose(await self._loop.curves(version), scores_of(status, version))
        if self._failed_by != "diverged" and found.verdict != "diverged":
            return await self._give_up(f"{_label(version)} failed, and not by diverging: {call.why}")
        past = Past((text,))
        lower = [
            move
            for move in moves(past, "diverged", status.fixed)
            if move.new_text in {draft.text for draft in optimisation.learning_rate(script, 0.1)}
        ]
        if not lower:
            return await self._give_up(f"{_label(version)} diverged, and its learning rate is fixed or can't be found")
        arguments: dict[str, JsonValue] = {
            "version": version,
            "diff": unified_diff(text, lower[0].new_text, name=_file(version)),
            "root_cause": f"The steps were too large. {found.evidence[0]}" if found.evidence else "The loss diverged.",
            "change_summary": lower[0].change,
        }
        await self._loop.call("repair_version", arguments)
        self._failed_before = None
        return lower[0].change

    async def _analyse(self, call: NextCall) -> str:
        case = await case_of(self._loop, _version(call))
        text = documents.analysis(case.status, _version(call), case.scores, case.diagnosis, case.moves()[:_CANDIDATES])
        await self._loop.call("write_analysis", _analysis(_version(call), text))
        return f"{case.diagnosis.verdict}: {text.summary}"

    async def _act(self, call: NextCall) -> str:
        """Writes down the first move that the server takes; none left ends the loop."""
        case = await case_of(self._loop, _version(call))
        candidates = case.moves()
        refusals: list[str] = []
        for index, move in enumerate(candidates[:_MAX_REPEATS]):
            later = candidates[index + 1 : index + 1 + _CANDIDATES]
            try:
                await self._loop.call("write_action", _action(_version(call), move, later))
            except ToolRefused as refused:
                if refused.refusal.code not in _OF_THE_ACTION:
                    raise
                refusals.append(refused.what)
                continue
            return move.change
        reason = (
            f"Every proposed action was refused: {refusals[0]}" if refusals else documents.stop_reason(case.diagnosis)
        )
        return await self._give_up(reason)

    async def _author(self, call: NextCall) -> str:
        """Makes the move that the selected action names; an action of another author can't be carried out here."""
        version = _version(call)
        if self._last_version is not None and version >= self._last_version:
            return await self._give_up(f"It was asked to stop after {_label(version)}.")
        case = await case_of(self._loop, version)
        selected = next((one.action for one in case.status.versions if one.version == version), None)
        move = next((one for one in case.moves() if selected and one.change.strip() == selected.change.strip()), None)
        if move is None:
            what = f"the selected action is not one of the offline playbook: {selected.change if selected else 'none'}"
            raise AgentStopped(what, where=_label(version), hint="author that version by hand or with a model")
        diff = unified_diff(case.past.scripts[-1], move.new_text, name=_file(version))
        await self._loop.call("author_next_version", {"version": version, "diff": diff})
        return f"{_label(version + 1)}: {move.change}"

    async def _report(self, call: NextCall) -> str:
        status = await self._loop.status()
        self._require_score(status, call.why)
        await self._finish_report({**call.arguments, "analysis": documents.final_analysis(status)})
        return "the report is written"

    async def _give_up(self, reason: str) -> str:
        """Ends the loop early with a report; the reason stands in it. Raises `AgentStopped` where that had no row."""
        status = await self._loop.status()
        self._require_score(status, reason)
        self._stop_reason = reason
        await self._finish_report({"analysis": documents.final_analysis(status), "stop_reason": reason})
        return f"stopped: {reason}"

    def _require_score(self, status: Status, reason: str) -> None:
        """An ended loop can't be mended: one without any score is left where it is."""
        if not any(one.metrics for one in status.versions):
            raise AgentStopped(f"no version is scored. {reason}", hint=_BY_HAND)

    async def _finish_report(self, arguments: dict[str, JsonValue]) -> None:
        run = await self._loop.finish("final_report", arguments)
        if run.state == "failed":
            raise AgentStopped(run.message or "the report failed", where="final_report", hint=_BY_HAND)


_GO_ON = "start the agent again when the loop is to go on"
_BY_HAND = "do that step by hand or with a model, then start the agent again"


def _analysis(version: int, text: documents.AnalysisText) -> dict[str, JsonValue]:
    return {
        "version": version,
        "summary": text.summary,
        "evidence": text.evidence,
        "hypotheses": list(text.hypotheses),
        "next_focus_candidates": list(text.next_focus_candidates),
    }


def _action(version: int, move: Move, later: Sequence[Move]) -> dict[str, JsonValue]:
    return {
        "version": version,
        "goal": move.goal,
        "change": move.change,
        "where": list(move.where),
        "expected_impact": move.expected_impact,
        "risk": move.risk,
        "verification": move.verification,
        "deferred": [one.change for one in later],
    }


def _version(call: NextCall) -> int:
    if call.version is None:
        raise AgentStopped(
            f"the server asks for {call.tool} without a version", hint="use agent and server of one release"
        )
    return call.version


def _file(version: int) -> str:
    return f"02_train_{_label(version)}.py"


def _label(version: int | None) -> str:
    return "" if version is None else version_id(version)
