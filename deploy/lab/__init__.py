"""The practice fleet: real machines to break and to bring back, on one Linux machine."""


class LabFault(Exception):
    """The practice fleet could not do what was asked; the sentence says what and why."""
