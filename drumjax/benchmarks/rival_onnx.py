"""The networks as an ONNX graph in ONNX Runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np

from drumjax.benchmarks.channels_first import (
    decoder_sizes,
    dense_layer,
    head_kernel,
    output_padding,
)
from drumjax.benchmarks.networks import finisher
from drumjax.play.instrument import Instrument

OPSET, IR_VERSION = 18, 10


class Graph:
    """Nodes and weights of a graph that is being written; values are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node and return its output's name."""
        from onnx import helper

        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def put(self, x: Any, dtype: Any = np.float32) -> str:
        """Store a constant and return its name."""
        from onnx import numpy_helper

        name = f"weight_{len(self.weights)}"
        array = np.array(x, dtype)
        self.weights.append(numpy_helper.from_array(array, name))
        return name


def onnx_apply(
    instrument: Instrument, threads: int
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """z [b, d], weights [b, k] -> sound [b, samples]; the last steps are JAX's: `mcnn.finish`.

    Raises:
      ModuleNotFoundError: onnx or onnxruntime is not installed.
    """
    import onnxruntime as ort

    finish = finisher(instrument)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    model = build_model(instrument)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def render(z: np.ndarray, weights: np.ndarray) -> np.ndarray:
        sound, logits = session.run(None, {"z": z, "weights": weights})
        return finish(np.asarray(sound), np.asarray(logits))

    return render


def build_model(instrument: Instrument) -> bytes:
    """The serialised ONNX model: z, weights -> sound before the mask, mask logits."""
    from onnx import TensorProto, helper

    graph = Graph()
    sound, logits = add_mcnn(graph, instrument, add_decoder(graph, instrument))
    number = TensorProto.FLOAT
    k = len(instrument.categories)
    inputs = [
        helper.make_tensor_value_info(name, number, ["b", n])
        for name, n in (("z", instrument.latents), ("weights", k))
    ]
    outputs = [
        helper.make_tensor_value_info(name, number, ["b", "samples"]) for name in (sound, logits)
    ]
    built = helper.make_graph(graph.nodes, "drumjax", inputs, outputs, graph.weights)
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(built, opset_imports=opset, ir_version=IR_VERSION).SerializeToString()


def add_decoder(g: Graph, instrument: Instrument) -> str:
    """Nodes from z and weights to the linear mel [b, mels, frames]."""
    t, settings = instrument.tensors, instrument.meta["cwae"]
    x = g.add("Concat", "z", "weights", axis=1)
    for i in range(len(settings["hidden"]) + 1):
        weight, bias = dense_layer(instrument, i)
        x = g.add("Relu", g.add("Gemm", x, g.put(weight), g.put(bias)))
    shape = [-1, settings["channels"][-1], *decoder_sizes(instrument)[0]]
    x = g.add("Reshape", x, g.put(shape, np.int64))
    spread = g.put([2, 3], np.int64)
    pads = 2 * list(settings["padding"])
    for i, extra in enumerate(output_padding(instrument)):
        kernel = g.put(t[f"decoder/conv{i}/kernel"].transpose(2, 3, 0, 1))
        bias = t.get(f"decoder/conv{i}/bias")
        x = g.add(
            "ConvTranspose",
            *(x, kernel, *([] if bias is None else [g.put(bias)])),
            strides=list(settings["stride"]),
            pads=pads,
            output_padding=list(extra),
        )
        if bias is None:
            scale, shift = (
                g.add(
                    "Unsqueeze",
                    g.add("MatMul", "weights", g.put(t[f"decoder/norm{i}/{k}"])),
                    spread,
                )
                for k in ("scale", "shift")
            )
            x = g.add("Relu", g.add("Add", g.add("Mul", x, scale), shift))
    x = g.add("Squeeze", x, g.put([1], np.int64))
    x = g.add("Add", g.add("Mul", x, g.put(t["scaler/std"].T)), g.put(t["scaler/mean"].T))
    return g.add("Relu", g.add("Sub", g.add("Exp", x), g.put(settings["log_floor"])))


def add_mcnn(g: Graph, instrument: Instrument, mel: str) -> tuple[str, str]:
    """Nodes from the mel [b, mels, frames] to (sound, mask logits), [b, frames * hop]."""
    t, settings = instrument.tensors, instrument.meta["mcnn"]
    heads, width, stride = settings["heads"], settings["width"], settings["stride"]
    padding = settings["padding"]
    x, count = mel, len(settings["channels"])
    for i in range(count):
        x = g.add(
            "ConvTranspose",
            *(x, g.put(head_kernel(instrument, i))),
            strides=[stride],
            pads=[padding, padding],
            output_padding=[stride - width + 2 * padding],
            group=heads if i else 1,
        )
        if settings["elu_last"] or i < count - 1:
            x = g.add("Elu", x)
    x = g.add("Reshape", x, g.put([0, heads, 2, -1], np.int64))  # [b, heads, 2, samples]
    sound, logits = (g.add("Gather", x, g.put(i, np.int64), axis=2) for i in range(2))
    axis = g.put([1], np.int64)
    sound = g.add("Mul", sound, g.put(t["mcnn/head_weights"][:, None]))
    sound, logits = (g.add("ReduceSum", y, axis, keepdims=0) for y in (sound, logits))
    if settings["softsign"]:
        a, b = (g.put(v) for v in t["mcnn/softsign"])
        below = g.add("Add", g.add("Abs", g.add("Mul", sound, b)), g.put(1.0))
        sound = g.add("Div", g.add("Mul", sound, a), below)
    return sound, logits
