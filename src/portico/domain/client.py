"""The device in front of a person. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Client:
    """The device in front of a person, as far as we know it. Its address is seen, all else is what it says of itself."""

    address: str
    kind: str = "web"  # "web" | "connect" | "pcoip" | "api"
    name: str = ""
    os: str = ""
    user_agent: str = ""
    entrance: str = ""  # the origin of ours by which it came
    tunnels: bool = False  # it comes by a tunnel, so that no port is opened for it
    device: str = (
        ""  # a random name that it keeps; whoever shows it is taken for the same device, and gets nothing by it
    )
    os_version: str = ""
    maker: str = ""
    model: str = ""
    macs: tuple[str, ...] = ()  # of its network cards, written aa:bb:cc:dd:ee:ff
    software: str = ""  # the browser or program that it comes with, such as Firefox 128
