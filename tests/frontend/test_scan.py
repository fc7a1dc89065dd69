"""Recurrent networks from Scan: every layout of every cell, against three executions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from qonnx.custom_op.general.quant import quant

from codesign.errors import UnsupportedModel
from codesign.evidence import Evidence
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.frontend.survey import survey
from codesign.ops.delay import Delay
from codesign.passes import lower
from codesign.reference import run
from codesign.reference.boundaries import boundaries
from codesign.verify.chain import compare
from tests import recurrent_models
from tests.recurrent_models import Recurrent, model

FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "MatMul": np.matmul,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Identity": lambda x: x,
    "Tanh": lambda x: np.tanh(x).astype(np.float32),
    "Sigmoid": lambda x: (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32),
}


def interpret(graph: onnx.GraphProto, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The file as it is, node by node and step by step: nothing of the importer is used."""
    env = {**known, **{t.name: numpy_helper.to_array(t) for t in graph.initializer}}
    for node in graph.node:
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        given = [env[name] for name in node.input]
        if node.op_type == "Quant":
            mode = attrs["rounding_mode"].decode()
            found = [quant(*given, attrs["signed"], attrs["narrow"], mode)]
        elif node.op_type == "Scan":
            found = scan(node, attrs, given, env)
        elif node.op_type == "Transpose":
            found = [given[0].transpose(attrs["perm"])]
        else:
            found = [FUNCTIONS[node.op_type](*given)]
        env |= {name: np.asarray(a, np.float32) for name, a in zip(node.output, found, strict=True)}
    return env


def scan(
    node: onnx.NodeProto, attrs: dict, given: list[np.ndarray], outer: dict[str, np.ndarray]
) -> list[np.ndarray]:
    count = len(given) - attrs["num_scan_inputs"]
    (axis,), (out_axis,) = attrs["scan_input_axes"], attrs["scan_output_axes"]
    states, x = given[:count], np.moveaxis(given[count], axis, 0)
    outs = []
    names = [port.name for port in attrs["body"].input]
    for step in x[::-1] if attrs.get("scan_input_directions", [0])[0] else x:
        ports = dict(zip(names, [*states, step], strict=True))
        env = interpret(attrs["body"], {**outer, **ports})
        ends = [env[port.name] for port in attrs["body"].output]
        states = ends[:count]
        outs.append(ends[count])
    outs = outs[::-1] if attrs.get("scan_output_directions", [0])[0] else outs
    return [*states, np.stack(outs, out_axis)]


def inputs(model: onnx.ModelProto, frames: int = 30) -> np.ndarray:
    """Frames as the file takes them, without the batch it may have."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).normal(0, 2, (frames, *shape))
    return x.astype(np.float32)


RECIPES = (
    [
        Recurrent(cell, layout=layout, result=result, backward=backward, steps=steps)
        for cell in ("rnn", "gru", "lstm")
        for layout, result, backward, steps in (
            ("batch", "all", False, 5),
            ("batch", "last", True, 3),
            ("time", "all", True, 4),
            ("rows", "last", False, 3),
            ("columns", "all", False, 4),
            ("columns", "layer", False, 3),
        )
    ]
    + [
        Recurrent("late", layout=layout, result=result)
        for layout, result in (("batch", "all"), ("columns", "last"))
    ]
    + [
        Recurrent(cell, steps=1, result=result)
        for cell, result in (("rnn", "last"), ("lstm", "all"))
    ]
)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_file_computes_what_the_reference_does(recipe: Recurrent) -> None:
    """Powers of two: the file, the model-level graph and the circuit agree on every output."""
    proto = model(recipe)
    x = inputs(proto)
    wanted = np.stack([interpret(proto.graph, {"x": frame})[proto.graph.output[0].name]
                       for frame in x])  # fmt: skip
    for graph in (imported := import_qonnx(proto)).graph, lower(imported.graph):
        given = graph.values[graph.inputs[0]]
        found = run(graph, {given.name: x.reshape(-1, *given.shape)})[graph.outputs[0]]
        values = graph.values[graph.outputs[0]].format.decode(found)
        np.testing.assert_array_equal(values.ravel(), wanted.ravel())
    assert len(np.unique(wanted)) > 4  # it does compute something


@pytest.mark.parametrize("factor", [1.0, 0.77])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_qonnx_agrees_on_every_quantizer_of_every_step(cell: str, factor: float) -> None:
    imported = import_qonnx(model(Recurrent(cell, factor=factor, layout="time", result="layer")))
    graph = imported.graph
    points = boundaries(graph, imported.tensor_names, imported.tensor_axes)
    x = np.random.default_rng(2).normal(0, 2, (40, 5, 3)).astype(np.float32)
    ours = run(graph, {graph.inputs[0]: x}, keep=[p.value.name for p in points])
    theirs = execute_batch(imported, x, [p.tensor for p in points])
    assert {"rnn": 6, "gru": 16, "lstm": 20}[cell] == len(points)
    for point in points:
        codes = ours[point.value.name].reshape(len(x), -1)
        np.testing.assert_array_equal(codes, point.codes(theirs[point.tensor]), point.tensor)


@pytest.mark.parametrize("factor", [1.0, 0.77])
@pytest.mark.parametrize("layout", ["batch", "time", "rows", "columns"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "late"])
def test_onnxruntime_runs_the_same_loop(cell: str, layout: str, factor: float) -> None:
    """Quantizers of ONNX itself: onnxruntime executes the Scan of the file as it stands."""
    import onnxruntime

    proto = recurrent_models.as_qcdq(model(Recurrent(cell, layout=layout, factor=factor)))
    x = inputs(proto)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    wanted = np.stack([session.run(None, {"x": frame})[0] for frame in x])
    graph = lower(import_qonnx(proto).graph)
    given = graph.values[graph.inputs[0]]
    found = run(graph, {given.name: x.reshape(-1, *given.shape)})[graph.outputs[0]]
    values = graph.values[graph.outputs[0]].format.decode(found)
    np.testing.assert_array_equal(values.ravel(), wanted.ravel())


@pytest.mark.parametrize("layout", ["batch", "time"])
def test_layers_on_top_of_each_other(layout: str) -> None:
    """Both bodies use the same names, and nothing is transposed in between."""
    graph = lower(import_qonnx(recurrent_models.stacked(layout)).graph)
    assert sum(isinstance(n.op, Delay) for n in graph.nodes) == 2
    assert not any(n.op.kind == "rearrange" for n in graph.nodes)


def test_the_survey_walks_over_a_scan() -> None:
    assert survey(model(Recurrent("lstm"))).supported


def scan_node(proto: onnx.ModelProto) -> onnx.NodeProto:
    return next(n for n in proto.graph.node if n.op_type == "Scan")


def body(proto: onnx.ModelProto) -> onnx.GraphProto:
    return next(a.g for a in scan_node(proto).attribute if a.name == "body")


def _float_state(proto: onnx.ModelProto) -> None:
    body(proto).output[0].name = "h_new_f"


def _odd_start(proto: onnx.ModelProto) -> None:
    zero = next(t for t in proto.graph.initializer if t.name == "zero_0")
    zero.CopyFrom(numpy_helper.from_array(np.full((1, 4), 0.3, np.float32), "zero_0"))


def _inner_scan(proto: onnx.ModelProto) -> None:
    body(proto).node.append(scan_node(model(Recurrent())))


def _too_many_scans(proto: onnx.ModelProto) -> None:
    next(a for a in scan_node(proto).attribute if a.name == "num_scan_inputs").i = 7


def _lost_output(proto: onnx.ModelProto) -> None:
    del body(proto).output[1:]


def _unwritten(proto: onnx.ModelProto) -> None:
    body(proto).output[1].name = "nowhere"


def _constant_state(proto: onnx.ModelProto) -> None:
    constants = {t.name for t in body(proto).initializer}
    weights = next(n for n in body(proto).node if n.op_type == "Quant" and n.input[0] in constants)
    body(proto).output[0].name = weights.output[0]


def _shadow(proto: onnx.ModelProto) -> None:
    body(proto).node[-1].output[0] = body(proto).output[1].name = "x_q"


def _cycle(proto: onnx.ModelProto) -> None:
    next(n for n in body(proto).node if n.op_type == "Tanh").input[0] = "y_t"


def _unknown_input(proto: onnx.ModelProto) -> None:
    next(n for n in body(proto).node if n.op_type == "Tanh").input[0] = "nobody"


def _no_body(proto: onnx.ModelProto) -> None:
    attributes = scan_node(proto).attribute
    attributes.remove(next(a for a in attributes if a.name == "body"))


def _computed_start(proto: onnx.ModelProto) -> None:
    scan_node(proto).input[0] = "x_q"


def _direction(proto: onnx.ModelProto) -> None:
    next(a for a in scan_node(proto).attribute if a.name == "scan_input_directions").ints[0] = 2


def _damaged_weights(proto: onnx.ModelProto) -> None:
    body(proto).initializer[0].raw_data = b"1"


def _pooled(proto: onnx.ModelProto) -> None:
    node = next(n for n in body(proto).node if n.op_type == "Tanh")
    node.op_type = "Softmax"


BAD = {
    _float_state: "written without a quantizer",
    _odd_start: "is 0.3, which is no code",
    _inner_scan: "is a subgraph",
    _too_many_scans: "'num_scan_inputs' is 7",
    _lost_output: "its body has 2 inputs and 1 outputs",
    _unwritten: "'nowhere' of a Scan body is written by no node",
    _constant_state: "is constant",
    _shadow: "written twice",
    _cycle: "the graph has a cycle",
    _unknown_input: "'nobody' is connected to nothing",
    _no_body: "the Scan has no body",
    _computed_start: "is computed while the network runs",
    _direction: "neither 0 .forward. nor 1",
    _damaged_weights: "does not fit its shape",
    _pooled: "not supported inside a Scan",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda f: f.__name__)
def test_bad_scans_are_refused(spoil: Callable[[onnx.ModelProto], None]) -> None:
    proto = model(Recurrent())
    spoil(proto)
    with pytest.raises(UnsupportedModel, match=BAD[spoil]) as error:
        import_qonnx(proto)
    assert error.value.hint


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_plain_recurrent_operators_are_refused_with_the_way_out(kind: str) -> None:
    proto = model(Recurrent())
    node = helper.make_node(kind, ["x_q", "x_q", "x_q"], ["states"], "rnn", hidden_size=4)
    kept = [n for n in proto.graph.node if n.op_type != "Scan" and "last_0" not in n.input]
    del proto.graph.node[:]
    proto.graph.node.extend([*kept[:1], node, *kept[1:]])
    with pytest.raises(UnsupportedModel, match=f"'{kind}' is not supported") as error:
        import_qonnx(proto)
    assert "Scan" in error.value.hint


def test_a_difference_in_a_loop_is_judged_in_its_step_alone() -> None:
    """What the loop makes of it in later steps is a consequence; another difference is not."""
    imported = import_qonnx(model(Recurrent("lstm")))
    graph = imported.graph
    points = boundaries(graph, imported.tensor_names, imported.tensor_axes)
    x = inputs(model(Recurrent("lstm"))).reshape(-1, 5, 3)
    names = [p.value.name for p in points]
    codes = {n: a.reshape(len(x), -1) for n, a in run(graph, {"x": x}, keep=names).items()}
    ends = graph.values["h_new"].format
    flipped = ends.lo if codes["h_new"][3, 9] > 0 else ends.hi  # unit 1 in step 2
    frame = {"x": x[3:4]}
    delays = [n for n in graph.nodes if n.op.delays]
    for _ in range(3):  # what steps 3 and 4 really make of it
        found = run(graph, frame, keep=[*names, *(n.inputs[0] for n in delays)])
        found["h_new"].reshape(-1)[9] = flipped
        late = {n.output: n.op.execute(graph.ins(n), found[n.inputs[0]]) for n in delays}
        frame = {"x": x[3:4], **late}
    found |= run(graph, {**frame, "h_new": found["h_new"]}, keep=names)
    other = {name: array.copy() for name, array in codes.items()}
    for name in names:
        other[name][3] = found[name].reshape(-1)
    assert sum(int((other[n] != codes[n]).sum()) for n in names) > 5

    def judged() -> tuple[Evidence, list[int]]:
        found = compare("qonnx = reference", "x", points, codes, other, model=graph, graph=graph,
                        inputs=x, seed=1, started=0)  # fmt: skip
        assert found.first is not None and found.explained == 0
        return found, [found.mismatches, found.first.frame, found.first.index]

    found, place = judged()
    assert found.first.tensor == "h_new" and place == [1, 3, 9]
    other["f_c"][3, 4 * 4] += 1
    assert judged()[0].mismatches > 1


def _started(proto: onnx.ModelProto) -> None:
    zero = next(t for t in proto.graph.initializer if t.name == "zero_0")
    values = np.float32([[1, -2, 0, 5]]) / 16
    zero.CopyFrom(numpy_helper.from_array(values, "zero_0"))


def _outer_weights(proto: onnx.ModelProto) -> None:
    loop = body(proto)
    for node in [n for n in loop.node if n.output[0].endswith("_w")]:
        proto.graph.node.insert(0, onnx.NodeProto.FromString(node.SerializeToString()))
        loop.node.remove(node)
    for t in [t for t in loop.initializer if "_w_" in t.name or t.name.endswith(".weight")]:
        proto.graph.initializer.append(onnx.TensorProto.FromString(t.SerializeToString()))
        loop.initializer.remove(t)


@pytest.mark.parametrize("change", [_started, _outer_weights], ids=lambda f: f.__name__)
def test_starts_and_weights_from_outside(change: Callable[[onnx.ModelProto], None]) -> None:
    proto = model(Recurrent("gru"))
    change(proto)
    x = inputs(proto)
    wanted = np.stack([interpret(proto.graph, {"x": frame})["y"] for frame in x])
    graph = lower(import_qonnx(proto).graph)
    found = run(graph, {graph.inputs[0]: x.reshape(-1, 5, 3)})[graph.outputs[0]]
    values = graph.values[graph.outputs[0]].format.decode(found)
    np.testing.assert_array_equal(values.ravel(), wanted.ravel())
