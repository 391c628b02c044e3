"""The configuration files of Neutron and Nova."""

from tests.lab import rights
from tests.lab.config import Section, account, basics, copy, directories, ini, sections, uwsgi, write
from tests.lab.places import ADDRESS, ETC, FAKE_HOSTS, METAL_HOST, PASSWORD, RUN, VAR, VENV, database


def neutron() -> None:
    """Write Neutron's files: ML2 with OVN, whose fake hosts have a chassis on paper only."""
    own = {
        "state_path": VAR / "neutron", "core_plugin": "ml2", "service_plugins": "ovn-router",
        "api_paste_config": VENV / "etc/neutron/api-paste.ini", "notify_nova_on_port_status_changes": "true",
        "notify_nova_on_port_data_changes": "true",
        "agent_down_time": 2000000,  # A chassis on paper never says that it lives.
    }  # fmt: skip
    ml2 = {
        "type_drivers": "local,flat,geneve", "project_network_types": "geneve", "mechanism_drivers": "ovn",
        "extension_drivers": "port_security", "overlay_ip_version": 4,
    }  # fmt: skip
    ovn = {
        "ovn_nb_connection": f"unix:{RUN}/ovnnb_db.sock", "ovn_sb_connection": f"unix:{RUN}/ovnsb_db.sock",
        "ovn_metadata_enabled": "true", "enable_distributed_floating_ip": "false",
    }  # fmt: skip
    parts: dict[str, Section] = {
        "DEFAULT": {**basics(), **own}, **sections("neutron"), "ml2": ml2, "ovn": ovn,
        "nova": account("nova"), "placement": account("placement"),
        "ml2_type_flat": {"flat_networks": "public,dry"}, "ml2_type_geneve": {"vni_ranges": "1:65536", "max_header_size": 38},
        "securitygroup": {"enable_security_group": "true"}, "ovs": {"ovsdb_connection": f"unix:{RUN}/db.sock"},
        "AGENT": {"root_helper": ""},
    }  # fmt: skip
    directories(VAR / "neutron")
    write("neutron/neutron.conf", ini(parts))
    write("neutron/policy.yaml", rights.policy("neutron"))
    uwsgi("neutron", "neutron.wsgi.api", 2)


def nova() -> None:
    """Write Nova's files, one more for each process of nova-compute."""
    own = {
        "state_path": VAR / "nova", "allow_resize_to_same_host": "true", "reserved_host_memory_mb": 0,
        "reserved_host_disk_mb": 0, "cpu_allocation_ratio": 16, "ram_allocation_ratio": 16, "disk_allocation_ratio": 16,
        "report_interval": 5, "service_down_time": 40,
    }  # fmt: skip
    metadata = {"service_metadata_proxy": "true", "metadata_proxy_shared_secret": PASSWORD}
    parts: dict[str, Section] = {
        "DEFAULT": {**basics(), **own}, **sections("nova"), "api": {"auth_strategy": "keystone"},
        "wsgi": {"api_paste_config": ETC / "nova/api-paste.ini"},
        "database": {"connection": database("nova_cell1"), "max_pool_size": 10},
        "api_database": {"connection": database("nova_api"), "max_pool_size": 10},
        **{name: account("nova") for name in ("keystone", "glance", "placement", "cinder")},
        "service_user": {"send_service_user_token": "true", **account("nova")},
        "neutron": {**account("neutron"), **metadata},
        "conductor": {"workers": 1}, "scheduler": {"workers": 1, "enable_isolated_aggregate_filtering": "true"},
        # Otherwise the same host is always the first of equals.
        "filter_scheduler": {"shuffle_best_same_weighed_hosts": "true"},
        "vnc": {"server_listen": ADDRESS, "server_proxyclient_address": ADDRESS},
        "os_vif_ovs": {"ovsdb_connection": f"unix:{RUN}/db.sock"},
    }  # fmt: skip
    write("nova/nova.conf", ini(parts))
    write("nova/policy.yaml", rights.policy("nova"))
    copy("nova/api-paste.ini", VENV / "etc/nova/api-paste.ini")  # The loader wants it beside nova.conf.
    for host in FAKE_HOSTS:
        _compute(host, {"DEFAULT": {"compute_driver": "labfake.LabFake"}})
    # Bare metal answers questions about power from a cache; ten minutes would be long for a test.
    metal = {"compute_driver": "ironic.IronicDriver", "sync_power_state_interval": 30}
    ironic = {**account("nova"), "api_max_retries": 10, "api_retry_interval": 1}
    _compute(METAL_HOST, {"DEFAULT": metal, "ironic": ironic})
    uwsgi("nova-api", "nova.wsgi.osapi_compute", 2)
    uwsgi("nova-metadata", "nova.wsgi.metadata", 1)


def _compute(host: str, parts: dict[str, Section]) -> None:
    """Write what one process of nova-compute has for itself: its name, and a directory where it finds itself again."""
    directories(VAR / host / "instances")
    own = {"host": host, "state_path": VAR / host}
    write(f"nova-compute/{host}.conf", ini({**parts, "DEFAULT": {**own, **parts["DEFAULT"]}}))
