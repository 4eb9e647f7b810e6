"""One step of one sequence at a time, on one thread: our stream against torch.nn and onnxruntime, interleaved in one run.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --cells lstm,gru --units 64,256
    python benchmarks/streaming.py --compute-dtype bfloat16        of our layers

Each candidate is called as a program would that gets one input after the other: NumPy in and out for ours and onnxruntime,
tensors under inference_mode for torch, states carried along. "kernel" is ours without the checks and copies of the public
call. Microseconds are medians of the rounds, ratios medians of the rounds' ratios, theirs over ours.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch
from report import Report, add_clock, arguments, bars, clock_of

from gatewise.errors import MissingExtra, require
from gatewise.measure import layers, ratio, rounds

COLUMNS = {
    "cell": "",
    "units": "",
    "kernel us": ".2f",
    "stream us": ".2f",
    "torch us": ".1f",
    "torch ratio": ".1f",
    "onnxruntime us": ".1f",
    "onnxruntime ratio": ".1f",
}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def ours(layer: torch.nn.Module, x: np.ndarray) -> tuple[Callable[[], None], Callable[[], None]]:
    stream = layer.stream()
    kernel = stream.layers[0]._stepper
    return (lambda: stream.step(x)), kernel.step


def torchs(layer: torch.nn.Module, x: np.ndarray) -> Callable[[], None]:
    held: list = [None]
    given = torch.from_numpy(x)[None]

    def step() -> None:
        with torch.inference_mode():
            _, held[0] = layer(given, held[0])

    return step


def onnxs(name: str, x: np.ndarray, units: int) -> Callable[[], None]:
    """onnxruntime's operator of the family, with weights of its own: only its time matters here."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    operator, gates, inputs = name.upper(), GATES[name], x.shape[1]
    random = np.random.default_rng(0)
    shapes = {"W": (1, gates * units, inputs), "R": (1, gates * units, units), "B": (1, 2 * gates * units)}
    weights = [
        helper.make_tensor(n, TensorProto.FLOAT, s, random.standard_normal(s).astype(np.float32).ravel() * 0.1)
        for n, s in shapes.items()
    ]
    states = {"lstm": ["H", "C"]}.get(name, ["H"])
    options = {"linear_before_reset": 1} if name == "gru" else {}
    outputs = ["Y_h", *(["Y_c"] if name == "lstm" else [])]
    node = helper.make_node(operator, ["X", "W", "R", "B", "", *states], ["", *outputs], hidden_size=units, **options)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "step",
        [value("X", TensorProto.FLOAT, [1, 1, inputs]), *(value(s, TensorProto.FLOAT, [1, 1, units]) for s in states)],
        [value(o, TensorProto.FLOAT, [1, 1, units]) for o in outputs],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    feeds = {"X": x[None], **{s: np.zeros((1, 1, units), np.float32) for s in states}}

    def step() -> None:
        for state, new in zip(states, session.run(None, feeds), strict=True):
            feeds[state] = new

    return step


def main() -> None:
    parser = arguments(__doc__, rounds=9, seconds=0.1)
    parser.add_argument("--cells", default="lstm,gru,rnn", help="of lstm, gru and rnn")
    add_clock(parser)
    parser.add_argument("--compute-dtype", choices=["float32", "bfloat16"], default="float32", help="of our layers")
    parser.add_argument("--units", default="64,128,256", help="of the layer and of its input")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clock = clock_of(options)
    said = f"float32, our products of {options.compute_dtype}, 1 thread, 1 sequence"
    report = Report(options, ["torch", "onnxruntime"], COLUMNS, said, threads=1)
    try:
        require("onnxruntime", "bench-onnxruntime", "comparing with onnxruntime")
        onnx = require("onnx", "bench-onnxruntime", "comparing with onnxruntime")
    except MissingExtra as error:
        onnx = None
        report.leave_out("onnxruntime", str(error))
    for name in options.cells.split(","):
        for units in map(int, options.units.split(",")):
            mine, theirs = layers(name, units, units, compute_dtype=options.compute_dtype)
            x = np.random.default_rng(0).standard_normal((1, units)).astype(np.float32)
            stream, kernel = ours(mine, x)
            sides = {"kernel": kernel, "stream": stream, "torch": torchs(theirs, x)}
            if onnx:
                sides["onnxruntime"] = onnxs(name, x, units)
            times = rounds(sides, options.rounds, options.seconds, clock=clock)
            row = {f"{side} us": statistics.median(found) * 1e6 for side, found in times.items()}
            row |= {f"{side} ratio": ratio(times, "stream", side) for side in ("torch", "onnxruntime") if side in times}
            report.add(cell=name, units=units, **row)
    report.finish(bars("{cell} {units}", ["torch ratio", "onnxruntime ratio"], "times the peer, one step"))


if __name__ == "__main__":
    main()
