"""A verdict in words."""

from collections.abc import Mapping
from dataclasses import replace

from ...project.receipts import Reason, RuleVerdict
from ...text import Told

_WORDS: Mapping[Reason, Told] = {
    "measured": Told("in force: {found}"),
    "ended_early": Told("in force: {found}"),
    "scheduled": Told("in force, with a schedule: {found}"),
    "partly_none": Told("in force: {found}"),
    "stated": Told("in force by the script's own word: {found}"),
    "other_value": Told("broken: {found}"),
    "beyond_parent": Told("broken: {found}"),
    "record_differs": Told("broken: {found}"),
    "checkpoint_differs": Told("broken: {found}"),
    "no_facts": Told("not verified: the run left no facts of it {found}"),
    "nothing_measures": Told("not verified: nothing measures it, and the script states it nowhere"),
    "fits_differ": Told("not verified: its fits differ, and only you know which one is meant: {found}"),
    "groups_differ": Told("not verified: parameter groups differ, and only you know which one is meant: {found}"),
    "asked": Told("not verified: v001 has several, set to other values, and only you know which one is meant: {found}"),
    "own_schedule": Told("not verified: a schedule of the script's own moves it: {found}"),
    "loaders_differ": Told("not verified: training loaders differ, and only you know which one is meant: {found}"),
    "sizes_vary": Told("not verified: batches vary in size: {found}"),
    "never_seeded": Told("not verified: nothing set it before the first fit {found}"),
    "seeds_differ": Told("not verified: several seeds were set: {found}"),
}


def told(verdict: RuleVerdict) -> Told:
    """`in force: 32 samples a batch (effective batch 64: 2 batches a step)`."""
    words = replace(_WORDS[verdict.reason], values={"found": verdict.found})
    return Told("{words} ({beside})", {"words": words, "beside": verdict.beside}) if verdict.beside else words
