"""The practice fleet: real machines to break and to bring back, on one Linux machine."""
