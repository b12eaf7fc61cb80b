"""Scores a trained version by 03_eval.py, apart from the project, and publishes the score whole or not at all.

evaluator (the script) → evaluator_trial → evaluation_job → user_python/ → output → publication. checkpoint_clashes
looks for broken rules in the weights, infer_samples shows what was predicted; evaluation calls them all. external_model
and seed_repeats score other weights.
"""
