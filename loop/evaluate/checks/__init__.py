"""What an evaluation left, held against what is known: before anything of it is published.

output → checkpoint_clashes → own_word → evaluator_trial
"""
