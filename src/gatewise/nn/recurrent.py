"""Layers for any cell."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.checkpoint import checkpoint

from .. import cells
from ..backends import compiler_available, interpret
from ..backends.stream import Stream, StreamStack
from ..cells.initialise import initialise
from ..errors import GatewiseError
from ..ir.cell import HIDDEN, INPUT, Cell, layer_name
from ..ir.namespaces import ComputeDtype
from ..ir.trace import Recipe
from ..ir.transform import zoneout
from . import operators
from .normalise import InputNorm, input_matrices
from .regularise import drop, zoneout_masks
from .standard import Standard, run_fused, standard_of
from .watching import Pass, Watcher

_COMPILED = (torch.float32, torch.float64)
_TRACED = ("given", "recurrent_matrices")  # facts of a cell that are worked out when they are first asked for
_KERNELS = compiler_available()
if not _KERNELS:
    warnings.warn(
        "llvmlite is not installed, so cells run in the interpreter, many times slower: pip install 'gatewise[jit]'",
        stacklevel=2,
    )


class Observer(Protocol):
    """Is told of every pass of a layer and direction, as `gatewise.inspect.record` is."""

    def begin(
        self, layer: Recurrent, name: str, cell: Cell, x: Tensor, lengths: Tensor | None, rows: Tensor | None
    ) -> Pass | None: ...


class Recurrent(nn.Module):
    """A stack of recurrent layers of one cell.

    Args:
        cell: the name of a built-in cell, a recipe made with `@cell`, or a cell record.
        input_size, hidden_size: units of the input and of the states.
        num_layers: layers on top of one another. bidirectional: a second direction in each, outputs side by side.
        bias: False leaves out the cell's biases. batch_first: x and y are [B, T, units].
        dropout: probability, on the outputs of every layer but the last, in training. input_dropout, output_dropout: the
            same on x and on the last layer's outputs. variational: one dropout mask for all steps of a sequence.
        weight_dropout: probability of dropping a number of the recurrent matrices, in training, one mask a call
            (DropConnect; Merity, Keskar & Socher, arXiv 1708.02182).
        zoneout: probability that a unit of a state keeps its old value for a step; after training its expectation is
            used (Krueger et al., arXiv 1606.01305).
        batch_norm: batch normalisation of what the matrices make of every layer's input, as in Li-GRU's paper; see
            `gatewise.nn.normalise`. Averages over steps and sequences in training, moving averages in evaluation.
        checkpoint_steps: keep the states of one step in so many for backward, and compute the steps between again from
            there: less memory for about a third more time (Chen et al., arXiv 1604.06174). None keeps all.
        compute_dtype: "bfloat16" rounds the operands of matrix products to it, forward and backward, and sums in float32;
            states, all other arithmetic and the parameters stay float32. It needs a CPU with AVX512-BF16. "float32", the
            default, rounds nothing. It can be changed at any time; `stream` rounds nothing either way.
        initialisers: how parameters start, by parameter ("weight_hh") or part ("bias.f"), in place of the cell's own
            ways; a number or the name of a rule, see `gatewise.cells.initialise`.
        sizes: further sizes that the cell names, such as proj_size.

    Call with x [T, B, input_size], or [T, input_size] for one sequence, or a PackedSequence; optionally the initial
    states, a tuple with one [num_layers * directions, B, width] a state (or that tensor itself where there is one), and
    lengths [B]. Returns y [T, B, directions * width of the first state] and the tuple of final states, shaped as the
    initial ones; a state as wide as its layer's input is padded with zeros to the widest layer. Past its length a row
    keeps its states, gives zeros and passes no gradient.

    Raises GatewiseError on shapes that do not fit, and where bfloat16 was asked for and cannot be had.

        >>> layer = Recurrent("peephole_lstm", 8, 16)
        >>> y, (h, c) = layer(torch.zeros(5, 3, 8))
        >>> y.shape, c.shape
        (torch.Size([5, 3, 16]), torch.Size([1, 3, 16]))
    """

    def __init__(
        self,
        cell: str | Cell | Recipe,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        initialisers: Mapping[str, str | float] | None = None,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        variational: bool = False,
        weight_dropout: float = 0.0,
        zoneout: float = 0.0,
        batch_norm: bool = False,
        checkpoint_steps: int | None = None,
        compute_dtype: str = "float32",
        **sizes: int,
    ):
        super().__init__()
        for name, value in (
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
            *(() if checkpoint_steps is None else (("checkpoint_steps", checkpoint_steps),)),
            *sizes.items(),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise GatewiseError(f"{name} must be a whole number above 0, got {value!r}")
        self.input_dropout, self.output_dropout, self.variational = float(input_dropout), float(output_dropout), variational
        self.dropout, self.weight_dropout, self.zoneout = float(dropout), float(weight_dropout), float(zoneout)
        for name in ("dropout", "input_dropout", "output_dropout", "weight_dropout", "zoneout"):
            if not 0 <= getattr(self, name) <= 1:
                raise GatewiseError(f"{name} is a probability between 0 and 1, got {getattr(self, name)!r}")
        if dropout and num_layers == 1:
            warnings.warn("dropout acts between layers and has no effect with num_layers=1", stacklevel=2)
        if compute_dtype not in get_args(ComputeDtype):
            raise GatewiseError(f"compute_dtype must be one of {', '.join(get_args(ComputeDtype))}, got {compute_dtype!r}")
        self.compute_dtype = compute_dtype
        self.cell = cells.get(cell)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional, self.batch_norm = bias, batch_first, bidirectional, batch_norm
        self.checkpoint_steps = checkpoint_steps
        self.sizes = {HIDDEN: hidden_size, **sizes}
        self.initialisers = dict(initialisers or {})
        known = {n for p in self.cell.parameters for n in (p.name, *(f"{p.name}.{q.name}" for q in p.parts))}
        if set(self.initialisers) - known:
            wrong = sorted(set(self.initialisers) - known)[0]
            raise GatewiseError(f"cell {self.cell.name!r} has no parameter {wrong!r}; it has: {', '.join(sorted(known))}")
        self.cell.shapes({INPUT: input_size, **self.sizes})
        unused = sorted(set(sizes) - set(self.cell.dims))
        if unused:
            raise GatewiseError(f"cell {self.cell.name!r} has no size {unused[0]!r}; it has {', '.join(self.cell.dims)}")
        self.observer: Observer | None = None
        self._normed = input_matrices(self.cell) if batch_norm else []
        self._plan_runs()
        self._make_parameters(device, dtype)
        self.reset_parameters()

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Units of y."""
        return self._width_above(self.num_layers)

    def _width_above(self, layers: int) -> int:
        """Units of what leaves the first `layers` layers."""
        width = self.input_size
        for _ in range(layers):
            width = {INPUT: width, **self.sizes}[self.cell.output_dim] * self.directions
        return width

    def layer_sizes(self, layer: int) -> dict[str, int]:
        """The sizes of one layer: the first reads x, the others the outputs below them."""
        return self._layer_sizes[layer]

    def _plan_runs(self) -> None:
        """What every call asks for: every layer and direction, with the ending of its parameters' names, and sizes."""
        self._layer_sizes = [{INPUT: self._width_above(layer), **self.sizes} for layer in range(self.num_layers)]
        self.runs = [
            (layer, reverse, f"_l{layer}{'_reverse' if reverse else ''}")
            for layer in range(self.num_layers)
            for reverse in (False, True)[: self.directions]
        ]
        self._widths = [max(sizes[s.dim] for sizes in self._layer_sizes) for s in self.cell.states]
        self._cells: dict[tuple[float, bool], Cell] = {}
        for training in (False, True):
            self._cell_for(training)

    def _cell_for(self, training: bool) -> Cell:
        """The cell to run, with zoneout as it is set. What calls ask of it is worked out here: a trace of torch.compile can
        only read that."""
        mode = (self.zoneout, training)
        if mode not in self._cells:
            self._cells[mode] = zoneout(self.cell, None if training and self.zoneout else self.zoneout)
            for cell in (self.cell, self._cells[mode]):
                operators.register(cell)
                for fact in _TRACED:
                    getattr(cell, fact)
        return self._cells[mode]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._plan_runs()  # cells are known to a process, not to a file

    def _shapes(self, layer: int, ending: str) -> dict[str, tuple[int, ...]]:
        """The parameters of one layer and direction."""
        sizes = self.layer_sizes(layer)
        return {p.name + ending: p.trained_shape(sizes) for p in self.cell.parameters if self.bias or not p.is_bias}

    def _make_parameters(self, device: Any, dtype: torch.dtype | None) -> None:
        for layer, _, ending in self.runs:
            for name, shape in self._shapes(layer, ending).items():
                self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
            if self.batch_norm:
                sizes = self.layer_sizes(layer)
                rows = sum(self.cell.parameters[k].shape(sizes)[0] for k in self._normed)
                self.add_module("norm" + ending, InputNorm(sizes[INPUT], rows, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Start every parameter anew, each part by the initialiser that the cell names."""
        for layer, _, ending in self.runs:
            sizes = self.layer_sizes(layer)
            for p in self.cell.parameters:
                if self.bias or not p.is_bias:
                    value = getattr(self, p.name + ending)
                    with torch.no_grad():
                        for part, start, stop in p.trained_slices(sizes):
                            own = self.initialisers.get(p.name, part.init)
                            rule = self.initialisers.get(f"{p.name}.{part.name}", own)
                            initialise(rule, value[start:stop], self.hidden_size)
            if self.batch_norm:
                self._norm(ending).reset_parameters()

    def cell_parameters(self, layer: int, ending: str) -> list[Tensor]:
        """The parameters of one layer and direction as the equations use them, in the cell's order."""
        found = []
        sizes = self.layer_sizes(layer)
        for p in self.cell.parameters:
            if self.bias or not p.is_bias:
                found.append(p.constrained(getattr(self, p.name + ending), sizes))
            else:
                reference = getattr(self, self.cell.parameters[0].name + ending)
                found.append(reference.new_zeros(p.shape(sizes)))
        return found

    def forward(self, x: Tensor | PackedSequence, states: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        if isinstance(x, PackedSequence):
            return self._forward_packed(x, states, lengths)
        single = x.dim() == 2
        if x.dim() not in (2, 3):
            raise GatewiseError(f"x must be [T, B, {self.input_size}] or [T, {self.input_size}], got {list(x.shape)}")
        if x.shape[-1] != self.input_size:
            raise GatewiseError(f"x has {x.shape[-1]} features, this layer was built for {self.input_size}")
        if single:
            x = x.unsqueeze(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        initial = self._initial(x, self._as_tuple(states), single)
        y, finals = self._run(x, initial, self._lengths(lengths, x))
        if single:
            y, finals = y.squeeze(1), tuple(f.squeeze(1) for f in finals)
        elif self.batch_first:
            y = y.transpose(0, 1)
        return y, self._as_given(finals)

    @torch.no_grad()
    def stream(self, batch_size: int = 1) -> StreamStack:
        """The layers as they are now for use a step at a time, on NumPy arrays and one thread, with nothing dropped.

        `stream.step(x)` takes x [batch_size, input_size] and gives y [batch_size, units]; `stream.states` has the states of
        every layer, and `stream.reset()` begins anew. Products are the layer's own, of `compute_dtype`. Raises GatewiseError
        for a second direction, which would need the future, and for other types than float32 and float64.
        """
        if self.bidirectional:
            raise GatewiseError("a bidirectional layer reads the future: it cannot be run a step at a time")
        layers = []
        for layer, _, ending in self.runs:
            params, shift = self.cell_parameters(layer, ending), None
            if params[0].dtype not in _COMPILED:
                raise GatewiseError(f"a stream runs in float32 or float64, the layer is {params[0].dtype}")
            if self.batch_norm:
                norm = self._norm(ending)
                params = self._scaled(params, norm.scaled([params[k] for k in self._normed], norm.variance))
                shift = norm.mean.cpu().numpy()
            arrays = {p.name: a.cpu().numpy() for p, a in zip(self.cell.parameters, params, strict=True)}
            dtype = str(params[0].dtype).removeprefix("torch.")
            cell = zoneout(self.cell, self.zoneout)
            sizes = self.layer_sizes(layer)
            layers.append(Stream(cell, arrays, sizes, batch_size, dtype, shift, self.compute_dtype))
        return StreamStack(layers)

    def _as_tuple(self, states: Any) -> tuple[Tensor, ...] | None:
        if states is None:
            return None
        return (states,) if isinstance(states, Tensor) else tuple(states)

    def _as_given(self, finals: tuple[Tensor, ...]) -> Any:
        return finals

    def _initial(self, x: Tensor, states: tuple[Tensor, ...] | None, single: bool) -> list[Sequence[Tensor]]:
        """Of every state, what each layer and direction begins with."""
        if states is None:
            zeros = {width: x.new_zeros((x.shape[1], width)) for width in set(self._widths)}
            return [[zeros[width]] * len(self.runs) for width in self._widths]
        shapes = [(len(self.runs), x.shape[1], width) for width in self._widths]
        if len(states) != len(shapes):
            names = ", ".join(s.name for s in self.cell.states)
            raise GatewiseError(f"cell {self.cell.name!r} has the states {names}; {len(states)} were given")
        if single:
            states = tuple(s.unsqueeze(1) if s.dim() == 2 else s for s in states)
        for s, value, shape in zip(self.cell.states, states, shapes, strict=True):
            if tuple(value.shape) != shape:
                raise GatewiseError(f"state {s.name!r} must be {list(shape)}, got {list(value.shape)}")
        return [s.unbind() for s in states]

    def _lengths(self, lengths: Any, x: Tensor) -> Tensor | None:
        if lengths is None:
            return None
        lengths = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
        if tuple(lengths.shape) != (x.shape[1],):
            raise GatewiseError(f"lengths must be [{x.shape[1]}], one a sequence, got {list(lengths.shape)}")
        if not torch.compiler.is_compiling() and len(lengths):
            low, high = int(lengths.min()), int(lengths.max())
            if low < 0 or high > x.shape[0]:
                raise GatewiseError(f"lengths must lie between 0 and {x.shape[0]}, the steps of x; got {low} to {high}")
        return lengths

    def _run(
        self, x: Tensor, initial: Sequence[Sequence[Tensor]], lengths: Tensor | None, rows: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All layers and directions: x [T, B, I]. rows: for an observer, where the rows of the caller's batch lie."""
        try:
            return self._run_layers(x, initial, lengths, rows)
        except (GatewiseError, RuntimeError) as error:
            self._check_shapes(error)
            raise

    def _check_shapes(self, error: Exception) -> None:
        """Where a parameter was given another shape, that is what an error is about."""
        for layer, _, ending in self.runs:
            for name, shape in self._shapes(layer, ending).items():
                found = getattr(self, name).shape
                if found != shape:
                    raise GatewiseError(f"{name} must be {list(shape)} in this layer, got {list(found)}") from error

    def _run_layers(
        self, x: Tensor, initial: Sequence[Sequence[Tensor]], lengths: Tensor | None, rows: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        finals: list[tuple[Tensor, ...]] = []
        outputs: list[Tensor] = []
        x = drop(x, self.input_dropout, self.training, self.variational)
        for n, (layer, reverse, ending) in enumerate(self.runs):
            if layer and not reverse:
                x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
                outputs = []
                x = drop(x, self.dropout, self.training, self.variational)
            sizes = self.layer_sizes(layer)
            states = [_narrow(value[n], sizes[s.dim]) for s, value in zip(self.cell.states, initial, strict=True)]
            params, standard = self._weights(layer, ending)
            cell, given = self._zoned(x, sizes)
            read, params = self._normalised(x, params, lengths, ending)
            seen = None
            if self.observer is not None:
                seen = self.observer.begin(self, layer_name(layer, reverse), cell, x, lengths, rows)
            y, final = self._run_segments(cell, read, states, params, lengths, reverse, given, seen, standard)
            outputs.append(y)
            finals.append(final)
        y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        y = drop(y, self.output_dropout, self.training, self.variational)
        return y, tuple([_stack(column) for column in zip(*finals, strict=True)])

    def _run_segments(
        self, cell: Cell, x: Tensor, states: Sequence[Tensor], params: Sequence[Tensor], lengths: Tensor | None,
        reverse: bool, given: Sequence[Tensor], seen: Pass | None, standard: Standard | None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:  # fmt: skip
        """One layer and direction, in segments whose insides are computed again in backward, if so asked."""
        steps, k = x.shape[0], self.checkpoint_steps
        if k is None or steps <= k or not torch.is_grad_enabled():
            watcher = None if seen is None else seen.piece(0)
            return run_direction(cell, x, states, params, lengths, reverse, given, self.compute_dtype, watcher, standard)
        starts, ys, current = range(0, steps, k), {}, tuple(states)
        for start in reversed(starts) if reverse else starts:
            part = slice(start, start + k)
            inside = None if lengths is None else (lengths - start).clamp(0, min(k, steps - start))
            watcher = None if seen is None else seen.piece(start)
            arguments = (
                cell,
                x[part],
                current,
                params,
                inside,
                reverse,
                [g[part] for g in given],
                self.compute_dtype,
                watcher,
                standard,
            )
            ys[start], current = checkpoint(run_direction, *arguments, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([ys[start] for start in starts]), current

    def _weights(self, layer: int, ending: str) -> tuple[list[Tensor], Standard | None]:
        """What a run learns, and the torch layer in whose form it is: none where it is the cell's parameters."""
        params = self.cell_parameters(layer, ending)
        if self.weight_dropout and self.training:
            dropped = self.cell.recurrent_matrices
            params = [
                nn.functional.dropout(value, self.weight_dropout) if p.name in dropped else value
                for p, value in zip(self.cell.parameters, params, strict=True)
            ]
        return params, None

    def _norm(self, ending: str) -> InputNorm:
        norm = self.get_submodule("norm" + ending)
        assert isinstance(norm, InputNorm)
        return norm

    def _normalised(
        self, x: Tensor, params: list[Tensor], lengths: Tensor | None, ending: str
    ) -> tuple[Tensor, list[Tensor]]:
        if not self.batch_norm:
            return x, params
        x, scaled = self._norm(ending)(x, [params[k] for k in self._normed], lengths)
        return x, self._scaled(params, scaled)

    def _scaled(self, params: list[Tensor], scaled: Sequence[Tensor]) -> list[Tensor]:
        """The parameters with the normalised matrices in place of their own."""
        found = dict(zip(self._normed, scaled, strict=True))
        return [found.get(k, value) for k, value in enumerate(params)]

    def _zoned(self, x: Tensor, sizes: Mapping[str, int]) -> tuple[Cell, list[Tensor]]:
        """The cell to run, and what it is given at every step: masks where zoneout is on in training."""
        cell = self._cell_for(self.training)
        if not (self.zoneout and self.training):
            return cell, []
        return cell, zoneout_masks(x.shape[0], x.shape[1], [sizes[d] for d in cell.given.values()], self.zoneout, x)

    def _forward_packed(self, x: PackedSequence, states: Any, lengths: Any) -> tuple[PackedSequence, Any]:
        if lengths is not None:
            raise GatewiseError("a PackedSequence carries its lengths; do not give lengths as well")
        padded, counts = torch._VF._pad_packed_sequence(x.data, x.batch_sizes, False, 0.0, len(x.batch_sizes))
        given = self._as_tuple(states)
        if given is not None and x.sorted_indices is not None:
            given = tuple(s.index_select(1, x.sorted_indices) for s in given)
        y, finals = self._run(padded, self._initial(padded, given, False), counts, x.unsorted_indices)
        data, _ = torch._VF._pack_padded_sequence(y, counts, False)
        if x.unsorted_indices is not None:
            finals = tuple(f.index_select(1, x.unsorted_indices) for f in finals)
        return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), self._as_given(finals)

    def extra_repr(self) -> str:
        shown = [repr(self.cell.name), str(self.input_size), str(self.hidden_size)]
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "bidirectional": False, "variational": False}
        defaults["batch_norm"] = False
        defaults |= dict.fromkeys(("dropout", "input_dropout", "output_dropout", "weight_dropout", "zoneout"), 0.0)
        defaults |= {"checkpoint_steps": None, "compute_dtype": "float32"}
        shown += [f"{n}={getattr(self, n)}" for n, d in defaults.items() if getattr(self, n) != d]
        shown += [f"{n}={v}" for n, v in self.sizes.items() if n != HIDDEN]
        return ", ".join(shown)


def _narrow(state: Tensor, width: int) -> Tensor:
    return state if state.shape[1] == width else state[:, :width]


def _stack(states: Sequence[Tensor]) -> Tensor:
    """The states of all layers and directions as one tensor; narrower ones are padded with zeros."""
    if len(states) == 1:
        return states[0].unsqueeze(0)
    width = max(s.shape[1] for s in states)
    return torch.stack([nn.functional.pad(s, (0, width - s.shape[1])) if s.shape[1] < width else s for s in states])


def _differs(x: Tensor, states: Sequence[Tensor], t: Tensor) -> str:
    """The message for a tensor that is not of the kind of x."""
    if any(t is s for s in states):
        return (
            f"x is {x.dtype} on the CPU, the initial state {t.dtype} on {t.device}; convert it: state.to('cpu', {x.dtype})"
        )
    return (
        f"x is {x.dtype} on the CPU, the layer {t.dtype} on {t.device}; convert x: x.to('{t.device}', {t.dtype}), "
        f"or the layer: layer.to('cpu', {x.dtype})"
    )


def run_direction(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    params: Sequence[Tensor],
    lengths: Tensor | None,
    reverse: bool,
    given: Sequence[Tensor] = (),
    compute_dtype: str = "float32",
    watcher: Watcher | None = None,
    standard: Standard | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer and direction, by the best means for where the tensors are: our kernels on a CPU in float32 and
    float64, torch's fused layer elsewhere for its own cells, and the interpreter for all else. Products of bfloat16
    operands are our kernels' alone. params: the cell's, or in the form of a torch layer."""
    if torch.is_autocast_enabled(x.device.type):  # recurrence adds up rounding: it stays in the parameters' precision
        x, states = x.to(params[0].dtype), [s.to(params[0].dtype) for s in states]
        given = [g.to(params[0].dtype) for g in given]
    if compute_dtype == "bfloat16" and not (x.device.type == "cpu" and x.dtype == torch.float32 and _KERNELS):
        there = f"{x.dtype} on {x.device}" if _KERNELS else "where llvmlite is not installed"
        raise GatewiseError(
            f"compute_dtype='bfloat16' runs in compiled layers of float32 on a CPU, not {there}; use compute_dtype='float32'"
        )
    if x.device.type == "cpu" and x.dtype in _COMPILED and _KERNELS:
        dtype, save = x.dtype, x.requires_grad
        for t in (*states, *params, *given):
            if not t.is_cpu or t.dtype != dtype:
                raise GatewiseError(_differs(x, states, t))
            save = save or t.requires_grad
        save = save and torch.is_grad_enabled()
        key = operators.register(cell)
        found = operators.recurrent(
            *(x, list(states), list(params), list(given), lengths, key, reverse, save, compute_dtype, watcher, standard)
        )
        return found[0], tuple(found[1 : 1 + len(states)])
    if not x.is_floating_point():
        raise GatewiseError(f"x is {x.dtype}; a recurrent layer reads x.float(), or an embedding of tokens")
    if standard is not None:
        params = standard.from_torch(params)
    fused = standard_of(cell) if x.device.type != "cpu" else None
    if fused is not None and watcher is None:
        return run_fused(fused, x, states, params, lengths, reverse)
    named = {p.name: value for p, value in zip(cell.parameters, params, strict=True)}
    if watcher is None:
        tape = interpret.forward(cell, named, x, states, lengths, reverse, given=given)
    else:
        see = watcher.see_gradients(len(x)) if watcher.gradients and torch.is_grad_enabled() else None
        tape = interpret.forward(cell, named, x, states, lengths, reverse, watcher.values, given=given, see=see)
        watcher.take_values({name: value.detach() for name, value in tape.recorded.items()})
    return tape.y, tuple(f.clone() if any(f is s for s in states) else f for f in tape.finals)  # a state without a step
