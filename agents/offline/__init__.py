"""The agent that needs no key: diagnosis of the curves -> one move of the playbook -> the loop's next Step."""

from ..base import AgentStopped, Event, ToolClient
from .driver import Report, drive

__all__ = ["AgentStopped", "Event", "Report", "ToolClient", "drive"]
