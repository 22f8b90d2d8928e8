"""One machine of the process lab: a small stand-in for systemd, for a laptop without root.

It reads the same unit files as the real machines and answers the questions that operations
ask of systemctl, journalctl and ps. It is no systemd: no dependencies, no sandboxing.
"""
