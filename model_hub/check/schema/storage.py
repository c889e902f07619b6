"""The part of Determined's configuration about where checkpoints are kept."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from model_hub.check.findings import Path, Problem, dotted
from model_hub.check.schema.types import ByKind, Keys, Number, Shape, Text

_KEPT: dict[str, Shape] = {
    name: Number(least=0, whole=True)
    for name in ("save_experiment_best", "save_trial_best", "save_trial_latest")
}


def _inside_host_path(value: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    folder, host = value.get("storage_path"), value.get("host_path")
    if isinstance(folder, str) and isinstance(host, str):
        inner, outer = posixpath.normpath(folder), posixpath.normpath(host)
        outside = not inner.startswith(outer) if inner.startswith("/") else inner.startswith("..")
        if outside:
            where = (*path, "storage_path")
            yield Problem(
                where,
                f"{dotted(where)} is {folder!r}, but should be relative, or inside of host_path "
                f"{host!r}",
            )


def _one_credential(value: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    if isinstance(value.get("connection_string"), str) and isinstance(value.get("credential"), str):
        where = (*path, "credential")
        yield Problem(
            where,
            f"{dotted(where)} and connection_string are both set; remove one of them",
        )


_PREFIX = Text(
    pattern=r"^(?!(.*/)?\.\.(/|$))", form="a path in the bucket without .. in it", null=True
)
_STORAGE: dict[str, dict[str, Shape]] = {
    "shared_fs": {
        name: Text()
        for name in (
            "host_path",
            "storage_path",
            "propagation",
            "container_path",
            "checkpoint_path",
            "tensorboard_path",
        )
    },
    "directory": {"container_path": Text()},
    "s3": {
        "access_key": Text(),
        "bucket": Text(),
        "secret_key": Text(),
        "endpoint_url": Text(),
        "prefix": _PREFIX,
    },
    "gcs": {"bucket": Text(), "prefix": _PREFIX},
    "azure": {
        name: Text() for name in ("container", "connection_string", "account_url", "credential")
    },
}
_RULES = {"shared_fs": (_inside_host_path,), "azure": (_one_credential,)}


def _storage(kinds: tuple[str, ...], kept: Mapping[str, Shape], unsaid: Shape) -> ByKind:
    shapes = {
        kind: Keys({"type": Text(), **_STORAGE[kind], **kept}, rules=_RULES.get(kind, ()))
        for kind in kinds
    }
    return ByKind("type", shapes, unsaid=unsaid)


_ALL_STORAGE_KEYS: dict[str, Shape] = {
    name: Shape() for fields in _STORAGE.values() for name in (*fields, "user")
}
CHECKPOINT_STORAGE = _storage(tuple(_STORAGE), _KEPT, Keys({**_ALL_STORAGE_KEYS, **_KEPT}))
# Nobody reads it any more, but a wrong one is still refused.
TENSORBOARD_STORAGE = _storage(
    ("shared_fs", "s3", "gcs"), {}, Keys({"type": Text()}, required=("type",), open=True)
)
