"""The cell language: what it builds, what it refuses and how it says so; the record as JSON."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewise import cells
from gatewise.ir import Cell, CellError, cell
from gatewise.ir.trace import (
    exp,
    gate,
    layer_norm,
    linear,
    named,
    parameter,
    sigmoid,
    softmax,
    softplus,
    sum_units,
    tanh,
    where,
)


@pytest.mark.parametrize("name", cells.names())
def test_a_record_goes_to_json_and_back_equal(name):
    record = cells.get(name)
    again = Cell.from_json(json.loads(json.dumps(record.to_json())))
    assert again == record
    assert again.key == record.key
    assert again.backward == record.backward


@pytest.mark.parametrize("name", cells.names())
def test_every_cell_states_its_paper_and_what_it_is(name):
    record = cells.get(name)
    assert record.doc
    assert any(ch.isdigit() for ch in record.paper)


def test_parameters_stack_the_gates_of_a_source_in_the_order_of_the_equations():
    shapes = cells.get("lstm").shapes({"input_size": 3, "hidden_size": 5})
    assert shapes == {"weight_ih": (20, 3), "weight_hh": (20, 5), "bias": (20,)}
    assert [p.name for p in cells.get("lstm").parameters[0].parts] == ["i", "f", "g", "o"]
    assert cells.get("lstm").parameters[2].parts[1].init == 1.0
    assert cells.get("lstm", forget_bias=2.0).parameters[2].parts[1].init == 2.0


def test_hyper_parameters_are_bound_when_the_cell_is_made():
    @cell
    def leaky(x, h, rate=0.5):
        return (1.0 - rate) * h + rate * tanh(linear("a", x, h))

    assert dict(leaky(rate=0.25).hyper) == {"rate": 0.25}
    assert leaky(rate=0.25) != leaky()
    with pytest.raises(CellError, match="no hyper-parameter 'speed'; it has: rate"):
        leaky(speed=1)


def refused(function, match, **options):
    with pytest.raises(CellError, match=match):
        (cell(**options)(function) if options else cell(function))()


def test_mistakes_are_errors_that_name_the_place_and_the_remedy():
    def missing_state(x, h, c):
        return tanh(linear("a", x, h))

    def used_twice(x, h):
        return gate("a", sigmoid, x, h) * gate("a", tanh, x, h)

    def branches(x, h):
        a = linear("a", x, h)
        return a if a > 0 else h

    def mixes_sizes(x, h):
        return x + linear("a", x, h)

    def wrong_width(x, h):
        return linear("a", x, h, size="proj_size")

    def idle_parameter(x, h):
        parameter("p")
        linear("b", x)
        return tanh(linear("a", x, h))

    def number_as_source(x, h):
        return tanh(linear("a", x, h.apply("sum", h)))

    @cell
    def two_computed_sources(x, h):
        return tanh(linear("a", 2.0 * x, 3.0 * h) + linear("b", tanh(x)))

    assert [p.name for p in two_computed_sources().parameters] == ["weight_a", "weight_a_1", "bias", "weight_b"]
    refused(missing_state, r"line \d+ of .*test_cell.py: it must return one value for each of its states.*return h, c")
    refused(used_twice, r"line \d+ of .*test_cell.py: the name 'a' is used twice")
    refused(branches, r"line \d+ of .*where\(mask, a, b\)")
    refused(mixes_sizes, r"line \d+ of .*combines values of different sizes: hidden_size and input_size")
    refused(wrong_width, r"line \d+ of .*test_cell.py: state 'h' has hidden_size units.*has proj_size")
    line = idle_parameter.__code__.co_firstlineno + 1  # where p is declared
    refused(idle_parameter, rf"line {line} of .*no gradient reaches parameter p.p, weight_ih.b, bias.b")
    refused(number_as_source, "a source must be a row of units")
    refused(lambda x, h: tanh(linear("a", x, h)), "widths names 'c'", widths={"c": "proj_size"})
    refused(lambda x, h: h * sum_units(x), "state 'h' has size '1', which is for parameters", widths={"h": "1"})
    with pytest.raises(CellError, match="needs the input and at least one state"):
        cell(lambda x: x)
    with pytest.raises(CellError, match="inside a function decorated with @cell"):
        linear("a")


def damaged(change):
    data = json.loads(json.dumps(cells.get("lstm").to_json()))
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.pop("nodes"), "damaged"),
        (lambda d: d.update(format=99), "newer"),
        (lambda d: d.pop("format"), "not a cell record"),
        (lambda d: d["nodes"].__setitem__(5, ["launch", [3], "hidden_size", None]), "unknown op"),
        (lambda d: d["nodes"][-1].__setitem__(1, [0, 10**6]), "does not come before it"),
        (lambda d: d["nodes"][3].__setitem__(2, "1"), "says it has|takes"),
        (lambda d: d["states"].reverse(), "its outputs are not its states"),
        (lambda d: d["outputs"][0].__setitem__(1, 3), "units|no gradient|state"),
        (lambda d: d["parameters"].pop(0), "no matrix"),
        (lambda d: d.update(nodes="x"), "damaged"),
    ],
)
def test_the_verifier_guards_what_is_read(change, match):
    with pytest.raises(CellError, match=match):
        Cell.from_json(damaged(change))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_to_a_record_escapes_as_another_error(data):
    """Any one value of the JSON replaced by another kind of value: a CellError, or a record that verifies."""
    record = json.loads(json.dumps(cells.get("gru").to_json()))
    place, key = record, None
    while isinstance(place, dict | list) and place:
        holder, key = (
            place,
            data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place))))),
        )
        place = place[key]
    holder[key] = data.draw(st.sampled_from([None, -1, 3, "x", [], {}, 1.5, True]))
    with contextlib.suppress(CellError):
        Cell.from_json(record)


def test_functions_of_the_language_run():
    @cell
    def everything(x, h):
        a = linear("a", x, h)
        s = named("s", softmax(a))
        n = layer_norm("n", a)
        return where(a > 0.0, s + softplus(n), exp(-abs(a))) * parameter("p", 1.0)

    from gatewise.checks import check_cell

    check_cell(everything())


def test_layer_norm_normalises():
    from gatewise.backends.interpret import forward

    @cell
    def normed(x, h):
        return layer_norm("n", linear("a", x, h))

    rng = np.random.default_rng(0)
    c = normed()
    sizes = {"input_size": 3, "hidden_size": 8}
    params = {n: rng.standard_normal(s) for n, s in c.shapes(sizes).items()}
    params["n_gain"][:], params["n_offset"][:] = 1, 0
    y = forward(c, params, rng.standard_normal((2, 4, 3)), [np.zeros((4, 8))]).y
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(-1), 1, atol=1e-4)


def test_the_gate_that_keeps_a_state_is_found_in_the_equations():
    expected = {"lstm": {"c": ("f", False)}, "gru": {"h": ("z", False)}, "mut1": {"h": ("z", True)}, "rnn": {}}
    assert {name: cells.get(name).keepers for name in expected} == expected
