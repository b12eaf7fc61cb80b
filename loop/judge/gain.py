"""Whether a version gained beyond noise: what `loop_config.patience` counts from."""

from ..project.version import Version
from ..rules.reading import Rules
from ..store.paths import version_id, version_number
from .best import better, primary_metric, scored
from .comparison import Comparison
from .labels import gain_before


def last_gain(version: Version, comparison: Comparison, rules: Rules) -> int:
    """The newest version, up to this one, that gained beyond noise; the first where none did.

    Beyond noise is what isn't labelled so; where no label can be given, what is better. `comparison` is the version's.
    """
    held = gain_before(version) or version_number(comparison.best_before or "")  # an older release recorded none
    if held is None:
        return version.number
    new, old = scored(version), scored(Version(version.project, held))
    mine, its = (primary_metric(one.receipt, rules) if one else None for one in (new, old))
    if new is None or new.receipt.other_targets or mine is None or (its is not None and not better(mine, its)):
        return held
    verdict = comparison.verdict(mine.name, version_id(held))
    return held if verdict is not None and verdict.label == "noise" else version.number
