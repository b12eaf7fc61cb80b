"""The domain, in the order that data passes.

Ground          errors · files · workspace · filesystems · journal · receipts · intents
The user's word json_places · rules · dataset
A project       project · state · status · tracking · intact · integrity
A script        scripts/ (symbols, constants, calls, local imports, what the rules fix) · patches/ (a diff -> text)
Step 0          baseline · handover · starting
Step 1          confinement · running/ (detached runner, executors, warm starts) · preloading · attempts · snapshots ·
                artifacts · metrics_csv · curves · failures · resume · training · retries · cancelling
Step 2          evaluation/ (protocol, acceptance, the child, scores, repeats)
Step 3          noise/ (intervals and labels) · judged · deltas · evidence · documents
Step 4 and 6    one_action · guard · header · authoring
Step 7          report/ (leaderboard, best bundle)
Pages           lineage · infer_samples (what the report and the dashboard show)
"""
