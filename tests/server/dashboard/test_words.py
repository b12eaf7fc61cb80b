"""The dashboard has words of its own for all that a loop can be and for all that can happen in it."""

from typing import get_args

from progressive_training.loop.project.state import Phase
from progressive_training.loop.store.journal import Event, EventName
from progressive_training.server.dashboard import html


def test_every_event_of_the_journal_has_its_words() -> None:
    assert html.EVENTS.keys() == set(get_args(EventName))
    assert all(" " in words or name == words for name, words in html.EVENTS.items())


def test_every_phase_has_its_words() -> None:
    assert html.PHASES.keys() == set(get_args(Phase))


def test_an_event_that_only_a_later_release_records_is_shown_by_its_name() -> None:
    assert html.told(Event(1, "2026-11-29T00:00:00+00:00", "data_rehearsed", None, {})) == "data rehearsed"
