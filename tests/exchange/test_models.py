"""One-step and Scan form, qonnx's own transformations, decomposition."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from codesign.errors import UnsupportedModel
from codesign.exchange import (
    Metadata,
    StepBuilder,
    decompose,
    inline,
    recompose,
    run_steps,
    states_of,
    to_scan,
    to_step,
    with_functions,
    without_functions,
)
from codesign.exchange.sequence import as_sequence
from tests.exchange.networks import GO_ON, network, spikes
from tests.exchange.neurons import META, layer, lif


def ort(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [o.name for o in model.graph.output]
    return dict(zip(names, session.run(names, feeds), strict=True))


def test_a_recurrent_network_runs_everywhere() -> None:
    step, x = network(), spikes()
    scan = to_scan(step)
    onnx.checker.check_model(scan, full_check=True)
    run = run_steps(step, {"x": x})
    assert run.outputs["B"].shape == (2, 5, 3) and 0 < run.outputs["B"].mean() < 1
    again = run_steps(scan, {"x": x})
    for name, values in (run.outputs | run.states).items():
        np.testing.assert_array_equal(values, (again.outputs | again.states)[name])
    for form in (inline(scan), with_functions(scan)):
        np.testing.assert_array_equal(ort(form, {"x": x})["B"], run.outputs["B"])


def test_states_go_on_over_windows() -> None:
    """Two windows that go on are one window twice as long; reset, they are not."""
    x = spikes(10)
    step, scan = network(GO_ON), to_scan(network(GO_ON))
    onnx.checker.check_model(scan, full_check=True)
    whole = run_steps(step, {"x": x})
    first = run_steps(step, {"x": x[:, :5]})
    second = run_steps(step, {"x": x[:, 5:]}, first.last)
    both = np.concatenate([first.outputs["B"], second.outputs["B"]], axis=1)
    np.testing.assert_array_equal(both, whole.outputs["B"])
    assert (run_steps(step, {"x": x[:, 5:]}).outputs["B"] != second.outputs["B"]).any()
    runner = inline(scan)
    states = {s.name: s.initial for s in states_of(step.graph)}
    for part in (x[:, :5], x[:, 5:]):
        got = ort(runner, {"x": part, **states})
        states = {name: got[f"{name}_next"] for name in states}
    np.testing.assert_array_equal(got["B"], second.outputs["B"])
    for name, value in states.items():
        np.testing.assert_array_equal(value, second.last[name])


@pytest.mark.parametrize("meta", [META, GO_ON])
def test_forms_round_trip(meta: Metadata) -> None:
    step = network(meta)
    scan = to_scan(step)
    assert to_step(scan) == step
    assert recompose(decompose(scan)) == scan and recompose(decompose(step)) == step
    assert recompose(inline(scan)).graph == scan.graph
    once = with_functions(scan)
    assert with_functions(once) == once and len(once.functions) == 2
    assert without_functions(once) == scan


@pytest.mark.parametrize("form", [with_functions, decompose, inline])
def test_every_form_is_imported(form: Callable[[onnx.ModelProto], onnx.ModelProto]) -> None:
    scan = to_scan(network())
    assert as_sequence(form(scan)).graph == as_sequence(scan).graph


def test_functions_that_say_something_else_are_refused() -> None:
    model = with_functions(layer(lif()))
    next(n for n in model.functions[0].node if n.op_type == "GreaterOrEqual").op_type = "Greater"
    for act in (without_functions, decompose, inline, as_sequence):
        with pytest.raises(UnsupportedModel, match="not what its attributes say"):
            act(model)


def test_functions_are_shared_by_equal_neurons() -> None:
    built = StepBuilder("net", (1, 3))
    first = built.neuron(lif(theta=[16]), "A", "x", (1, 3))
    second = built.node("Mul", [first, built.constant("half", 0.5)], "h")
    model = built.model(built.neuron(lif(theta=[9]), "B", second, (1, 3)), (1, 3), META)
    assert len(with_functions(model).functions) == 1


def test_initial_states() -> None:
    states = {s.name: s.initial.tolist() for s in states_of(network().graph)}
    assert states["A.v"] == [[1 / 16, 2 / 16, 3 / 16]] * 2
    assert states["B.i"] == states["B_before"] == [[0.0] * 3] * 2


# qonnx ------------------------------------------------------------------------------------------


def test_qonnx_infers_shapes_and_types() -> None:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.infer_shapes import InferShapes

    model = network()
    model = ModelWrapper(model).transform(InferShapes()).transform(InferDataTypes())
    assert model.get_tensor_shape("A") == [2, 3]
    assert model.get_tensor_datatype("A").name == "BINARY"
    assert model.get_tensor_datatype("A.v_next").name == "FIXED<12,8>"
    assert [n.op_type for n in model.graph.node].count("Lif") == 2
    op = model.get_customop_wrapper(next(n for n in model.graph.node if n.op_type == "Lif"))
    assert op.get_nodeattr("compare") == "ge" and op.get_nodeattr("state_bits") == 12
    assert op.verify_node()


def test_qonnx_finds_the_operators_by_their_domain(tmp_path: Path) -> None:
    """In a process in which nobody imports codesign."""
    step, x = network(), spikes(1)
    onnx.save(step, tmp_path / "step.onnx")
    states = {s.name: s.initial for s in states_of(step.graph)}
    np.savez(tmp_path / "in.npz", x=x[:, 0], **states)
    code = (
        "import numpy as np\n"
        "from qonnx.core.modelwrapper import ModelWrapper\n"
        "from qonnx.core.onnx_exec import execute_onnx\n"
        "from qonnx.transformation.infer_shapes import InferShapes\n"
        "model = ModelWrapper('step.onnx').transform(InferShapes())\n"
        "np.savez('out.npz', **execute_onnx(model, dict(np.load('in.npz'))))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    got, wanted = np.load(tmp_path / "out.npz"), run_steps(step, {"x": x})
    np.testing.assert_array_equal(got["B"], wanted.outputs["B"][:, 0])
    for name, values in wanted.last.items():
        np.testing.assert_array_equal(got[f"{name}_next"], values)


def test_qonnx_infers_shapes_where_states_have_none_yet() -> None:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    built = StepBuilder("net", (2, 4))
    current = built.node("MatMul", ["x", built.constant("w", np.zeros((4, 3)))], "current")
    model = built.model(built.neuron(lif(), "L", current, (2, 3)), (2, 3), META)
    neuron = model.graph.node[1]
    neuron.input[1] = "v"
    before = helper.make_node("Add", ["L.v", "L.v"], ["v"])
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([nodes[0], before, nodes[1]])
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert ModelWrapper(model).transform(InferShapes()).get_tensor_shape("L") == [2, 3]


def test_standard_shape_inference_sees_through_functions() -> None:
    model = with_functions(network())
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim]
              for i in inferred.graph.value_info}  # fmt: skip
    assert shapes["A"] == [2, 3]


def test_computed_parameters_are_refused_in_qonnx() -> None:
    model = layer(lif())
    node = model.graph.node[0]
    twice = helper.make_node("Add", [node.input[2], node.input[2]], ["theta2"], "twice")
    node.input[2] = "theta2"
    neuron = onnx.NodeProto.FromString(node.SerializeToString())
    del model.graph.node[:]
    model.graph.node.extend([twice, neuron])
    with pytest.raises(UnsupportedModel, match="'theta2'.* is computed at run time"):
        run_steps(model, {"x": np.zeros((2, 5, 3), np.float32)})


def test_operators_of_bodies_are_exact() -> None:
    """onnxruntime's integer operators that bodies use, far beyond 32 bits."""
    rng = np.random.default_rng(0)
    parts = [rng.integers(-(1 << b), 1 << b, 64) for b in (60, 40, 33, 31, 8)]
    x, y = np.concatenate(parts), np.concatenate(parts[::-1])
    cases = {
        "Add": x // 2 + y // 2, "Sub": x // 2 - y // 2, "Mul": (x >> 32) * (y >> 32),
        "Mod": x % 4096, "Div": np.sign(x) * (np.abs(x) // 4096), "Abs": np.abs(x), "Neg": -x,
        "Greater": x > y, "GreaterOrEqual": x >= y, "Less": x < y, "LessOrEqual": x <= y,
        "Equal": x == y, "Where": np.where(x > y, x, y),
    }  # fmt: skip
    given = {"Add": (x // 2, y // 2), "Sub": (x // 2, y // 2), "Mul": (x >> 32, y >> 32)}
    given |= {n: (x, np.int64(4096)) for n in ("Mod", "Div")} | dict.fromkeys(("Abs", "Neg"), (x,))
    given["Where"] = (x > y, x, y)
    for op, wanted in cases.items():
        ins = [np.asarray(a) for a in given.get(op, (x, y))]
        kinds = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in (*ins, wanted)]
        ports = [helper.make_tensor_value_info(f"i{n}", k, a.shape)
                 for n, (a, k) in enumerate(zip(ins, kinds, strict=False))]  # fmt: skip
        out = [helper.make_tensor_value_info("y", kinds[-1], wanted.shape)]
        graph = helper.make_graph(
            [helper.make_node(op, [p.name for p in ports], ["y"])], op, ports, out
        )
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        got = ort(model, {f"i{n}": a for n, a in enumerate(ins)})["y"]
        np.testing.assert_array_equal(got, wanted, err_msg=op)
    used = {n.op_type for f in with_functions(network()).functions for n in f.node}
    assert used <= set(cases) | {"Cast", "Gather", "Constant", "And", "Or", "Not"}
