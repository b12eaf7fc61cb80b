"""Whether a difference between two versions is more than noise: labels, never blocks (docs/statistics.md has the why).

samples (per-sample scores of a version, matched by id) → metrics (how each is recomputed from them; ranking: auroc) →
intervals (standard error and 95 % BCa interval) → thresholds (exact McNemar, the label) → verdict (`judge`).
scipy_calls has the functions of scipy, typed.

numpy and scipy are imported when first used, so that a server starts without them.
"""
