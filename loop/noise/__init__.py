"""Whether a difference between two versions is more than noise. Labels, never blocks; docs/statistics.md has the reasons.

samples (per-sample scores of a version, matched by id) → metrics (those that are no mean of per-sample scores) →
intervals (standard error and 95 % BCa interval) → decisions (threshold, exact McNemar, label) → verdict (`judge`);
seeds (what repeated trainings say), calls (the functions of scipy, typed). numpy and scipy are imported when first used.
"""
