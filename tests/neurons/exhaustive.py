"""Every state and input of small words at once: a model's step against the text in spec.py."""

from functools import lru_cache

import numpy as np

from tests.neurons.spec import spec_of


@lru_cache(maxsize=64)
def every(*spans):
    """All combinations of integers ``lo..hi`` of each span: int64 [cases] each."""
    grid = np.meshgrid(*(np.arange(lo, hi + 1) for lo, hi in spans), indexing="ij")
    return [axis.reshape(-1) for axis in grid]


def state_spans(model):
    """What each state can hold."""
    spans = [(s.word.lo, s.word.hi) for s in model.states]
    # what a soft unit gave is an entry of its table
    names = [s.name for s in model.states]
    return [
        (0, model.y_hi) if name == "y" else span for name, span in zip(names, spans, strict=True)
    ]


def results(model, inputs, states):
    """(name, int64 [cases]) of the output and each state after one step of the model."""
    lanes = {name: x[:, None] for name, x in states.items()}
    out, new = model.step(tuple(x[:, None] for x in inputs), lanes)
    return {"output": out[:, 0], **{name: x[:, 0] for name, x in new.items()}}


def specified(model, inputs, states):
    """The same of the specification."""
    out, new = spec_of(model).step(*inputs, states)
    return {"output": out, **new}


def difference(model, spans, of=None):
    """The first case in which the model is not the specification of ``of`` (itself), as text; None
    where there is none. ``spans``: of each input; the states have all they can hold."""
    of = of or model
    cases = every(*spans, *state_spans(model))
    inputs = cases[: len(model.inputs)]
    states = dict(zip((s.name for s in model.states), cases[len(inputs) :], strict=True))
    found, wanted = results(model, inputs, states), specified(of, inputs, states)
    if set(found) != set(wanted):
        return f"{sorted(found)}, not {sorted(wanted)}"
    for name, values in found.items():
        wrong = np.flatnonzero(values != wanted[name])
        if wrong.size:
            at = {n: int(x[wrong[0]]) for n, x in (*zip(model.inputs, inputs, strict=True),
                                                   *states.items())}  # fmt: skip
            wants = np.broadcast_to(wanted[name], values.shape)[wrong[0]]
            return f"{model}, {at}: {name} {values[wrong[0]]}, not {wants}"
    return None
