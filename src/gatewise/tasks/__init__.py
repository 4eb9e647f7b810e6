"""Estimators: one file a task, each an encoder, a recurrent stack and a head trained by the one loop."""
