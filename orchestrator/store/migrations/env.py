"""How Alembic runs our migrations: on the connection, and in the transaction, of `open_store`.

What must not be here: a URL or a configuration file of its own; a migration is only ever
run by opening the store.
"""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
