"""What a gateway gives back: also what grew slowly."""

import pytest

from portico.gateway.memory import GROWN, Housekeeper

pytestmark = pytest.mark.capability("S031")


def test_slow_growth_adds_up() -> None:
    """A trim comes when the process has grown by so much since the last one, however many looks that took; a smaller process counts anew."""
    size, trims = [100 << 20], list[int]()

    def trim(pad: int) -> int:
        trims.append(size[0])
        return 1

    housekeeper = Housekeeper(trim, lambda: size[0])
    for _ in range(4):
        size[0] += GROWN // 3
        housekeeper.tidy()
    assert len(trims) == 1
    size[0] -= GROWN // 2
    housekeeper.tidy()
    size[0] += GROWN + 1
    housekeeper.tidy()
    assert len(trims) == 2
