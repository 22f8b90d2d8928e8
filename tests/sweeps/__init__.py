"""Long runs on the practice fleet: `make sweep`. A short part is among the tests."""
