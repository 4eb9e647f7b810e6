"""What the op table's meanings call: the same few functions over NumPy arrays and over torch tensors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

ComputeDtype = Literal["float32", "bfloat16"]  # what the operands of matrix products are rounded to


class NumpyNamespace:
    """Functions over NumPy arrays; a row's units are the last axis."""

    exp, log, sqrt, sin, cos, tanh, abs = np.exp, np.log, np.sqrt, np.sin, np.cos, np.tanh, np.abs
    minimum, maximum, matmul = np.minimum, np.maximum, np.matmul
    where = staticmethod(np.where)

    @staticmethod
    def sigmoid(a):
        e = np.exp(-np.abs(a))
        return np.where(a >= 0, 1, e) / (1 + e)

    @staticmethod
    def softplus(a):
        return np.maximum(a, a * 0) + np.log1p(np.exp(-np.abs(a)))

    @staticmethod
    def mask(condition, a, b):
        return np.asarray(condition).astype(np.result_type(a, b))

    @staticmethod
    def stop_gradient(a):
        return a

    @staticmethod
    def sum_units(a):
        return np.sum(a, axis=-1, keepdims=True)

    @staticmethod
    def max_units(a):
        return np.max(a, axis=-1, keepdims=True)

    @staticmethod
    def broadcast(a, units):
        return np.broadcast_to(a, (*a.shape[:-1], units))

    @staticmethod
    def zeros(shape, like):
        return np.zeros(shape, like.dtype)

    @staticmethod
    def copy(a):
        return np.array(a)

    @staticmethod
    def stack(arrays):
        return np.stack(arrays)

    concatenate = staticmethod(np.concatenate)

    @staticmethod
    def bounded(a, limit):
        """Cut at -limit and limit."""
        return np.clip(a, -limit, limit)

    @staticmethod
    def active(lengths, t, like):
        """[B, 1]: which rows are not past their length at step t."""
        return (np.asarray(lengths) > t)[:, None]

    @staticmethod
    def bfloat16(a):
        """The nearest bfloat16 numbers, of two that are as near the one whose last bit is 0, in a's own type."""
        bits = np.asarray(a, np.float32).view(np.uint32)
        nearest = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
        return np.where(np.isfinite(a), nearest.astype(np.uint32).view(np.float32), a).astype(a.dtype)


class TorchNamespace:
    """The same functions over torch tensors, on any device; differentiable by torch as well."""

    def __init__(self):
        import torch

        self.torch = torch
        for name in ("exp", "log", "sqrt", "sin", "cos", "tanh", "abs", "where", "sigmoid", "matmul", "stack"):
            setattr(self, name, getattr(torch, name))
        self.softplus = torch.nn.functional.softplus
        self.concatenate = torch.cat

        class Bounded(torch.autograd.Function):
            """Past the bound the gradient passes only where it leads back."""

            @staticmethod
            def forward(ctx, a, limit):
                ctx.save_for_backward(a)
                ctx.limit = limit
                return a.clamp(-limit, limit)

            @staticmethod
            def backward(ctx, g):
                (a,) = ctx.saved_tensors
                outwards = ((a >= ctx.limit) & (g < 0)) | ((a <= -ctx.limit) & (g > 0))
                return g.masked_fill(outwards, 0.0), None

        self.bounded = Bounded.apply

    def _both(self, a, b):
        return (a if self.torch.is_tensor(a) else self.torch.full_like(b, a)), (
            b if self.torch.is_tensor(b) else self.torch.full_like(a, b)
        )

    def minimum(self, a, b):
        return self.torch.minimum(*self._both(a, b))

    def maximum(self, a, b):
        return self.torch.maximum(*self._both(a, b))

    def mask(self, condition, a, b):
        return condition.to((a if self.torch.is_tensor(a) else b).dtype)

    @staticmethod
    def stop_gradient(a):
        return a.detach()

    @staticmethod
    def sum_units(a):
        return a.sum(-1, keepdim=True)

    @staticmethod
    def max_units(a):
        return a.amax(-1, keepdim=True)

    @staticmethod
    def broadcast(a, units):
        return a.expand(*a.shape[:-1], units)

    def zeros(self, shape, like):
        return self.torch.zeros(shape, dtype=like.dtype, device=like.device)

    @staticmethod
    def copy(a):
        return a.clone()

    @staticmethod
    def active(lengths, t, like):
        return (lengths.to(like.device) > t)[:, None]

    def bfloat16(self, a):
        return a.to(self.torch.bfloat16).to(a.dtype)


class RoundedProducts:
    """Another namespace, in which matrix products round their operands to bfloat16 and are exact from there on."""

    def __init__(self, xp: Any):
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def matmul(self, a: Any, b: Any) -> Any:
        return self._xp.matmul(self._xp.bfloat16(a), self._xp.bfloat16(b))


NUMPY: Any = NumpyNamespace()


def namespace_of(array: Any, compute_dtype: str | None = None) -> Any:
    """The namespace for an array: NumPy's, or torch's for a tensor (torch is imported already then).

    compute_dtype: "bfloat16" rounds the operands of matrix products to it."""
    xp = NUMPY if isinstance(array, np.ndarray) else _torch()
    return RoundedProducts(xp) if compute_dtype == "bfloat16" else xp


_torch_namespace: TorchNamespace | None = None


def _torch() -> TorchNamespace:
    global _torch_namespace
    if _torch_namespace is None:
        _torch_namespace = TorchNamespace()
    return _torch_namespace
