"""The store of incidents and runs: in SQL, and its twin in memory."""

from orchestrator.store.memory import MemoryStore
from orchestrator.store.opening import StoreRefused, open_store

__all__ = ["MemoryStore", "StoreRefused", "open_store"]
