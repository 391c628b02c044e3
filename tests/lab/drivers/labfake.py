"""Nova's fake hypervisor, and what tests miss in it: snapshots that finish, and builds that are slow or fail when told to.

Nova takes drivers from nova.virt alone, so this file is also the program: labfake.py --config-file …
The file that LAB_FAULTS names may hold {"name of a server or its beginning": {"seconds": 5, "error": "why"}}.
"""

import io
import json
import os
import sys
import time
from pathlib import Path

from nova import exception
from nova.cmd import compute  # First: it sets up threading.
from nova.image import glance
from nova.virt import fake
from nova.volume import cinder


def faults(name):
    """What is to happen to the build of this server."""
    try:
        wanted = json.loads(Path(os.environ["LAB_FAULTS"]).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return next((what for start, what in wanted.items() if name.startswith(start)), {})


class LabFake(fake.FakeDriverWithoutFakeNodes):
    """The variant of the fake driver that keeps its node over a restart, with more of what a real one does."""

    def spawn(self, context, instance, *args, **kwargs):
        """Build a server, or do what the tests want instead."""
        fault = faults(instance.display_name or "")
        time.sleep(fault.get("seconds", 0))
        if "error" in fault:
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason=fault["error"])
        return super().spawn(context, instance, *args, **kwargs)

    def snapshot(self, context, instance, image_id, update_task_state):
        """Upload an image, as real hypervisors do; it holds nothing."""
        super().snapshot(context, instance, image_id, update_task_state)
        formats = {"disk_format": "raw", "container_format": "bare"}
        glance.API().update(context, image_id, formats, io.BytesIO(bytes(65536)), purge_props=False)

    def volume_snapshot_create(self, context, instance, volume_id, create_info):
        """Tell Cinder to complete its record of the snapshot."""
        cinder.API().update_snapshot_status(context, create_info["snapshot_id"], "creating")

    def volume_snapshot_delete(self, context, instance, volume_id, snapshot_id, delete_info):
        """Tell Cinder to remove its record of the snapshot."""
        cinder.API().update_snapshot_status(context, snapshot_id, "deleting")


if __name__ == "__main__":
    import labfake

    sys.modules["nova.virt.labfake"] = labfake
    sys.argv[0] = "nova-compute"
    compute.main()
