"""What an evaluation says when it can't go on."""

SCRIPT_AT_FAULT = 65
"""What an evaluator exits with where the version's own code is the cause (docs/contract.md)."""


class EvalError(Exception):
    """What is wrong, where, and what to do next; printed as the last line."""


class ScriptFault(EvalError):
    """The version's own code is the cause, so that a repair of it may help."""
