"""The OPNsense router in its own terms: what is intended, what is there, the calls between.

Pure, like the rest of the core; :mod:`goldentooth.transports.opnsense` speaks to the router.
"""

from goldentooth.opnsense.intended import intended_state, with_secrets
from goldentooth.opnsense.plan import Action, Backup, Call, Change, Plan, plan, restore_plan
from goldentooth.opnsense.state import Intended, Item, Live, UnknownModelError, read_live

__all__ = [
    "Action",
    "Backup",
    "Call",
    "Change",
    "Intended",
    "Item",
    "Live",
    "Plan",
    "UnknownModelError",
    "intended_state",
    "plan",
    "read_live",
    "restore_plan",
    "with_secrets",
]
