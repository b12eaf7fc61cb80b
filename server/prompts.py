"""The briefs as MCP prompts, for a person who drives the loop by hand."""

from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts import Prompt

from ..loop.errors import LoopError
from ..loop.project import Project
from ..loop.state import Phase, derive, next_call
from ..prompts.briefs import PHASES, brief

_SAME: dict[Phase, str] = {"training": "train", "evaluating": "evaluate", "stuck": "report"}


def add_prompts(server: MCPServer[Any], project: Project) -> None:
    """One prompt a Step, and `next`, which is always the right one."""
    for phase in ("next", *PHASES):
        server.add_prompt(_prompt(project, phase))


def _prompt(project: Project, phase: str) -> Prompt:
    def text() -> str:
        try:
            rules = project.rules()
            state = derive(project, rules)
            if phase in ("next", _SAME.get(state.phase, state.phase)):
                return brief(project, rules, state)
        except LoopError as error:
            return str(error)
        return f"The loop is not at this step (phase: {state.phase}). {next_call(state)}"

    about = "What to do now, with the evidence" if phase == "next" else f"The brief of the Step: {phase}"
    return Prompt.from_function(text, name=phase, description=about)
