"""The agent that thinks with a model, whoever serves it: one driver, and a wire for each way of asking.

tools           the loop's tools, as a model is told of them and as they are called
model_messages  what the model is told beyond the server's own words
wire            what the driver wants of a wire; `agents/anthropic` and `agents/openai` are the two
budget          what a run may cost, and what was spent
transcript      what was asked and answered, kept for the user
driver          one conversation a version, until nothing is left to do
"""

from .budget import Options, Price, Spent
from .driver import drive
from .transcript import Transcript
from .wire import Wire

__all__ = ["Options", "Price", "Spent", "Transcript", "Wire", "drive"]
