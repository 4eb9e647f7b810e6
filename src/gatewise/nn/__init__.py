"""Recurrent layers for torch: drop-ins for torch.nn's, and any cell; and the embedding below them."""

from ..errors import require

require("torch", "train", "gatewise.nn")  # before the layers, which import it: so its message is what a user sees

from .embedding import Embedding
from .layers import GRU, LSTM, RNN
from .recurrent import Recurrent

__all__ = ["GRU", "LSTM", "RNN", "Embedding", "Recurrent"]
