"""The distribution `trailrank`; the only list of its dependencies.

Two stacks, told apart by the Python version: 3.10 takes TFX 1.16, the newest whose
wheels install on glibc below 2.39; 3.11 takes TFX 1.21. `requirements/` holds a lock
of each.
"""

import pathlib

import setuptools

_PY310 = "python_version < '3.11'"
_PY311 = "python_version >= '3.11'"

setuptools.setup(
    name="trailrank",
    version="0.2.0",
    description="From raw short-video impression logs to a served multi-task ranker",
    long_description=pathlib.Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.12",
    packages=setuptools.find_packages(
        include=[
            f"{room}{inner}"
            for room in (
                "feature_specs",
                "tpu_configs",
                "pipeline",
                "trainer",
                "serving",
                "trailrank",
            )
            for inner in ("", ".*")
        ]
    ),
    package_data={
        "feature_specs": ["specs/*.yaml", "presets/*.yaml", "py.typed"],
        "tpu_configs": ["slices/*.yaml", "py.typed"],
        "pipeline": ["py.typed"],
        "trainer": ["py.typed"],
        "trailrank": ["py.typed"],
        "trainer.preflight": ["requirements.txt"],
        "pipeline.cloud": ["*.sh", "*Dockerfile"],
        "serving": ["deploy/*", "py.typed"],
    },
    entry_points={"console_scripts": ["trailrank = trailrank.cli:console_main"]},
    install_requires=[
        f"tfx==1.16.*; {_PY310}",
        f"tfx==1.21.*; {_PY311}",
        f"tensorflow==2.16.*; {_PY310}",
        f"tensorflow==2.21.*; {_PY311}",
        f"tf-keras==2.16.*; {_PY310}",
        f"tf-keras==2.21.*; {_PY311}",
        "tensorflow-recommenders==0.7.7",  # needs Keras 2, which is tf-keras
        "absl-py",
        "cmaes",
        "dill",  # tfx-bsl 1.16 imports it; recent Beam no longer brings it
        "google-crc32c",
        "grpcio",
        "grpcio-health-checking",
        "h11",
        "httpx",
        "numpy",
        "orjson",
        "polars==2.0.*",  # `feature_specs.missing` reads its form of expressions
        "prometheus-client",
        "pyarrow",
        "pydantic>=2,<3",
        "pyyaml",
        "rich",
        "scikit-learn",
        "scipy",
        "setuptools<81",  # TensorFlow Hub and others still import pkg_resources
        "tenacity",
        "tensorflow-datasets",
        f"tensorboard; {_PY311}",  # TFX imports it; TensorFlow 2.21 needs it no more
        f"tensorflow-serving-api==2.16.*; {_PY310}",
        f"tensorflow-serving-api==2.19.*; {_PY311}",  # newest that TFX 1.21 allows
        "uvicorn",
        "uvloop",  # uvicorn takes it where it finds it
        "zstandard",
    ],
    extras_require={
        "vertex": ["tfx[kfp]", "google-cloud-aiplatform"],
        "report": ["matplotlib"],
        "tune": ["optuna"],
        "dev": [
            "hypothesis",
            "import-linter",
            "mypy",
            "pdoc",
            "pip",
            "pre-commit",
            "pytest<9.2",  # under a later one pytest-xdist 3.8 keeps no group together
            "pytest-xdist",
            "ruff",
            "types-PyYAML",
            "uv",
        ],
    },
)
