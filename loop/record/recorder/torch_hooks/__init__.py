"""What is wrapped in torch and Lightning. Read only by a process that has imported one of them.

trainers    Lightning's trainer under both names; settings is what it is set to; fabric
loaders     what DataLoaders deliver; batches looks at one batch, named at its parts
optimizers  what each real step used; backward counts gradients and finds losses that are no number
forwards    how many samples the model is really given
rehearsal   ends a run early that is only to be tried; leaks then looks for some between training and validation
"""
