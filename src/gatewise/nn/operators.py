"""The compiled kernels as torch operators: autograd and torch.compile see one node a layer and direction.

`gatewise::recurrent` gives [y, a final a state, a recorded value each, what is kept];
`gatewise::recurrent_backward` gives [dx, a gradient a state, a gradient a parameter]. Backward works in the memory that
forward kept; asked for a second time (retain_graph), it runs forward again first. A backward that is itself to be
differentiated (create_graph) goes through the interpreter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np
import torch

from ..backends import interpret
from ..backends.cpu import runner
from ..backends.cpu.layout import Layout
from ..backends.cpu.target import host
from ..errors import GatewiseError
from ..ir.cell import Cell, units
from ..plan import plan
from .standard import Standard
from .watching import Watcher

_cells: dict[str, Cell] = {}


def register(cell: Cell) -> str:
    """Make a cell known to the operators; returns the name that they know it by."""
    _cells[cell.key] = cell
    return cell.key


_shape = attrgetter("shape")
_contiguous = methodcaller("contiguous")


def _dense(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """With their numbers one after the other in memory, as kernels read them."""
    return list(map(_contiguous, tensors))


def _shapes(tensors: Sequence[torch.Tensor]) -> tuple:
    return tuple(map(_shape, tensors))


def _named(cell: Cell, params: Sequence) -> dict:
    return {p.name: a for p, a in zip(cell.parameters, params, strict=True)}


@lru_cache(maxsize=1024)
def _sizes(cell: Cell, x: tuple, states: tuple, params: tuple) -> dict[str, int]:
    """The sizes of a call's dims, by the shapes of its arrays.

    Raises GatewiseError where these do not fit together: kernels would read past an array's end."""
    named = _named(cell, params)
    sizes = interpret.sizes_of_shapes(cell, x, named, states)
    expected = {f"parameter {p.name!r}": (named[p.name], p.shape(sizes)) for p in cell.parameters}
    expected |= {f"state {s.name!r}": (got, (x[1], sizes[s.dim])) for s, got in zip(cell.states, states, strict=True)}
    for what, (got, shape) in expected.items():
        if tuple(got) != tuple(shape):
            raise GatewiseError(f"{what} of cell {cell.name!r} must be {list(shape)}, got {list(got)}")
    return sizes


def _inputs(cell: Cell, x, states, params, lengths):
    x, initial, weights = x.contiguous(), _dense(states), _dense(params)
    sizes = _sizes(cell, x.shape, _shapes(initial), _shapes(weights))
    return x, initial, _named(cell, weights), sizes, None if lengths is None else lengths.numpy()


def _forward(x, states, params, given, lengths, key, reverse, save, record, compute_dtype="float32", gradients=()):
    cell = _cells[key]
    x, initial, named, sizes, lengths_array = _inputs(cell, x, states, params, lengths)
    result = runner.forward(
        *(cell, named, x, initial, sizes, lengths_array, reverse, save, tuple(record)),
        given=_dense(given),
        compute_dtype=compute_dtype,
        gradients=tuple(gradients),
    )
    outputs = [result.y, *result.finals, *result.recorded.values()]
    if save:
        assert result.saved is not None
        outputs.append(result.saved.kept)
    return list(map(torch.from_numpy, outputs))


def _forward_shapes(x, states, params, given, lengths, key, reverse, save, record, compute_dtype="float32"):
    cell = _cells[key]
    steps, batch, _ = x.shape
    outputs = [x.new_empty((steps, batch, states[0].shape[1])), *(torch.empty_like(s) for s in states)]
    sizes = _sizes(cell, x.shape, _shapes(states), _shapes(params))
    outputs += [x.new_empty((steps, batch, units(cell.named_dims[r], sizes))) for r in record]
    if save:
        layout = Layout(plan(cell, tuple(record)), sizes, host(), str(x.dtype).removeprefix("torch."), "save")
        outputs.append(x.new_empty((runner.kept_bytes(layout, steps, batch),), dtype=torch.uint8))
    return outputs


def _backward(
    dy, dfinals, x, states, params, given, y, kept, lengths, key, reverse, input_gradient, compute_dtype="float32",
    gradients=(),
):  # fmt: skip
    cell = _cells[key]
    x, initial, named, sizes, lengths_array = _inputs(cell, x, states, params, lengths)
    saved = runner.Saved(y.contiguous(), kept.numpy(), lengths_array)
    dy = None if dy is None else dy.contiguous()
    carried = [None if d is None else d.detach().numpy() for d in dfinals]
    g = runner.backward(
        *(cell, named, x, initial, sizes, saved, dy, carried, reverse, input_gradient),
        given=_dense(given),
        compute_dtype=compute_dtype,
        record=tuple(gradients),
    )
    dx = np.empty((0,), np.float32) if g.x is None else g.x
    found = (dx, *g.states, *(g.params[p.name] for p in cell.parameters), *g.recorded.values())
    return list(map(torch.from_numpy, found))


def _backward_shapes(
    dy, dfinals, x, states, params, given, y, kept, lengths, key, reverse, input_gradient, compute_dtype="float32"
):
    dx = torch.empty_like(x, memory_format=torch.contiguous_format) if input_gradient else x.new_empty((0,))
    return [
        dx,
        *(torch.empty_like(s, memory_format=torch.contiguous_format) for s in states),
        *(torch.empty_like(p, memory_format=torch.contiguous_format) for p in params),
    ]


class _Recurrent(torch.autograd.Function):
    """The operator with its derivative. Tensors come flat, since autograd looks at no lists.

    watcher: takes the gradients of named values in backward, by name; None where nobody asked. standard: the torch layer in
    whose form the weights are: to make the cell's parameters of them in here takes no nodes of a graph."""

    @staticmethod
    def forward(ctx, run, facts, watcher, standard, *tensors):
        states, given, lengths, key, reverse, record, compute_dtype = facts
        end = len(tensors) - given
        x, initial, weights = tensors[0], tensors[1 : 1 + states], tensors[1 + states : end]
        gradients = {} if watcher is None else {"gradients": watcher.gradients}
        params = weights if standard is None else standard.from_torch(weights)
        output = run(
            *(x, list(initial), list(params), list(tensors[end:]), lengths, key, reverse, True, record, compute_dtype),
            **gradients,
        )
        ctx.set_materialize_grads(False)
        ctx.facts, ctx.watcher, ctx.standard = facts, watcher, standard
        ctx.params = None if standard is None else params  # made here, of weights that are saved below
        ctx.save_for_backward(*tensors, output[0], output[-1])
        ctx.mark_non_differentiable(output[-1])
        return tuple(output)

    @staticmethod
    def backward(ctx, *grads):
        states, given, lengths, key, reverse, record, compute_dtype = ctx.facts
        count, watcher, standard = len(ctx.needs_input_grad) - 5 - states - given, ctx.watcher, ctx.standard
        if record and any(g is not None for g in grads[1 + states : 1 + states + len(record)]):
            raise RuntimeError("recorded values are for looking at: no gradient flows back through them")
        x, *rest, y, kept = ctx.saved_tensors
        initial, weights, extra = rest[:states], rest[states : states + count], rest[states + count :]
        dy, dfinals = grads[0], list(grads[1 : 1 + states])
        wants_x = ctx.needs_input_grad[4]
        params = weights
        if standard is not None:
            params = standard.from_torch(weights) if torch.is_grad_enabled() else ctx.params
        if torch.is_grad_enabled():
            dx, dstates, dparams = _differentiable(
                key, x, initial, params, extra, dy, dfinals, lengths, reverse, compute_dtype, watcher
            )
        else:
            arguments = (dy, dfinals, x, initial, params, extra, y, kept, lengths, key, reverse, wants_x)
            if watcher is not None:
                found = _backward(*arguments, compute_dtype, watcher.gradients)
                found, seen = found[: 1 + states + len(params)], found[1 + states + len(params) :]
                watcher.take_gradients(dict(zip(watcher.gradients, seen, strict=True)))
            else:
                found = (torch.ops.gatewise.recurrent_backward if _watched() else _backward)(*arguments, compute_dtype)
            dx, dstates, dparams = found[0], found[1 : 1 + states], found[1 + states :]
        if standard is not None:
            dparams = standard.gradients_to_torch(dparams, count)
        return (None, None, None, None, dx if wants_x else None, *dstates, *dparams, *[None] * given)


# Without a functorch transform, which `_watched` has asked about, torch's own `apply` does nothing more than this.
_function: Any = super(torch.autograd.Function, _Recurrent)
_apply = _function.apply


def _watched() -> bool:
    """Whether something wants to see the operators: torch.compile, a trace, a dispatch mode, a functorch transform."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
    )


def recurrent(
    x, states, params, given, lengths, key, reverse, save, compute_dtype="float32", watcher: Watcher | None = None,
    standard: Standard | None = None,
) -> Sequence[torch.Tensor]:  # fmt: skip
    """The operator, without the way through torch's dispatcher where nobody watches: a small step costs a third less.

    standard: the torch layer in whose form params are, if they are not the cell's."""
    record = () if watcher is None else watcher.values
    if _watched() or type(x) not in (torch.Tensor, torch.nn.Parameter):
        if watcher is not None:
            raise GatewiseError("inside torch.compile, a trace or torch.func nothing can be recorded; call the layer itself")
        params = params if standard is None else standard.from_torch(params)
        return torch.ops.gatewise.recurrent(x, states, params, given, lengths, key, reverse, save, [], compute_dtype)
    if not save:
        params = params if standard is None else standard.from_torch(params)
        found = _forward(x, states, params, given, lengths, key, reverse, False, record, compute_dtype)
    else:
        facts = len(states), len(given), lengths, key, reverse, record, compute_dtype
        asked = watcher if watcher is not None and watcher.gradients else None
        found = _apply(_forward, facts, asked, standard, x, *states, *params, *given)
    if watcher is not None:
        shown = found[1 + len(states) :][: len(record)]
        watcher.take_values({name: value.detach() for name, value in zip(record, shown, strict=True)})
    return found


def _with_gradient(keys, x, states, params, given, lengths, key, reverse, save, record, compute_dtype="float32"):
    """The operator above autograd: through the function where something learns, else straight on."""
    below = keys & torch._C._after_autograd_keyset

    def run(*arguments):
        with torch._C._AutoDispatchBelowAutograd():
            return torch.ops.gatewise.recurrent.default.redispatch(below, *arguments)

    tensors = (x, *states, *params)
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)):
        return run(x, states, params, given, lengths, key, reverse, save, record, compute_dtype)
    if not save:
        raise RuntimeError("gatewise::recurrent was called with save=False and cannot be differentiated")
    facts = len(states), len(given), lengths, key, reverse, record, compute_dtype
    return list(_Recurrent.apply(run, facts, None, None, *tensors, *given))


def _differentiable(key, x, initial, weights, given, dy, dfinals, lengths, reverse, compute_dtype, watcher=None):
    """The gradients as a graph of torch's own operations, for gradients of gradients: through the interpreter."""
    cell = _cells[key]
    inputs = [x, *initial, *weights]
    fresh = [t if t.requires_grad else t.detach().requires_grad_() for t in inputs]
    states = fresh[1 : 1 + len(initial)]
    named = _named(cell, fresh[1 + len(initial) :])
    see = None if watcher is None else watcher.see_gradients(len(x))
    tape = interpret.forward(
        cell, named, fresh[0], states, lengths, reverse, given=given, compute_dtype=compute_dtype, see=see
    )
    pairs = [(o, g) for o, g in zip((tape.y, *tape.finals), (dy, *dfinals), strict=True) if g is not None]
    found = torch.autograd.grad([o for o, _ in pairs], fresh, [g for _, g in pairs], create_graph=True, allow_unused=True)
    found = [torch.zeros_like(t) if g is None else g for g, t in zip(found, fresh, strict=True)]
    return found[0], found[1 : 1 + len(initial)], found[1 + len(initial) :]


_library = torch.library.Library("gatewise", "DEF")
_library.define(
    "recurrent(Tensor x, Tensor[] states, Tensor[] params, Tensor[] given, Tensor? lengths, str cell, bool reverse, "
    'bool save, str[] record, str compute_dtype="float32") -> Tensor[]'
)
_library.define(
    "recurrent_backward(Tensor? dy, Tensor?[] dfinals, Tensor x, Tensor[] states, Tensor[] params, Tensor[] given, "
    "Tensor y, Tensor kept, Tensor? lengths, str cell, bool reverse, bool input_gradient, "
    'str compute_dtype="float32") -> Tensor[]'
)
_library.impl("recurrent", _forward, "CPU")
_library.impl("recurrent_backward", _backward, "CPU")
# Shapes. `torch.library.register_fake` would do, but looks up its caller's source first, which takes a while.
_library.impl("recurrent", _forward_shapes, "Meta")
_library.impl("recurrent_backward", _backward_shapes, "Meta")
_library.impl("recurrent", _with_gradient, "Autograd", with_keyset=True)
