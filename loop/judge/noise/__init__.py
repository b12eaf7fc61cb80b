"""Whether a difference between two versions is more than noise: labels, never blocks (docs/statistics.md has the why).

samples (per-sample scores of a version, matched by id) → metrics (how each is recomputed from them; ranking: AUROC) →
intervals (standard error and 95 % BCa interval) → decisions (threshold, exact McNemar, label) → verdict (`judge`);
seeds (what repeated trainings say), calls (the functions of scipy, typed).

numpy and scipy are imported when first used, so that a server starts without them.
"""
