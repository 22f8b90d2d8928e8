"""Whether the people in a fleet file can be called at all.

What lives here: the faults of contacts. What must not: the shape of the file (contactfile.py),
sending, and settings.

They stand apart from the other faults, because a plan can be made and shown, and keys handed
out, while nobody is named yet; watching a fleet cannot begin.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from orchestrator.contactfile import NOBODY, ContactShape
from orchestrator.core.plan import Fault
from orchestrator.notify.reaching import reach_complaint
from orchestrator.yamlfile import Document


def contact_faults(document: Document) -> tuple[Fault, ...]:
    """What keeps a contact from being called. Entries of a wrong shape were told before."""
    return tuple(_faults(document))


def _faults(document: Document) -> Iterator[Fault]:
    content = document.content
    contacts = content.get("contacts") if isinstance(content, dict) else None
    seen: dict[str, int] = {}
    for index, value in enumerate(contacts if isinstance(contacts, list) else ()):
        try:
            contact = ContactShape.model_validate(value)
        except ValidationError:
            continue
        place = ("contacts", index)
        first = seen.setdefault(contact.role, index)
        if first != index:
            message = f"{contact.role!r} is contacts[{first}] too; give each a role of its own"
            yield document.fault((*place, "role"), message)
        if contact.reach is None:
            message = (
                f"{contact.role} cannot be called; give an address such as "
                f"mailto://person@example.com, or write `contacts: {NOBODY}`"
            )
            yield document.fault((*place, "reach"), message)
        elif complaint := reach_complaint(contact.reach):
            yield document.fault((*place, "reach"), complaint)
