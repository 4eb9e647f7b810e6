"""The one training loop: schedule, clipping, early stopping, checkpoints, progress. It knows nothing of any task."""
