"""Recurrent layers for torch: drop-ins for torch.nn's, and any cell; and the embedding below them."""

from ..errors import require

require("torch", "train", "gatewise.nn")

from .embedding import Embedding  # noqa: E402  (after the check, so that its message is what a user sees)
from .layers import GRU, LSTM, RNN  # noqa: E402  (likewise)
from .recurrent import Recurrent  # noqa: E402  (likewise)

__all__ = ["GRU", "LSTM", "RNN", "Embedding", "Recurrent"]
