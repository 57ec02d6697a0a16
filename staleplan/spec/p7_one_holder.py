"""P7: a lease has one holder, and a stale term is refused. Source: R25."""

from staleplan.spec.fleet import FleetProperty, FleetRun
from staleplan.spec.property import Violation


def violation(run: FleetRun) -> Violation | None:
    """A droplet obeyed a term that is not its newest, or one term of two holders."""
    newest: dict[str, tuple[int, str]] = {}
    for action in run.actions:
        term, holder = newest.get(action.droplet, (0, ""))
        mine = (action.term, action.holder)
        if action.obeyed and action.term < term:
            wrong = f"obeyed {action.holder}'s term {action.term} after term {term}"
        elif action.obeyed and action.term == term and action.holder != holder:
            wrong = f"obeyed {action.holder} and {holder}, both with term {term}"
        elif not action.obeyed and action.term >= term:
            wrong = f"refused {action.holder}'s term {action.term}, which was not stale"
        else:
            newest[action.droplet] = (
                max((term, holder), mine)
                if action.obeyed
                else (
                    term,
                    holder,
                )
            )
            continue
        return Violation(action.at_s, f"{action.droplet} {wrong}")
    return None


ONE_HOLDER = FleetProperty("P7", "one holder per lease, stale terms refused", violation)
