"""The configuration files of Cinder and Ironic."""

from tests.lab.config import Section, account, basics, copy, directories, ini, privileged, sections, uwsgi, write
from tests.lab.places import ADDRESS, ETC, VAR, VENV, url

SHARE = f"{ADDRESS}:/lab"


def cinder() -> None:
    """Write Cinder's files: volumes are sparse files in one directory."""
    own = {
        "host": "lab", "state_path": VAR / "cinder", "auth_strategy": "keystone", "api_paste_config": ETC / "cinder/api-paste.ini",
        "resource_query_filters_file": ETC / "cinder/resource_filters.json", "glance_api_servers": url("glance"),
        "enabled_backends": "files", "default_volume_type": "__DEFAULT__", "report_interval": 5, "service_down_time": 40,
        "periodic_fuzzy_delay": 1,  # No minute's wait for the first report of what there is.
    }  # fmt: skip
    backend = {
        "volume_backend_name": "files", "volume_driver": "labnfs.LabNfs", "nfs_shares_config": ETC / "cinder/shares",
        "nfs_mount_point_base": VAR / "cinder/mnt", "nfs_snapshot_support": "true",
        # A clone of a raw volume with a snapshot is raw but recorded as qcow2, and cannot be extended then.
        "nfs_qcow2_volumes": "true",
        "nas_secure_file_operations": "false", "nas_secure_file_permissions": "false",
        "max_over_subscription_ratio": "1000.0", "reserved_percentage": 0,
    }  # fmt: skip
    parts: dict[str, Section] = {
        "DEFAULT": {**basics(), **own}, **sections("cinder"), "files": backend,
        "nova": account("cinder"), "service_user": {"send_service_user_token": "true", **account("cinder")},
        "coordination": {"backend_url": f"file://{VAR}/cinder/coordination"},
        **privileged(("cinder_sys_admin", "privsep_osbrick"), "cinder/cinder.conf"),
    }  # fmt: skip
    directories(VAR / "cinder/mnt")
    write("cinder/cinder.conf", ini(parts))
    write("cinder/policy.yaml", "{}\n")
    write("cinder/shares", SHARE + "\n")
    for name in ("api-paste.ini", "resource_filters.json"):
        copy(f"cinder/{name}", VENV / "etc/cinder" / name)
    uwsgi("cinder-api", "cinder.wsgi.api", 1, f"--config-file {ETC}/cinder/cinder.conf")


def ironic() -> None:
    """Write Ironic's files: every part of its hardware is imitated, at once and without fail."""
    kinds = [
        "bios",
        "boot",
        "console",
        "deploy",
        "firmware",
        "inspect",
        "management",
        "network",
        "power",
        "raid",
        "rescue",
        "storage",
        "vendor",
    ]
    only = {
        "network": "noop",
        "storage": "noop,fake",
        "boot": "fake",
        "deploy": "fake",
        "management": "fake",
        "power": "fake",
    }
    own: dict[str, object] = {
        "host": "lab-ironic", "state_path": VAR / "ironic", "auth_strategy": "keystone", "rpc_transport": "oslo",
        # Without it Nova's user sees no node at all, and no error either.
        "rbac_service_role_elevated_access": "true",
        "enabled_hardware_types": "fake-hardware", "default_network_interface": "noop", "default_storage_interface": "noop",
        **{f"enabled_{kind}_interfaces": only.get(kind, f"no-{kind},fake") for kind in kinds},
    }  # fmt: skip
    parts: dict[str, Section] = {
        "DEFAULT": {**basics(), **own}, **sections("ironic"), "api": {"host_ip": ADDRESS},
        # With fewer than 27 workers the conductor dies and is born again for ever.
        "conductor": {"automated_clean": "false", "workers_pool_size": 60}, "json_rpc": {"host_ip": ADDRESS},
        **{name: account("ironic") for name in ("service_catalog", "nova", "neutron", "glance", "cinder")},
    }  # fmt: skip
    directories(VAR / "ironic")
    write("ironic/ironic.conf", ini(parts))
    write("ironic/policy.yaml", "{}\n")
    uwsgi("ironic-api", "ironic.wsgi", 1, f"--config-file {ETC}/ironic/ironic.conf")
