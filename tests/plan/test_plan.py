"""The planner: what it keeps, how it stages, and that its golden schedules change only on purpose."""

import json
from pathlib import Path

import pytest

from gatewise import cells
from gatewise.ir import cell
from gatewise.ir.trace import gate, linear, sigmoid, tanh
from gatewise.plan import delayed_inputs, plan

GOLDEN = Path(__file__).parent / "golden.json"


def kept_names(name):
    """The named values that a cell keeps for backward in panels."""
    p = plan(cells.get(name))
    names = {i: n for n, i in p.cell.named}
    kept = [i for i, place in p.save.places.items() if place.kept and place.kind == "panel"]
    return sorted(names.get(i, "unnamed") for i in kept)


def test_an_lstm_keeps_its_gates_and_computes_the_rest_again():
    assert kept_names("lstm") == ["f", "g", "i", "o"]


def test_gradients_take_the_slots_of_what_they_came_from():
    p = plan(cells.get("lstm"))
    assert p.kept.panels == {"hidden_size": 4}
    assert sorted(o.cotangent.slot for o in p.outers if o.matrix[0] == "weight_hh") == [0, 1, 2, 3]


def test_a_product_of_a_computed_value_makes_a_second_stage():
    def steps(name):
        return [g for g in plan(cells.get(name)).infer.groups if g.when == "step"]

    assert [g.level for g in steps("gru")] == [0]
    assert [g.level for g in steps("gru_v1")] == [0, 1]
    assert [m.matrix for a in steps("gru_v1")[1].accumulators for m in a.products] == [("weight_n", "n")]


def test_state_sizes_make_groups_of_their_own():
    assert [(g.when, g.level, g.dim) for g in plan(cells.get("projected_lstm")).infer.groups] == [
        ("ahead", 0, "hidden_size"),
        ("step", 0, "hidden_size"),
        ("step", 1, "proj_size"),
    ]


def test_layer_norm_is_stages_of_reductions():
    groups = plan(cells.get("layer_norm_lstm")).infer.groups
    assert [g.dim for g in groups].count("1") >= 3
    assert sum(len(g.reductions) for g in groups) == plan(cells.get("layer_norm_lstm")).infer.partials


def test_an_input_gradient_that_is_not_wanted_costs_nothing():
    with_x, without = plan(cells.get("lstm")), plan(cells.get("lstm"), (), False)
    assert len(without.backward.groups) == len(with_x.backward.groups) - 1
    assert all(place.kind != "dx" for g in without.backward.groups for _, place in g.stores)


def test_a_state_that_the_step_does_not_read_gets_a_zero_gradient():
    from gatewise.checks import check_cell

    @cell
    def forgetful(x, h, c):
        a = gate("a", sigmoid, x, h)
        return tanh(linear("b", x)) * a, a

    check_cell(forgetful())


def describe(schedule):
    """A schedule as text, one line a group."""

    def place(p):
        held = "*" if p.kept else "+" if p.block else ""
        return f"{p.kind}{held}{':' + p.name if p.name else ''}{p.slot if p.kind != 'gradient' else ''}"

    lines = []
    for g in schedule.groups:
        products = " ".join(
            "+".join(".".join(m.matrix) + ("'" if m.transposed else "") for m in a.products) for a in g.accumulators
        )
        loads = " ".join(sorted(place(p) for p in g.loads.values()))
        stores = " ".join(sorted(place(p) for _, p in g.stores))
        when = g.level if g.when == "step" else g.when
        lines.append(f"{when} {g.dim} [{products}] computes {len(g.compute)} loads {loads} stores {stores}")
    return lines


@pytest.mark.parametrize("name", cells.names())
def test_schedules_are_as_written_down(name):
    """To write them down anew: GATEWISE_WRITE_GOLDEN=1 scripts/test tests/plan"""
    import os

    p = plan(cells.get(name))
    now = {mode: describe(getattr(p, mode)) for mode in ("infer", "save", "backward")}
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("GATEWISE_WRITE_GOLDEN"):
        golden[name] = now
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    assert golden.get(name) == now, "the schedule changed; if on purpose: GATEWISE_WRITE_GOLDEN=1 scripts/test tests/plan"


@pytest.mark.parametrize("name", cells.names())
def test_nothing_is_read_before_it_is_written(name):
    p = plan(cells.get(name))
    given = {"input", "old"}
    kept_by_forward = {place for place in p.save.places.values() if place.kept} | {
        place for g in p.save.groups for _, place in g.stores if place.kind == "new"
    }
    for schedule, ready in ((p.infer, set()), (p.save, set()), (p.backward, set(kept_by_forward))):
        for group in schedule.groups:
            written = {place for _, place in group.stores}
            for place in group.loads.values():
                if place.kind not in given and place.kind != "partial":
                    assert place in ready, (name, group.level, place)
            ready |= written


@pytest.mark.parametrize(
    "name", ["min_gru", "min_lstm", "sru", "qrnn", "ind_rnn", "t_rnn", "t_gru", "t_lstm", "brc", "unicornn"]
)
def test_cells_without_a_map_over_a_state_have_no_product_in_their_steps(name):
    """All products run ahead, for a block of steps at once; what is left in the loop is elementwise."""
    found = plan(cells.get(name))
    for schedule in (found.infer, found.save):
        assert not any(g.accumulators for g in schedule.groups if g.when == "step")
        assert any(g.accumulators for g in schedule.groups if g.when == "ahead")


def test_only_products_of_states_are_left_to_the_steps():
    for schedule in (plan(cells.get("lstm")).infer, plan(cells.get("lstm")).save):
        for when, op in (("ahead", "input"), ("step", "state")):
            products = [p for g in schedule.groups if g.when == when for a in g.accumulators for p in a.products]
            assert [schedule.graph.nodes[p.source].op for p in products] == [op] * 4


def test_the_gradient_of_the_input_waits_for_a_block_of_steps():
    """For every cell whose input enters through matrices alone."""
    for name in ("lstm", "gru_v1", "rnn", "min_gru"):
        whens = [g.when for g in plan(cells.get(name)).backward.groups if any(p.kind == "dx" for _, p in g.stores)]
        assert whens == ["after"]


def test_states_that_hand_on_the_input_are_found():
    assert delayed_inputs(cells.get("qrnn", width=4)) == ["x_1", "x_2", "x_3"]
    assert delayed_inputs(cells.get("t_gru")) == ["past"]
    assert delayed_inputs(cells.get("lstm")) == []
