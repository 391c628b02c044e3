"""What stands in the lab from the beginning. Every step looks first, so that running it again changes nothing."""

from concurrent.futures import ThreadPoolExecutor

from tests.lab import facts, seed_compute, seed_identity, seed_metal, seed_network

NODES = seed_metal.NODES
identity = seed_identity.seed
metal = seed_metal.seed


def cloud() -> None:
    """Make all that needs more than Keystone and Ironic, and write down what there is."""
    with ThreadPoolExecutor(2) as lanes:
        for lane in [lanes.submit(seed_network.seed), lanes.submit(seed_compute.seed)]:
            lane.result()
    facts.write()
