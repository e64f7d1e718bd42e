"Everything about the package stands in settings.ini; this hands it to setuptools."
from configparser import ConfigParser

from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]


def lines(key):
    return [line.strip() for line in cfg.get(key, "").splitlines() if line.strip()]


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    keywords=cfg["keywords"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    license="Apache-2.0",
    url=cfg["git_url"],
    packages=find_packages(include=["kickstarter_predictor", "kickstarter_predictor.*"]),
    package_data={"kickstarter_predictor": ["packaged/*", "page/*"]},
    python_requires=">=" + cfg["min_python"],
    install_requires=lines("requirements"),
    extras_require={extra: lines(f"{extra}_requirements") for extra in ("app", "dask", "dev", "mysql", "postgresql")},
    entry_points={"console_scripts": lines("console_scripts")},
    long_description=open("README.md", encoding="utf-8").read(),
    long_description_content_type="text/markdown",
)
