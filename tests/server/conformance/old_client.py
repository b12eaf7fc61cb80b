"""A client of the old SDK (`mcp` 1.x, in a Python of its own) drives a whole loop.

old_client.py COMMAND… -- PROJECT, where the command starts the server over stdio.
It must import nothing of ours. Prints the report's best version.
"""

# Types are those of another release than the checker sees.
# pyright: basic, reportAttributeAccessIssue=false, reportCallIssue=false

import asyncio
import difflib
import json
import sys
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

WORDS = {
    "write_analysis": {
        "summary": "The threshold is far from where the positives begin.",
        "evidence": "Samples just above 0.5 are called negative.",
        "hypotheses": ["The learning rate is too low."],
        "next_focus_candidates": ["learning rate"],
    },
    "write_action": {
        "goal": "Come closer to 0.5 in three epochs",
        "change": "LEARNING_RATE from 0.2 to 0.5",
        "where": ["LEARNING_RATE"],
        "expected_impact": "accuracy rises",
        "risk": "it may overshoot",
        "verification": "val_loss falls in every epoch",
    },
}


def diff(project, version):
    name = f"02_train_v{version:03d}.py"
    old = (project / name).read_text(encoding="utf-8")
    new = old.replace("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5")
    return "".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{name}", f"b/{name}"))


async def drive(command, project):
    """Does what `next` says, until nothing is next."""
    server = StdioServerParameters(command=command[0], args=command[1:])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        greeting = await session.initialize()
        assert "read_rules" in (greeting.instructions or "")
        assert len((await session.list_tools()).tools) == 13
        assert (await session.get_prompt("next")).messages
        result = await call(session, "read_rules", {})
        best = None
        while result.get("next"):
            tool, arguments = result["next"]["tool"], dict(result["next"]["arguments"])
            arguments |= WORDS.get(tool, {})
            if tool in ("run_train", "run_eval", "final_report"):
                arguments["wait_seconds"] = 45
            if tool == "final_report" and best:
                arguments["analysis"] = "The higher rate came closer."
            if tool == "author_next_version":
                arguments["diff"] = diff(project, arguments["version"])
            result = await call(session, tool, arguments)
            best = result.get("best") or best
        status = json.loads((await session.read_resource("loop://status")).contents[0].text)
        assert status["phase"] == "done", status
        return best


async def call(session, tool, arguments):
    result = await session.call_tool(tool, arguments)
    assert not result.isError, f"{tool}: {result.content[0].text}"
    return result.structuredContent


if __name__ == "__main__":
    end = sys.argv.index("--")
    print(asyncio.run(drive(sys.argv[1:end], Path(sys.argv[end + 1]))))
