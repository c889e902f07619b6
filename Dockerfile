# An image that trains with model-hub: on its own, and as `environment.image` of Determined 0.38.
# docs/how-to/image.md says how it is used; `make image` builds it.
#
# What Determined asks of an image, as its master's start-up scripts and the installed package
# `determined` have it:
#
# - /bin/bash, getent and coreutils, which every Debian has, and `python3` with pip on the PATH. The
#   command of a task begins with `python3`, and so do the commands by which determined.launch and
#   determined.exec start each other.
# - No ENTRYPOINT: the agent hands its command over as CMD, which an ENTRYPOINT would swallow.
# - `python3 -m pip install --user determined*.whl`, the master's own wheel, has to work at the start
#   of every container, as whatever user the cluster maps the task to, without a network (so what
#   `determined` needs is in the image), and its version has to win over the image's. That is why no
#   virtual environment is used: pip refuses --user in one; in one that sees the system's packages, it
#   refuses to install another version of what the environment has, which would come first.
# - A writable HOME for a user that is not in /etc/passwd. Work and temporary files go to
#   /run/determined and /tmp, which the agent provides.
# - No SSH server: only Determined's Horovod and DeepSpeed launchers and `det shell` start one;
#   determined.launch.torch_distributed does not. No git. For `det shell`, build with
#   APT_PACKAGES=openssh-server.

ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# Packages of the distribution beside Python. torch.compile needs "g++" and Python's headers, which the
# official images have and Debian's Python has in "python3-dev". Without torch.compile no compiler is
# needed: all Python packages come as wheels.
ARG APT_PACKAGES=""
# Empty: the version in constraints.txt.
ARG TORCH_VERSION=""
# One more index for torch. The CPU builds are much smaller than the CUDA builds that PyPI has.
ARG TORCH_INDEX_URL=""

# PIP_BREAK_SYSTEM_PACKAGES: Debian marks its Python as managed by apt, and pip then refuses to
# install anything outside of a virtual environment, with --user too. It stays set in the image, as
# Determined and start-up hooks call pip. It has no effect on the official Python images.
ENV LANG=C.UTF-8 \
    HOME=/home/model-hub \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# Open to all, like /tmp: any uid may be the one that runs the image.
RUN mkdir -p -m 1777 "$HOME"
WORKDIR ${HOME}

RUN if [ -n "$APT_PACKAGES" ]; then \
        apt-get update \
        && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $APT_PACKAGES \
        && rm -rf /var/lib/apt/lists/* /var/cache/apt/*; \
    fi

# What changes seldom comes first, so that a change of the code rebuilds the last, small layers only.
# setuptools is named because the packages below are built with it, without a build environment.
COPY constraints.txt /opt/model-hub/
RUN if [ -n "$TORCH_VERSION" ]; then \
        sed -i "s/^torch==.*/torch==$TORCH_VERSION/" /opt/model-hub/constraints.txt; \
    fi \
    && chmod -R a+rX /opt/model-hub \
    && python3 -m pip install --no-cache-dir -c /opt/model-hub/constraints.txt \
        ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch setuptools

# setup.py knows what is needed; it reads the version, and an empty package is enough for it. The
# extras are those of the package's options and tasks: adapters, ROUGE and BLEU.
COPY setup.py LICENSE /tmp/needs/
COPY model_hub/__init__.py /tmp/needs/model_hub/
RUN python3 -m pip install --no-cache-dir --no-build-isolation -c /opt/model-hub/constraints.txt \
        "/tmp/needs[peft,seq2seq,seqeval]" \
    && python3 -m pip uninstall -y model-hub \
    && rm -r /tmp/needs

COPY setup.py pyproject.toml README.md LICENSE /tmp/model-hub/
COPY model_hub /tmp/model-hub/model_hub
COPY examples /opt/model-hub/examples
# The build packs the examples' trials, which `model-hub new` hands out.
RUN ln -s /opt/model-hub/examples /tmp/model-hub/examples \
    && python3 -m pip install --no-cache-dir --no-build-isolation --no-deps /tmp/model-hub \
    && rm -r /tmp/model-hub \
    && chmod -R a+rX /opt/model-hub \
    && python3 -m pip check \
    && model-hub new text-classification /tmp/new > /dev/null \
    && rm -r /tmp/new

CMD ["bash"]
