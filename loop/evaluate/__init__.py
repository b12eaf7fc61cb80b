"""Scores a trained version by 03_eval.py, apart from the project, and publishes the score whole or not at all.

evaluator (the script) → acceptance (its trial) → job → user_python/ → output → checkpoint_clashes → evaluation, which
calls them all. external_model and repeats score other weights; infer_samples shows what was predicted.
"""
