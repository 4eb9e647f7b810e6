"""Gatewise: recurrent neural networks from their equations."""
