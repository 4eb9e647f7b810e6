"""A whole training step of a small classifier of sequences: ours against the frameworks, interleaved in one run.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --shape 50x64x32x100 --peers gatewise,torch-compile-loop
    python benchmarks/training_step.py --json step.json --plot step.png

The model is an embedding of 32 numbers over a vocabulary of 10,000, an LSTM of 100 units over 500 steps, one sigmoid unit on
its last state, binary cross-entropy and Adam, on a batch of 64. A step is everything: lookup, forward, loss, all gradients,
the optimiser, and reading the loss. Ours and torch.nn's differ in nothing but the embedding and the layer.

Over 500 steps the gradient fades into subnormal numbers, with which processors are many times slower. Our kernels take them
for zero, as JAX and TensorFlow do. torch does so after torch.set_flush_denormal(True): torch.nn is measured without that, as
it comes, and with it ("torch.nn-flush"); the compiled cells always have it.

Every candidate runs in a process of its own, which does one step when it is told to, so that all take their turns in every
round and none competes with another's threads. Telling and answering take less than a tenth of a millisecond. Milliseconds
are medians of the rounds, ratios medians of the rounds' ratios, theirs over ours. "first s" is the first step, with what is
compiled in it. A peer that is not installed is named and left out; so is one that fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from report import Report, arguments, bars, sizes

from gatewise.errors import MissingExtra, require
from gatewise.measure import ratio, rounds

RATE = 1e-3  # of Adam
COLUMNS = {"candidate": "", "ms": ".1f", "ratio": ".2f", "first s": ".1f"}

Step = Callable[[], float]
Shape = tuple[int, ...]


def batch(shape: Shape, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [B, T] and classes [B]; the same for all candidates, which learn them by heart."""
    steps, rows, _, _ = shape
    random = np.random.default_rng(0)
    return random.integers(0, vocabulary, (rows, steps), dtype=np.int32), random.integers(0, 2, rows).astype(np.float32)


def torch_step(shape: Shape, vocabulary: int, layer: Callable[[int, int], Any], embed: Callable | None = None) -> Step:
    """The model around a layer with torch.nn.LSTM's way of being called. embed: in place of torch.nn.Embedding."""
    torch = require("torch", "train", "training")
    F = torch.nn.functional
    _, _, inputs, hidden = shape
    tokens, classes = batch(shape, vocabulary)
    x, y = torch.from_numpy(np.ascontiguousarray(tokens.T)), torch.from_numpy(classes)
    embedding = (embed or torch.nn.Embedding)(vocabulary, inputs)
    recurrent, head = layer(inputs, hidden), torch.nn.Linear(hidden, 1)
    parts = torch.nn.ModuleList([embedding, recurrent, head])
    optimizer = torch.optim.Adam(parts.parameters(), RATE, fused=True)

    def step() -> float:
        _, (h, _) = recurrent(embedding(x))
        loss = F.binary_cross_entropy_with_logits(head(h[0])[:, 0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def gatewise(shape: Shape, vocabulary: int) -> Step:
    from gatewise.nn import LSTM, Embedding

    return torch_step(shape, vocabulary, LSTM, Embedding)


def torch_nn(shape: Shape, vocabulary: int, flush: bool) -> Step:
    """flush: subnormal numbers are zero, which torch does when it is asked to."""
    torch = require("torch", "train", "training")
    torch.set_flush_denormal(flush)
    return torch_step(shape, vocabulary, torch.nn.LSTM)


def torch_compile(shape: Shape, vocabulary: int, whole: bool) -> Step:
    """A cell in torch's operations, the inputs' products taken out of the loop; compiled alone, or with its loop."""
    torch = require("torch", "train", "training")
    torch.set_flush_denormal(True)
    F = torch.nn.functional

    class LSTM(torch.nn.Module):
        def __init__(self, inputs: int, hidden: int) -> None:
            super().__init__()
            like = torch.nn.LSTM(inputs, hidden)
            self.weight_ih, self.weight_hh = torch.nn.Parameter(like.weight_ih_l0), torch.nn.Parameter(like.weight_hh_l0)
            self.bias = torch.nn.Parameter(like.bias_ih_l0.detach() + like.bias_hh_l0.detach())
            self.cell = self.one if whole else torch.compile(self.one)
            self.run = torch.compile(self.loop) if whole else self.loop

        @staticmethod
        def one(given: Any, h: Any, c: Any, weight_hh: Any) -> tuple[Any, Any]:
            i, f, g, o = (given + F.linear(h, weight_hh)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            return o.sigmoid() * c.tanh(), c

        def loop(self, x: Any) -> Any:
            h = c = x.new_zeros(x.shape[1], self.weight_hh.shape[1])
            for given in F.linear(x, self.weight_ih, self.bias).unbind():
                h, c = self.cell(given, h, c, self.weight_hh)
            return h, c

        def forward(self, x: Any) -> tuple[None, Any]:
            h, c = self.run(x)
            return None, (h[None], c[None])

    return torch_step(shape, vocabulary, LSTM)


def keras_on(backend: str, shape: Shape, vocabulary: int) -> Step:
    """The model as a Keras program has it."""
    os.environ["KERAS_BACKEND"] = backend
    require(backend, {"torch": "train"}.get(backend, f"bench-{backend}"), f"Keras on {backend}")
    keras = require("keras", "bench-keras", f"Keras on {backend}")
    _, _, inputs, hidden = shape
    layers = [keras.layers.Embedding(vocabulary, inputs), keras.layers.LSTM(hidden), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential(layers)
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss="binary_crossentropy")
    tokens, classes = batch(shape, vocabulary)
    return lambda: float(model.train_on_batch(tokens, classes[:, None]))


def jax_scan(shape: Shape, vocabulary: int) -> Step:
    """The model by hand: one jit of lax.scan, value_and_grad and Adam, both products as one (faster here than apart)."""
    jax = require("jax", "bench-jax", "a scan in JAX")
    jnp = jax.numpy
    _, rows, inputs, hidden = shape
    tokens, classes = batch(shape, vocabulary)
    x, y = jnp.asarray(tokens.T), jnp.asarray(classes)
    random = np.random.default_rng(1)
    bound = hidden**-0.5
    shapes = {"w": (inputs, 4 * hidden), "u": (hidden, 4 * hidden), "b": (4 * hidden,), "head": (hidden,), "shift": ()}
    start = {name: random.uniform(-bound, bound, s).astype(np.float32) for name, s in shapes.items()}
    start["embedding"] = random.standard_normal((vocabulary, inputs)).astype(np.float32)
    params = {name: jnp.asarray(value) for name, value in start.items()}
    zeros = {name: jnp.zeros_like(value) for name, value in params.items()}

    def loss_of(p: Any) -> Any:
        def one(state: Any, given: Any) -> Any:
            h, c = state
            sums = jnp.concatenate([given, h], 1) @ jnp.concatenate([p["w"], p["u"]]) + p["b"]
            i, f, g, o = jnp.split(sums, 4, 1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        nothing = jnp.zeros((rows, hidden))
        (h, _), _ = jax.lax.scan(one, (nothing, nothing), p["embedding"][x])
        z = h @ p["head"] + p["shift"]
        return jnp.mean(jax.nn.softplus(z) - y * z)

    def train(p: Any, m: Any, v: Any, n: Any) -> Any:
        loss, g = jax.value_and_grad(loss_of)(p)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = RATE * jnp.sqrt(1 - 0.999**n) / (1 - 0.9**n)
        return loss, jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), p, m, v), m, v, n + 1

    compiled = jax.jit(train, donate_argnums=(0, 1, 2, 3))
    state = [params, zeros, {name: value.copy() for name, value in zeros.items()}, jnp.asarray(1.0)]

    def step() -> float:
        loss, *state[:] = compiled(*state)
        return float(jax.block_until_ready((loss, state))[0])

    return step


CANDIDATES: dict[str, Callable[[Shape, int], Step]] = {
    "gatewise": gatewise,
    "torch.nn": lambda *given: torch_nn(*given, flush=False),
    "torch.nn-flush": lambda *given: torch_nn(*given, flush=True),
    "torch-compile-cell": lambda *given: torch_compile(*given, whole=False),
    "torch-compile-loop": lambda *given: torch_compile(*given, whole=True),
    "keras-torch": lambda *given: keras_on("torch", *given),
    "keras-jax": lambda *given: keras_on("jax", *given),
    "keras-tensorflow": lambda *given: keras_on("tensorflow", *given),
    "jax-scan": jax_scan,
}
BY_DEFAULT = [name for name in CANDIDATES if name != "torch-compile-loop"]  # minutes of compiling at 500 steps


class Failed(Exception):
    """A candidate cannot be measured; the message says why."""


class Worker:
    """A candidate in a process of its own."""

    def __init__(self, name: str, shape: Shape, vocabulary: int) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        command = [sys.executable, __file__, "--worker", name, json.dumps([shape, vocabulary])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, bufsize=1
        )
        self.loss = None
        absent = self.answer()
        if absent is not None:
            self.close()
            raise Failed(absent)
        start = time.perf_counter()
        self.step()
        self.first, self.first_loss = time.perf_counter() - start, self.loss

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        raise Failed(f"it ended with {self.process.returncode}: {said[-1] if said else 'nothing said'}")

    def step(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            self.process.stdin.write("step\n")
        self.loss = self.answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.errors.close()


def work(name: str, shape: Shape, vocabulary: int) -> None:
    """What a worker does: says null, or what is missing; then a step for each line, answered by its loss."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the frameworks print is not an answer
    try:
        step = CANDIDATES[name](shape, vocabulary)
    except MissingExtra as error:
        print(json.dumps(str(error)), file=answers)
        return
    print(json.dumps(None), file=answers)
    for _ in sys.stdin:
        print(json.dumps(step()), file=answers)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], *json.loads(sys.argv[3]))
        return
    parser = arguments(__doc__, rounds=9, seconds=0.5)
    parser.add_argument("--shape", type=sizes, default="500x64x32x100", help="TxBxIxH")
    parser.add_argument("--vocabulary", type=int, default=10000)
    parser.add_argument("--peers", default=",".join(BY_DEFAULT), help=f"of {', '.join(CANDIDATES)}")
    options = parser.parse_args()
    names = ["gatewise", *(name for name in options.peers.split(",") if name != "gatewise")]
    unknown = sorted(set(names) - set(CANDIDATES))
    if unknown:
        parser.error(f"there is no {unknown[0]!r} among {', '.join(CANDIDATES)}")
    steps, rows, inputs, hidden = options.shape
    said = f"T={steps} B={rows} I={inputs} H={hidden}, vocabulary {options.vocabulary}, float32; {options.rounds} rounds"
    packages = ["torch", "keras", "jax", "tensorflow"]
    report = Report(options, packages, COLUMNS, said, shape=options.shape, vocabulary=options.vocabulary)
    workers: dict[str, Worker] = {}
    for name in names:
        try:
            workers[name] = Worker(name, options.shape, options.vocabulary)
        except Failed as error:
            report.leave_out(name, str(error))
    times = rounds({name: worker.step for name, worker in workers.items()}, options.rounds, options.seconds)
    for name, worker in workers.items():
        # A guess costs log 2 at first, whatever the weights, and what is learnt by heart less.
        assert abs(worker.first_loss - 0.69) < 0.15 and worker.loss < worker.first_loss, f"{name} does not learn"
        worker.close()
        faster = ratio(times, "gatewise", name)
        row = {"ms": statistics.median(times[name]) * 1e3, "ratio": faster, "first s": worker.first}
        report.add(candidate=name, **row, rounds=times[name])
    report.finish(bars("{candidate}", ["ratio"], "times ours, a training step"))


if __name__ == "__main__":
    main()
