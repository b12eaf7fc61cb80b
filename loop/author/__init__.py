"""Makes every script of the loop: v001 from the baseline, then each next version from one action's diff.

handover → start (with baseline) → action → guard → next_version; repair for a version that failed. patch/ turns a
model's diff into a text.
"""
