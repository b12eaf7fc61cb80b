"""The loop as the driver sees it: typed calls over any connected MCP client, parsed at this edge and nowhere else."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import JsonValue, ValidationError

from ...loop.errors import LoopError
from ..base import WAIT_SECONDS, AgentStopped, NextCall, Refusal, ToolClient, Wire, refusal_of, text_of

if TYPE_CHECKING:
    pass


class ToolRefused(LoopError):
    """A tool answered with an error; its text says what to do instead, and `refusal.code` which error it is."""

    def __init__(self, text: str, refusal: Refusal, *, where: str) -> None:
        super().__init__(text, where=where)
        self.refusal = refusal


class Failure(Wire):
    """Why a training or an evaluation failed."""

    kind: str
    summary: str = ""


class Situation(Wire):
    phase: str
    next: NextCall | None = None
    failure: Failure | None = None


class RunState(Wire):
    """How a training, evaluation or report stands, also in the server's words."""

    state: Literal["running", "done", "failed"]
    message: str = ""
    failure: Failure | None = None


class FixedRule(Wire):
    rule: str
    name: str
    value: bool | int | float | str | None


class Metric(Wire):
    name: str
    value: float
    higher_is_better: bool


class Action(Wire):
    goal: str
    change: str
    where: tuple[str, ...] = ()


class VersionStatus(Wire):
    version: int
    version_id: str
    metrics: tuple[Metric, ...] = ()
    latency_ms: float | None = None
    action: Action | None = None

    def metric(self, name: str) -> Metric | None:
        return next((metric for metric in self.metrics if metric.name == name), None)


class Status(Wire):
    phase: str
    version: int
    max_versions: int
    primary_metric: str
    fixed: tuple[FixedRule, ...] = ()
    versions: tuple[VersionStatus, ...] = ()
    next: NextCall | None = None


class LossCurves(Wire):
    epochs: tuple[int, ...] = ()
    train_loss: tuple[float | None, ...] = ()
    val_loss: tuple[float | None, ...] = ()


_Model = TypeVar("_Model", bound=Wire)


class Loop:
    """The tools and resources as methods. Each raises `ToolRefused` with the server's text when it says no."""

    def __init__(self, client: ToolClient) -> None:
        self._client = client

    async def next_step(self) -> Situation:
        return _parse(Situation, await self.call("next_step", {}), "next_step")

    async def status(self) -> Status:
        return _parse(Status, await self._text("loop://status"), "loop://status")

    async def curves(self, version: int) -> LossCurves:
        """Empty where the version has none: a failed training's artifacts are wiped."""
        from mcp import MCPError

        uri = f"loop://versions/{version}/curves"
        try:
            return _parse(LossCurves, await self._text(uri), uri)
        except MCPError:
            return LossCurves()

    async def script(self, version: int) -> str:
        return await self._text(f"loop://versions/{version}/script")

    async def finish(self, tool: str, arguments: Mapping[str, JsonValue]) -> RunState:
        """Calls a tool that may take long, again and again, until it is done or failed."""
        while True:
            run = _parse(RunState, await self.call(tool, {**arguments, "wait_seconds": WAIT_SECONDS}), tool)
            if run.state != "running":
                return run

    async def call(self, tool: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """One call; its structured content."""
        result = await self._client.call_tool(tool, dict(arguments))
        if result.is_error:
            raise ToolRefused(text_of(result), refusal_of(result), where=tool)
        return result.structured_content

    async def _text(self, uri: str) -> str:
        result = await self._client.read_resource(uri)
        texts: Sequence[str | None] = [getattr(content, "text", None) for content in result.contents]
        return "".join(text for text in texts if text is not None)


def _parse(model: type[_Model], content: JsonValue, where: str) -> _Model:
    try:
        return model.model_validate_json(content) if isinstance(content, str) else model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise AgentStopped(
            f"the answer can't be read: {place or 'the whole'}: {first['msg']}",
            where=where,
            hint="use the agent and the server of one release",
        ) from error
