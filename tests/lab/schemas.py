"""The empty databases that the services begin with, and the hosts on paper that OVN knows."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.lab.places import ADDRESS, ETC, FAKE_HOSTS, KEYSTONE, PASSWORD, REGION, RUN, VAR, database
from tests.lab.processes import run

DATABASES = ["keystone", "glance", "placement", "neutron", "nova_api", "nova_cell0", "nova_cell1", "cinder", "ironic"]
NOVA = ("nova-manage", "--config-file", f"{ETC}/nova/nova.conf")


def prepare() -> None:
    """Make the files that the database servers open when they start."""
    if not (VAR / "mysql/mysql").exists():
        options = ("--no-defaults", "--user=root", f"--datadir={VAR}/mysql", "--skip-test-db")
        run("mariadb-install-db", *options, "--auth-root-authentication-method=normal", log="mariadb-install")
    for name in ("nb", "sb"):
        if not (VAR / f"ovn/{name}.db").exists():
            run("ovsdb-tool", "create", f"{VAR}/ovn/{name}.db", f"/usr/share/ovn/ovn-{name}.ovsschema", log="ovn")


def sql(statement: str) -> str:
    """Run statements in the services' databases as their administrator; return the rows, tab-separated."""
    return run(
        "mariadb", "--no-defaults", "-uroot", f"--socket={RUN}/mysql.sock", "-N", "-B", "-e", statement, log="sql"
    )


def create() -> None:
    """Make all tables, and Keystone's first user."""
    sql(" ".join(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb3;" for name in DATABASES))
    with ThreadPoolExecutor(2) as lanes:
        for lane in [lanes.submit(work) for work in (_neutron, _keystone, _nova, _glance, _cinder, _ironic)]:
            lane.result()


def chassis() -> None:
    """Give each fake host a chassis in OVN: Neutron binds a port only to a host that has one."""
    run("ovn-nbctl", f"--db=unix:{RUN}/ovnnb_db.sock", "init", log="ovn")
    south = ("ovn-sbctl", f"--db=unix:{RUN}/ovnsb_db.sock")
    known = run(*south, "--bare", "--columns=name", "list", "chassis", log="ovn").split()
    for number, host in enumerate(FAKE_HOSTS, 1):
        if host in known:
            continue
        kinds = ("other_config:datapath-type=system", "other_config:iface-types=geneve,vxlan")
        # Type and address must be unique; nothing is ever sent there.
        added = (
            "chassis-add",
            host,
            "geneve",
            f"127.100.0.{number}",
            "--",
            "set",
            "chassis",
            host,
            f"hostname={host}",
            *kinds,
        )
        run(*south, *added, "--", "create", "Chassis_Private", f"name={host}", log="ovn")
        row = run(*south, "--bare", "--columns=_uuid", "find", "chassis", f"name={host}", log="ovn").strip()
        run(*south, "set", "Chassis_Private", host, f"chassis={row}", "nb_cfg=0", log="ovn")


def map_hosts() -> None:
    """Tell Nova which hosts its cell has."""
    run(*NOVA, "cell_v2", "discover_hosts", "--by-service", log="nova-manage")


def _keystone() -> None:
    manage = ("keystone-manage", "--config-file", f"{ETC}/keystone/keystone.conf")
    for step in ("fernet_setup", "credential_setup"):
        run(*manage, step, "--keystone-user", "root", "--keystone-group", "root", log="keystone-manage")
    run(*manage, "db_sync", log="keystone-manage")
    urls = [f"--bootstrap-{kind}-url={KEYSTONE}" for kind in ("admin", "internal", "public")]
    run(
        *manage,
        "bootstrap",
        f"--bootstrap-password={PASSWORD}",
        f"--bootstrap-region-id={REGION}",
        *urls,
        log="keystone-manage",
    )


def _nova() -> None:
    steps = (
        ("api_db", "sync"), ("cell_v2", "map_cell0", "--database_connection", database("nova_cell0")),
        ("cell_v2", "create_cell", "--name", "cell1"), ("db", "sync"),
    )  # fmt: skip
    for step in steps:
        run(*NOVA, *step, log="nova-manage")
    run("placement-manage", "--config-file", f"{ETC}/placement/placement.conf", "db", "sync", log="placement-manage")


def _neutron() -> None:
    run("neutron-db-manage", "--config-file", f"{ETC}/neutron/neutron.conf", "upgrade", "heads", log="neutron-manage")


def _glance() -> None:
    run("glance-manage", "--config-file", f"{ETC}/glance/glance-api.conf", "db_sync", log="glance-manage")


def _cinder() -> None:
    run("cinder-manage", "--config-file", f"{ETC}/cinder/cinder.conf", "db", "sync", log="cinder-manage")


def _ironic() -> None:
    run("ironic-dbsync", "--config-file", f"{ETC}/ironic/ironic.conf", "upgrade", log="ironic-manage")


_Work = Callable[[], None]
assert ADDRESS.startswith("127."), "Without passwords of their own, the services stay on loopback."
