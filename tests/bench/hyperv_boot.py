"""hyperv_boot_ratio: boot_ratio with the machines powered through PowerShell remoting.

What lives here: the Hyper-V host beside the product, over the lab's own machines. What must not:
measuring (boot.py). The host runs in the benchmark's process and shares the machine's cores with
everything that boots, which a real one does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.lab.lab import Lab
from tests.bench import boot, product
from tests.bench.figures import Figure
from tests.bench.product import Product
from tests.hyperv.on_lab import hyperv_over


@contextmanager
def running(lab: Lab, home: Path, logs: Path) -> Iterator[Product]:
    with (
        hyperv_over(lab, home.parent / "hyperv") as (_, fleet),
        product.running(lab, home, logs, fleet) as made,
    ):
        yield made


def measure(product: Product, rounds: int | None) -> list[Figure]:
    what = "AutoBot's six nspawn machines behind a Hyper-V host on psrpcore, power lost"
    return boot.ratios("hyperv_boot_ratio", product, rounds, what)
