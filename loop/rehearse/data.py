"""What was taken for input and target, is the validation set the same each time, and does training see it?"""

from collections.abc import Iterator

from ..project.receipts import Finding
from ..record.facts import Section
from ..record.parts import Loader
from . import leaks
from .observed import Observed


def findings(observed: Observed) -> Iterator[Finding]:
    section = _last(observed)
    if section is None:
        return
    if section.rehearsed is not None and section.rehearsed.train_batch:
        values: dict[str, str | int | float | bool | None] = {"train": section.rehearsed.train_batch}
        values["validation"] = section.rehearsed.validation_batch or "–"
        yield Finding(code="took", level="ok", values=values)
    for number, sample in enumerate(observed.samples(), 1):
        told: dict[str, str | int | float | bool | None] = {"number": number, **vars(sample)}
        yield Finding(code="sample", level="ok", values=told)
    if observed.fits:
        yield from _folds(observed)
        yield _same_validation(observed, section)
        yield _shared(section)
        yield from leaks.findings(section)


def differs(observed: Observed) -> bool:
    """Whether each process draws a validation set of its own."""
    section = _last(observed)
    return (
        bool(observed.fits) and section is not None and _same_validation(observed, section).code == "validation_differs"
    )


def are_folds(observed: Observed) -> bool:
    """Whether the fits have validation sets of their own."""
    sets = [tuple(one.contents.digest for one in _validation(fit) if one.contents.whole) for fit in observed.fits]
    return len({one for one in sets if one}) > 1


def _folds(observed: Observed) -> Iterator[Finding]:
    """A version is scored on the validation data of the fit that left best.ckpt, which the script chooses."""
    if not are_folds(observed):
        return
    scored = observed.scored_fit
    values: dict[str, str | int | float | bool | None] = {"fits": len(observed.fits)}
    if scored:
        yield Finding(code="folds_apart", level="warning", values=values | {"fit": scored + 1})
    else:
        yield Finding(code="folds", level="warning", values=values)


def _last(observed: Observed) -> Section | None:
    return next(reversed((*observed.facts.loops, *observed.fits)), None)


def _validation(section: Section) -> tuple[Loader, ...]:
    return tuple(one for one in section.loaders_of("validation") if one.contents.rows)


def _same_validation(observed: Observed, section: Section) -> Finding:
    ours = _validation(section)
    if not ours:
        return Finding(code="no_validation", level="problem")
    samples = section.validation_samples
    # The first fit alone: the second process ends after it.
    first = _validation(observed.fits[0])
    again = [fit.first for fit in observed.again.fits]
    theirs = _validation(again[0]) if again else ()
    is_whole = all(one.contents.whole for one in (*first, *theirs)) and not any(
        map(_is_cut, (observed.fits[0], *again))
    )
    if not theirs or len(theirs) != len(first) or not is_whole:
        return Finding(code="validation_unchecked", level="note", values={"samples": samples})
    if any(one.contents.digest != two.contents.digest for one, two in zip(first, theirs, strict=True)):
        return Finding(code="validation_differs", level="problem", values={"samples": samples})
    return Finding(code="validation_same", level="ok", values={"samples": samples})


def _is_cut(section: Section) -> bool:
    return section.rehearsed is None or section.rehearsed.validation_cut


def _shared(section: Section) -> Finding:
    rehearsed = section.rehearsed
    compared = rehearsed.compared_rows if rehearsed is not None else None
    values: dict[str, str | int | float | bool | None] = {"compared": compared, "shared": section.shared_inputs}
    if section.shared_inputs:
        distinct = sum(one.contents.distinct_inputs for one in _validation(section))
        return Finding(code="shared", level="warning", values=values | {"distinct": distinct})
    if rehearsed is None or not rehearsed.compared_whole or section.shared_inputs is None:
        return Finding(code="shared_unchecked", level="note", values=values)
    return Finding(code="disjoint", level="ok", values=values)
