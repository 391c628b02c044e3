"""The plan by which people reach a desktop."""

from dataclasses import dataclass

WATERMARK_TAGS = ("USER", "DESKTOP", "TIME")  # the last is filled in by the page, which knows the person's zone


@dataclass(frozen=True, slots=True)
class ProtocolPlan:
    """Which protocols may be used, best first, and what a session may do."""

    id: str
    tenant_id: str
    name: str
    protocols: tuple[str, ...] = ("vnc", "ssh", "rdp")
    clipboard_in: bool = True
    clipboard_out: bool = True
    files_in: bool = True
    files_out: bool = True
    drives: bool = True
    printers: bool = True
    usb: bool = True
    view_only: bool = False
    idle_minutes: int | None = None  # without input for so long ends the session; None: never
    max_minutes: int | None = None  # how long a connection may last; None: for ever
    watermark: str = ""  # laid over the picture in the browser; tags {USER}, {DESKTOP}, {TIME}
    recording: str = "off"  # off | on (a session goes on where it fails) | required
    shadowing: str = "view"  # what a helper may do in a session whose person agreed: off | view | control
    forward: str = "random_filtered"  # how a gateway opens ports for clients of a device: same_port | random_filtered | random_open | off
    gateway_group_id: str | None = (
        None  # only through gateways of this group; None: as the location says, or any that reaches the desktop
    )
    deep_colour: bool = True  # an RDP desktop in the browser sends 32 bits a pixel
    version: int = 1

    @property
    def records(self) -> bool:
        """Whether sessions are recorded, or must be."""
        return self.recording != "off"
