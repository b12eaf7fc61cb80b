"""The briefs as MCP prompts, for a person who drives the loop by hand, and completions for whatever names a version."""

from typing import Annotated, Any

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp_types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference
from pydantic import Field

from ...loop.errors import LoopError
from ...loop.project.project import Project
from ...loop.project.state import LoopState, Phase, derive, next_call
from ...loop.project.version import Version
from ...loop.rules.reading import Rules
from ...prompts import PHASES

_SAME: dict[Phase, str] = {"rehearsing": "start", "training": "train", "evaluating": "evaluate", "stuck": "report"}
_Reference = PromptReference | ResourceTemplateReference
_MOST_COMPLETIONS = 100  # what the protocol allows


def add_prompts(server: MCPServer[Any], project: Project) -> None:
    """One prompt a Step, `next`, which is always the right one, and `review` of any version."""
    for phase in ("next", *PHASES):
        server.add_prompt(_prompt(project, phase))
    server.add_prompt(_review(project))

    @server.completion()
    async def _complete(
        ref: _Reference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        if argument.name != "version":
            return None
        return await anyio.to_thread.run_sync(_versions, project, argument.value.strip())


def _prompt(project: Project, phase: str) -> Prompt:
    def text() -> str:
        try:
            rules = project.rules()
            state = derive(project, rules)
            if phase in ("next", _SAME.get(state.phase, state.phase)):
                return _written(project, rules, state)
        except LoopError as error:
            return str(error)
        return f"The loop is not at this step (phase: {state.phase}). {next_call(state)}"

    about = "What to do now, with the evidence" if phase == "next" else f"The brief of the Step: {phase}"
    # Not from_function, which compiles a model of the arguments: there are none.
    return Prompt(name=phase, title=None, description=about, arguments=[], context_kwarg=None, fn=text)


def _review(project: Project) -> Prompt:
    def text(version: Annotated[str, Field(description="its number, e.g. 2")]) -> str:
        known = project.versions()
        if not version.isascii() or not version.isdigit() or int(version) not in known:
            there = f"there are {', '.join(map(str, known))}" if known else "there are none yet"
            return f"There is no version {version!r}; {there}."
        try:
            return _written(project, project.rules(), int(version))
        except LoopError as error:
            return str(error)

    about = "Judge one version: its change, its scores beside its parent's, its curves"
    return Prompt.from_function(text, name="review", description=about)


def _written(project: Project, rules: Rules, about: LoopState | int) -> str:
    """The brief for where the loop stands, or the review of a version."""
    from ...prompts.briefs import brief, review  # they quote from most of the loop, which the start must not import

    return review(Version(project, about), rules) if isinstance(about, int) else brief(project, rules, about)


def _versions(project: Project, begun: str) -> Completion:
    """The numbers of the versions that begin so, the newest first."""
    found = [str(cur) for cur in reversed(project.versions()) if str(cur).startswith(begun)]
    return Completion(values=found[:_MOST_COMPLETIONS], total=len(found), has_more=len(found) > _MOST_COMPLETIONS)
