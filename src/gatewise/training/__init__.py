"""The one training loop: schedule, clipping, early stopping, checkpoints, progress. It knows nothing of any task."""

CHECKPOINT_SUFFIX = ".checkpoint"  # behind the name of the model that a run writes
