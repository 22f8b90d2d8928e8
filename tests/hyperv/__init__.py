"""A Hyper-V host for tests: PowerShell remoting served on psrpcore, asked by the real pypsrp."""
