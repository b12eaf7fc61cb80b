"""A verdict in words."""

from ...project.receipts import Reason, RuleVerdict
from ...text import Told

_WORDS: dict[Reason, str] = {
    "measured": "in force: {found}",
    "ended_early": "in force: {found}",
    "scheduled": "in force, with a schedule: {found}",
    "partly_none": "in force: {found}",
    "stated": "in force by the script's own word: {found}",
    "other_value": "broken: {found}",
    "beyond_parent": "broken: {found}",
    "record_differs": "broken: {found}",
    "checkpoint_differs": "broken: {found}",
    "no_facts": "not verified: the run left no facts of it {found}",
    "nothing_measures": "not verified: nothing measures it, and the script states it nowhere",
    "fits_differ": "not verified: its fits differ, and only you know which one is meant: {found}",
    "groups_differ": "not verified: parameter groups differ, and only you know which one is meant: {found}",
    "own_schedule": "not verified: a schedule of the script's own moves it: {found}",
    "loaders_differ": "not verified: training loaders differ, and only you know which one is meant: {found}",
    "sizes_vary": "not verified: batches vary in size: {found}",
    "never_seeded": "not verified: nothing set it before the first fit {found}",
    "seeds_differ": "not verified: several seeds were set: {found}",
}


def told(verdict: RuleVerdict) -> Told:
    """`in force: 32 samples a batch (effective batch 64: 2 batches a step)`."""
    words = Told(_WORDS[verdict.reason], {"found": verdict.found})
    return Told("{words} ({beside})", {"words": words, "beside": verdict.beside}) if verdict.beside else words
