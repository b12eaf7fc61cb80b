"""The agent that needs no key: diagnosis of the curves -> one move of the playbook -> the loop's next Step."""

from .client import AgentStopped, ToolClient
from .driver import Event, Report, drive

__all__ = ["AgentStopped", "Event", "Report", "ToolClient", "drive"]
