"""The processes that make up the lab, in the order in which they start."""

import sys

from tests.lab import config, config_compute, config_storage
from tests.lab.places import ADDRESS, BIN, ETC, FAKE_HOSTS, METAL_HOST, PORTS, RUN, VAR
from tests.lab.processes import Service


def configure() -> None:
    """Write the configuration of everything."""
    config.infrastructure()
    for write in (config.keystone, config.glance, config.placement, config_compute.neutron, config_compute.nova):
        write()
    config_storage.cinder()
    config_storage.ironic()


def infrastructure() -> list[Service]:
    """Return databases, message broker and cache."""
    quick = ("flush-log-at-trx-commit=0", "doublewrite=0", "buffer-pool-size=256M", "log-file-size=96M")
    mariadb = (
        "mariadbd", "--no-defaults", "--user=root", f"--datadir={VAR}/mysql", f"--socket={RUN}/mysql.sock", "--skip-networking",
        f"--pid-file={RUN}/mysql", "--skip-log-bin", "--skip-name-resolve", *(f"--innodb-{option}" for option in quick),
        "--max-connections=500", "--performance-schema=OFF", "--character-set-server=utf8mb3", "--collation-server=utf8mb3_general_ci",
    )  # fmt: skip
    memcached = ("memcached", "-u", "root", "-l", ADDRESS, "-p", str(PORTS["memcached"]), "-U", "0", "-m", "64")
    # Erlang's port mapper would otherwise start itself, listen everywhere, and stay.
    mapper = {"ERL_EPMD_ADDRESS": ADDRESS, "ERL_EPMD_PORT": str(PORTS["epmd"])}
    erlang = (
        "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
    )
    rabbit = {
        **mapper, "RABBITMQ_NODENAME": "lab@localhost", "RABBITMQ_DIST_PORT": str(PORTS["rabbitmq-peers"]),
        "RABBITMQ_CONFIG_FILE": f"{ETC}/rabbitmq/rabbitmq", "RABBITMQ_ENABLED_PLUGINS_FILE": f"{ETC}/rabbitmq/enabled_plugins",
        "RABBITMQ_MNESIA_BASE": f"{VAR}/mnesia", "RABBITMQ_LOG_BASE": f"{VAR}/mnesia", "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null", "RABBITMQ_PID_FILE": f"{VAR}/mnesia/pid",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erlang, "HOME": f"{VAR}/mnesia",
    }  # fmt: skip
    return [
        Service("mariadb", mariadb),
        Service("epmd", ("epmd", "-address", ADDRESS, "-port", str(PORTS["epmd"])), environment=mapper),
        Service("memcached", memcached),
        Service("rabbitmq", ("/usr/lib/rabbitmq/bin/rabbitmq-server",), ("rabbitmq",), rabbit),
        *(_ovsdb(name) for name in ("nb", "sb")),
    ]


def _ovsdb(name: str) -> Service:
    sockets = (f"--remote=punix:{RUN}/ovn{name}_db.sock", f"--unixctl={RUN}/ovn{name}_db.ctl")
    command = ("ovsdb-server", "--no-chdir", "-vconsole:warn", "-vsyslog:off", *sockets, f"{VAR}/ovn/{name}.db")
    return Service(f"ovn-{name}", command)


def northd() -> Service:
    """Return what turns OVN's northbound into its southbound database."""
    ends = (
        f"--ovnnb-db=unix:{RUN}/ovnnb_db.sock",
        f"--ovnsb-db=unix:{RUN}/ovnsb_db.sock",
        f"--unixctl={RUN}/northd.ctl",
    )
    return Service("ovn-northd", ("ovn-northd", "--no-chdir", "-vconsole:warn", "-vsyslog:off", *ends))


def _api(name: str, *configs: str, **environ: str) -> Service:
    return Service(name, (f"{BIN}/uwsgi", "--ini", f"{ETC}/uwsgi/{name}.ini"), (f"uwsgi/{name}.ini", *configs), environ)


def keystone() -> Service:
    """Return Keystone, which all others ask."""
    where = {"OS_KEYSTONE_CONFIG_DIR": f"{ETC}/keystone", "OS_KEYSTONE_CONFIG_FILES": f"{ETC}/keystone/keystone.conf"}
    return _api("keystone", "keystone", **where)


def apis() -> list[Service]:
    """Return the other services that answer HTTP."""
    neutron = {"OS_NEUTRON_CONFIG_DIR": f"{ETC}/neutron", "OS_NEUTRON_CONFIG_FILES": f"{ETC}/neutron/neutron.conf"}
    return [
        _api("placement", "placement", OS_PLACEMENT_CONFIG_DIR=f"{ETC}/placement"),
        _api("neutron", "neutron", **neutron),
        _api("nova-api", "nova", OS_NOVA_CONFIG_DIR=f"{ETC}/nova"),
        _api("nova-metadata", "nova", OS_NOVA_CONFIG_DIR=f"{ETC}/nova"),
        _api("glance", "glance", OS_GLANCE_CONFIG_DIR=f"{ETC}/glance"),
        _api("cinder-api", "cinder"),
        _api("ironic-api", "ironic"),
    ]


def workers() -> list[Service]:
    """Return the services that answer nobody, the computes aside."""
    files = {
        "nova-conductor": "nova/nova.conf", "nova-scheduler": "nova/nova.conf",
        "neutron-periodic-workers": "neutron/neutron.conf", "neutron-ovn-maintenance-worker": "neutron/neutron.conf",
        "ironic-conductor": "ironic/ironic.conf", "cinder-scheduler": "cinder/cinder.conf",
    }  # fmt: skip
    made = [_worker(name, (f"{BIN}/{name}",), file) for name, file in files.items()]
    own = {"PYTHONPATH": f"{ETC}/drivers"}
    volumes = Service(
        "cinder-volume", (f"{BIN}/cinder-volume", *_files("cinder/cinder.conf")), ("cinder", "drivers/labnfs.py"), own
    )
    return [*made, volumes]


def computes() -> list[Service]:
    """Return the processes of nova-compute: one for each fake hypervisor, one for bare metal."""
    fake = (f"{BIN}/python", f"{ETC}/drivers/labfake.py")
    made = [_compute(host, fake, ("drivers/labfake.py",), LAB_FAULTS=f"{RUN}/faults.json") for host in FAKE_HOSTS]
    return [*made, _compute(METAL_HOST, (f"{BIN}/nova-compute",))]


def _files(*files: str) -> tuple[str, ...]:
    return tuple(argument for file in files for argument in ("--config-file", f"{ETC}/{file}"))


def _worker(name: str, program: tuple[str, ...], file: str) -> Service:
    return Service(name, (*program, *_files(file)), (file.partition("/")[0],))


def _compute(host: str, program: tuple[str, ...], more: tuple[str, ...] = (), **environ: str) -> Service:
    own = f"nova-compute/{host}.conf"
    return Service(f"nova-compute-{host}", (*program, *_files("nova/nova.conf", own)), ("nova", own, *more), environ)


def everything() -> list[Service]:
    """Return all of them."""
    return [*infrastructure(), northd(), keystone(), *apis(), *workers(), *computes()]


assert sys.platform == "linux", "The lab needs Linux: it looks into /proc."
