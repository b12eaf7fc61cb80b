"""Jobs on clusters: one executor over a scheduler's few commands, and the schedulers."""
