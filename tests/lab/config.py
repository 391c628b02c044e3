"""The configuration files of the lab: what all services share, and Keystone's, Glance's and Placement's own."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.lab import rights
from tests.lab.places import ADDRESS, ETC, KEYSTONE, PASSWORD, PORTS, REGION, RUN, SOURCES, VAR, VENV, database, url

Section = Mapping[str, object]


def ini(sections: Mapping[str, Section]) -> str:
    """Return the text of a configuration file."""
    lines: list[str] = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    return "\n".join(lines)


def write(path: str, text: str) -> None:
    """Write a file below etc/."""
    file = ETC / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def copy(path: str, source: Path) -> None:
    """Write a file below etc/ as it stands elsewhere."""
    write(path, source.read_text("utf-8"))


def directories(*paths: Path) -> None:
    """Make directories that nobody else may look into."""
    for path in paths:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)


def basics() -> Section:
    """Return what stands in everybody's [DEFAULT]."""
    broker = f"rabbit://guest:guest@{ADDRESS}:{PORTS['rabbitmq']}/"
    return {"use_stderr": "true", "transport_url": broker, "my_ip": ADDRESS}


def account(user: str) -> Section:
    """Return how a service logs in to Keystone."""
    return {
        "auth_url": KEYSTONE, "auth_type": "password", "username": user, "password": PASSWORD, "project_name": "service",
        "user_domain_name": "Default", "project_domain_name": "Default", "region_name": REGION,
    }  # fmt: skip


def tokens(user: str) -> Section:
    """Return how a service checks the tokens that it is shown."""
    more = {"service_token_roles": "service", "service_token_roles_required": "true"}
    cache = {"memcached_servers": f"{ADDRESS}:{PORTS['memcached']}"}
    return {**account(user), "www_authenticate_uri": KEYSTONE, **cache, **more}


def sections(user: str) -> dict[str, Section]:
    """Return the sections that stand alike in every service's file."""
    return {
        "database": {"connection": database(user), "max_pool_size": 10},
        "keystone_authtoken": tokens(user),
        "oslo_concurrency": {"lock_path": VAR / "lock"},
        "oslo_messaging_rabbit": {"heartbeat_in_pthread": "false"},
        "oslo_policy": {"enforce_scope": "true", "policy_file": ETC / user / "policy.yaml"},
    }


def privileged(names: Iterable[str], *files: str) -> dict[str, Section]:
    """Return how the helpers with more rights are started: directly, as we are root already."""
    arguments = " ".join(f"--config-file {ETC / file}" for file in files)
    return {name: {"helper_command": f"{VENV / 'bin/privsep-helper'} {arguments}"} for name in names}


def uwsgi(name: str, module: str, processes: int, arguments: str = "") -> None:
    """Write how uWSGI serves the API `name`."""
    values: dict[str, object] = {
        "http-socket": f"{ADDRESS}:{PORTS[name]}", "module": f"{module}:application", "virtualenv": VENV,
        "master": "true", "processes": processes, "threads": 1, "enable-threads": "true", "lazy-apps": "true",
        "die-on-term": "true", "need-app": "true", "buffer-size": 65535, "thunder-lock": "true",
        "add-header": "Connection: close", "worker-reload-mercy": 5, "disable-logging": "true", "log-5xx": "true",
        "log-4xx": "true",
    }  # fmt: skip
    if arguments:
        values["pyargv"] = arguments
    write(f"uwsgi/{name}.ini", ini({"uwsgi": values}))


def keystone() -> None:
    """Write Keystone's files."""
    cache = {
        "enabled": "true",
        "backend": "dogpile.cache.memcached",
        "memcache_servers": f"{ADDRESS}:{PORTS['memcached']}",
    }
    parts: dict[str, Section] = {
        "DEFAULT": basics(), **sections("keystone"), "cache": cache,
        # Bcrypt's usual twelve rounds cost half a second for each log-in by password.
        "identity": {"password_hash_rounds": 4},
        "fernet_tokens": {"key_repository": VAR / "fernet"}, "credential": {"key_repository": VAR / "credential"},
        "token": {"expiration": 14400},
    }  # fmt: skip
    del parts["keystone_authtoken"]
    directories(VAR / "fernet", VAR / "credential")
    write("keystone/keystone.conf", ini(parts))
    write("keystone/policy.yaml", "{}\n")
    uwsgi("keystone", "keystone.wsgi.api", 2)


def glance() -> None:
    """Write Glance's files: images are files in a directory."""
    areas = {name: VAR / name for name in ("images", "staging", "tasks")}
    directories(*areas.values())
    own = {"enabled_backends": "file:file", "worker_self_reference_url": url("glance"), "enabled_import_methods": "[]"}
    paste = {"flavor": "keystone", "config_file": VENV / "etc/glance/glance-api-paste.ini"}
    parts = {
        "DEFAULT": {**basics(), **own}, **sections("glance"), "paste_deploy": paste,
        "glance_store": {"default_backend": "file"}, "file": {"filesystem_store_datadir": areas["images"]},
        "os_glance_staging_store": {"filesystem_store_datadir": areas["staging"]},
        "os_glance_tasks_store": {"filesystem_store_datadir": areas["tasks"]},
    }  # fmt: skip
    write("glance/glance-api.conf", ini(parts))
    write("glance/policy.yaml", rights.policy("glance"))
    uwsgi("glance", "glance.wsgi.api", 1)


def placement() -> None:
    """Write Placement's files."""
    parts = {
        "DEFAULT": {"use_stderr": "true"}, "api": {"auth_strategy": "keystone"},
        "placement_database": {"connection": database("placement")}, "keystone_authtoken": tokens("placement"),
    }  # fmt: skip
    write("placement/placement.conf", ini(parts))
    uwsgi("placement", "placement.wsgi.api", 1)


def infrastructure() -> None:
    """Write what the message broker wants, and the programs that the services expect to find."""
    lines = [
        f"listeners.tcp.local = {ADDRESS}:{PORTS['rabbitmq']}", "loopback_users.guest = true", "log.console = true", "log.file = false",
        "vm_memory_high_watermark.absolute = 512MB", "disk_free_limit.absolute = 50MB",
    ]  # fmt: skip
    write("rabbitmq/rabbitmq.conf", "\n".join(lines) + "\n")
    write("rabbitmq/enabled_plugins", "[].\n")
    # Cinder's driver asks for it before it finds that it has nothing to mount.
    write("bin/mount.nfs", "#!/bin/sh\nexit 1\n")
    (ETC / "bin/mount.nfs").chmod(0o755)
    for file in (SOURCES / "drivers").glob("*.py"):
        copy(f"drivers/{file.name}", file)
    directories(RUN, VAR / "lock", VAR / "mnesia", VAR / "ovn")
