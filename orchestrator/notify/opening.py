"""From the configuration and the settings to what calls people, or why it cannot.

What lives here: putting the parts together. What must not: any behaviour of the parts.
"""

from __future__ import annotations

from orchestrator.config import Configuration
from orchestrator.core.plan import Fault
from orchestrator.notify.delivery import Deliverer
from orchestrator.notify.mail import MailServer, read_mail_server
from orchestrator.notify.message import Site
from orchestrator.notify.reaching import Channels, without_mail_server
from orchestrator.ports import Clock, Store
from orchestrator.settings import Settings


def calling_faults(configuration: Configuration, settings: Settings) -> tuple[Fault, ...]:
    """Everything that keeps people from being called. Nothing may be watched with one of these."""
    server = _mail_server(settings)
    if isinstance(server, Fault):
        return (*configuration.uncallable, server)
    contacts = configuration.inventory.contacts
    return (*configuration.uncallable, *without_mail_server(contacts, server))


def make_deliverer(
    configuration: Configuration, settings: Settings, store: Store, now: Clock
) -> Deliverer:
    """For a configuration without `calling_faults`."""
    server = _mail_server(settings)
    channels = Channels(None if isinstance(server, Fault) else server)
    site = Site(configuration.fleet.name, settings.public_url, configuration.scenarios)
    return Deliverer(store, channels, configuration.inventory.contacts, site, now)


def _mail_server(settings: Settings) -> MailServer | Fault | None:
    if settings.smtp_url is None:
        return None
    return read_mail_server(settings.smtp_url.get_secret_value(), settings.smtp_from)
