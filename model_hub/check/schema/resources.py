"""The part of Determined's configuration about machines: environment, resources, schedulers."""

from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.check.findings import Path, Problem, dotted
from model_hub.check.schema.types import Either, Keys, ListOf, Number, Shape, Switch, Text

_TEXTS = ListOf(Text(null=False), "a list of texts")
_PROCESSORS = ("cpu", "cuda", "rocm", "gpu")

_OURS = "Determined sets this itself"
# What may not be said of the container in which the trial runs.
_CONTAINER_KEYS = (
    "image",
    "command",
    "args",
    "working_dir",
    "ports",
    "liveness_probe",
    "readiness_probe",
    "startup_probe",
    "lifecycle",
    "termination_message_path",
    "termination_message_policy",
    "image_pull_policy",
    "security_context",
)


class _Container(Shape):
    """A container of a pod; that of the trial is Determined's own affair."""

    @property
    def words(self) -> str:
        return "a mapping of names to values"

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield self._wrong(value, path)
        elif value.get("name", "determined-container") == "determined-container":
            for name in _CONTAINER_KEYS:
                if name in value:
                    where = (*path, name)
                    yield Problem(where, f"{dotted(where)}: {_OURS}; remove the key")


_POD_SPEC = Keys(
    {
        "spec": Keys(
            {"containers": ListOf(_Container(null=False), "a list of containers")}, open=True
        ),
    },
    open=True,
    hints=dict.fromkeys(("name", "name_space"), f"{_OURS}; remove the key"),
)

_PROXY_PORT = Keys(
    {
        "proxy_port": Number(null=False),
        "proxy_tcp": Switch(),
        "unauthenticated": Switch(),
        "default_service_id": Switch(),
    },
    required=("proxy_port",),
    form="a mapping with proxy_port",
    null=False,
)


class _Ports(Shape):
    """Numbers of ports by name."""

    @property
    def words(self) -> str:
        return "a mapping of names to numbers of ports"

    def _problems(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield self._wrong(value, path)
            return
        for name, port in value.items():
            yield from Number(whole=True, null=False).problems(port, (*path, str(name)))


ENVIRONMENT = Keys(
    {
        "image": Either(
            (Text(), Keys({name: Text() for name in _PROCESSORS})),
            "the name of an image, or such names by cpu, cuda and rocm",
        ),
        "environment_variables": Either(
            (_TEXTS, Keys(dict.fromkeys(_PROCESSORS, _TEXTS))),
            "a list of NAME=VALUE, or such lists by cpu, cuda and rocm",
        ),
        "proxy_ports": ListOf(_PROXY_PORT, "a list of mappings with proxy_port"),
        "ports": _Ports(),
        "force_pull_image": Switch(),
        "registry_auth": Keys(
            {
                name: Text()
                for name in (
                    "username",
                    "password",
                    "auth",
                    "email",
                    "serveraddress",
                    "identitytoken",
                    "registrytoken",
                )
            }
        ),
        "add_capabilities": _TEXTS,
        "drop_capabilities": _TEXTS,
        "pod_spec": _POD_SPEC,
    }
)

_DEVICE = Either(
    (
        Keys(
            {
                "host_path": Text(null=False),
                "container_path": Text(null=False),
                "mode": Text(),
            },
            required=("host_path", "container_path"),
        ),
        Text(pattern="^/[^:]*:/[^:]*(:[rwm]*)?", form="/HOST:/CONTAINER"),
    ),
    "/HOST/PATH:/CONTAINER/PATH, or a mapping with host_path and container_path",
    null=False,
)

_MEMORY = r"^([0-9]*[.])?[0-9]+ ?(([kmgtpKMGTP]([iI]?[bB])?)|[bB])?$"
RESOURCES = Keys(
    {
        "agent_label": Text(),
        "devices": ListOf(_DEVICE, "a list of devices"),
        "is_single_node": Switch(),
        "max_slots": Number(whole=True),
        "native_parallel": Switch(),
        "priority": Number(least=1, most=99, whole=True),
        "resource_pool": Text(),
        "shm_size": Either(
            (Number(whole=True), Text(pattern=_MEMORY)), "a size of memory, for instance 4 GiB"
        ),
        "slots": Number(whole=True),
        "slots_per_trial": Number(least=0, whole=True),
        "weight": Number(),
    },
    hints={"slots_per_task": "write slots_per_trial"},
)

PBS = Keys({"slots_per_node": Number(least=1, whole=True), "pbsbatch_args": _TEXTS})
SLURM = Keys(
    {
        "slots_per_node": Number(least=1, whole=True),
        "gpu_type": Text(),
        "sbatch_args": _TEXTS,
    }
)


def _all_needed(fields: Mapping[str, Shape]) -> Keys:
    return Keys(fields, required=tuple(fields), null=False)


INTEGRATIONS = Keys(
    {
        "pachyderm": _all_needed(
            {
                "pachd": _all_needed(
                    {"host": Text(null=False), "port": Number(whole=True, null=False)}
                ),
                "proxy": _all_needed(
                    {
                        "scheme": Text(null=False),
                        "host": Text(null=False),
                        "port": Number(whole=True, null=False),
                    }
                ),
                "dataset": _all_needed(
                    dict.fromkeys(
                        ("project", "repo", "commit", "branch", "token"), Text(null=False)
                    )
                ),
            }
        ),
        "webhooks": Keys(
            {
                "webhook_id": ListOf(Number(whole=True, null=False), "a list of whole numbers"),
                "webhook_name": _TEXTS,
                "exclude": Switch(),
            }
        ),
    }
)
