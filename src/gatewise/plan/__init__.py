"""From a cell record to a schedule: stages, what to save, where everything lives."""

from .places import Place
from .plan import Kept, OuterProduct, Plan, delayed_inputs, plan
from .schedule import Accumulator, Group, Product, Schedule

__all__ = ["Accumulator", "Group", "Kept", "OuterProduct", "Place", "Plan", "Product", "Schedule", "delayed_inputs", "plan"]
