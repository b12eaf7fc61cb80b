"""The two tiers of the tests: `make test` runs the fast one, `make test-rest` the others.

A test that takes long is marked `whole`, as measured (`pytest --durations=0` on an idle machine), and of each kind the
cheapest stays in the fast tier: of a file a test at least, of a parametrized test its first rows (`but=2`) or those
that are named (`but="row"`). A file whose cheapest test is still too dear says with `shown_by` which file shows the
same kind for less. The collection holds it, and that a fast test shows every requirement.
"""

from collections.abc import Iterable, Iterator, Sequence

import pytest

TIERS = ("fast", "rest", "all")


def is_fast(item: pytest.Item) -> bool:
    """Not marked `whole`, or by name or row among those that its mark leaves in."""
    mark = item.get_closest_marker("whole")
    if mark is None:
        return True
    kept = mark.kwargs.get("but", ())
    if isinstance(kept, int):
        return all(index < kept for index in item.callspec.indices.values())  # type: ignore[attr-defined]
    names = {item.name, getattr(item, "originalname", None), item.name.partition("[")[2].removesuffix("]")}
    return bool(names & {*([kept] if isinstance(kept, str) else kept)})


def lacking(items: Sequence[pytest.Item]) -> Iterator[str]:
    """What these tests show, and the fast ones among them don't: in words."""
    fast = [item for item in items if is_fast(item)]
    covered = {item.path for item in fast}
    for path in sorted({item.path for item in items} - covered):
        marks = (item.get_closest_marker("whole") for item in items if item.path == path)
        instead = {mark.kwargs.get("shown_by") for mark in marks if mark is not None}
        if not all(isinstance(name, str) and items[0].config.rootpath / name in covered for name in instead):
            yield f"{path} has no fast test, and names no file that shows the same (shown_by)"
    for requirement in sorted(_requirements(items) - _requirements(fast)):
        yield f"no fast test shows the requirement {requirement}"


def _requirements(items: Iterable[pytest.Item]) -> set[str]:
    return {str(name) for item in items for mark in item.iter_markers("requirement") for name in mark.args}
