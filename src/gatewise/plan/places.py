"""Where the values of a step live in memory, as the planner names them and the backends address them."""

from __future__ import annotations

from dataclasses import dataclass

# Arrays of the user, [T, B, units], addressed at step t and row b:
INPUT = "input"  # x
OLD = "old"  # a state before the step (the initial state at a row's first step)
GIVEN = "given"  # what the caller gives for every step beside x
NEW = "new"  # a state after the step
DX = "dx"  # the gradient of x
RECORD = "record"  # a named value that was asked for, or in backward its gradient
# Arrays of the user, [B, units]:
CARRY = "carry"  # the gradient of a state on its way back through time
# A trained vector's gradient, summed over rows and steps:
GRADIENT = "gradient"
# Buffers of the workspace. `kept` ones have a row for every step and row of the batch, `block` ones for a block of steps,
# the others only for this step:
PANEL = "panel"  # vectors of units, slot after slot, as a product's right operand or a later stage reads them
ROWS = "rows"  # whole rows of units, as a product's left operand reads them
SCALAR = "scalar"  # one number a row
PARTIAL = "partial"  # a reduction that is still one number a lane


@dataclass(frozen=True)
class Place:
    """One value's home. `name` is a state, a recorded name or a dim; `slot` its position in a workspace buffer."""

    kind: str
    name: str = ""
    slot: int = 0
    kept: bool = False
    block: bool = False
