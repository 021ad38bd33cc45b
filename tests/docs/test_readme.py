"""The README is true to the letter."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.process import TLS, Process
from tests.servers import HOST
from warehouse.demo import DEMO_ROWS
from warehouse.settings import PREFIX, setting_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


class Demo(Process):
    """What `make run` starts."""

    name = "demo"
    not_ready = (httpx.HTTPError,)

    def initialise(self) -> None:
        self.folder.joinpath("var").mkdir()

    def command(self) -> Sequence[str]:
        settings = [f"{PREFIX}DATA_DIR={self.folder / 'var'}", f"PYTHONPATH={ROOT / 'src'}"]
        unset = [f"--unset={name}" for name in os.environ if name.startswith(PREFIX)]
        return ["env", *unset, *settings, sys.executable, "-m", "warehouse", "demo", f"--port={self.port}"]

    def ping(self) -> None:
        httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False, verify=TLS).raise_for_status()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def printed(self) -> str:
        return self._log.read_text()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with Demo() as demo:
        yield demo


@pytest.fixture(scope="module")
def key(demo: Demo) -> str:
    found = re.search(r"wh_\S+", demo.printed)
    assert found, "the key is not printed"
    return found[0]


def section(title: str) -> str:
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_demo_prints_its_swagger_address_and_a_key(demo: Demo, key: str) -> None:
    assert f"{demo.url}/docs" in demo.printed
    page = httpx.get(f"{demo.url}/v1/products", headers={"Authorization": f"Bearer {key}"}, trust_env=False, verify=TLS)
    assert page.status_code == 200


def test_the_demo_is_loaded_whole(demo: Demo, key: str) -> None:
    report = httpx.get(
        f"{demo.url}/v1/integrity", headers={"Authorization": f"Bearer {key}"}, trust_env=False, verify=TLS
    ).json()
    assert report["ok"]
    assert report["balances"] >= 30_000
    assert f"{DEMO_ROWS:,} rows" in demo.printed


def test_the_tour_works_as_pasted(demo: Demo, key: str) -> None:
    first, *blocks = re.findall(r"```sh\n(.*?)```", section("A tour"), re.DOTALL)
    assert "KEY=" in first
    script = "\n".join(["set -euo pipefail", *blocks])
    run = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "KEY": key, "BASE": demo.url, "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert '"ok":true' in run.stdout
    assert '"insufficient_stock"' in run.stdout


def test_every_setting_is_in_the_table() -> None:
    told = set(re.findall(r"`(WAREHOUSE_[A-Z_]+)`", section("Settings")))
    assert told == set(setting_names())


def test_every_setting_is_in_the_example() -> None:
    told = set(re.findall(r"^#(WAREHOUSE_[A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert told == set(setting_names())


def test_every_place_in_the_layout_exists() -> None:
    block = section("Layout").split("```")[1]
    places = [word.rstrip(",") for line in block.strip().splitlines() for word in re.split(r"\s{2,}", line)[0].split()]
    first, *rest = [place for place in places if place]
    assert (ROOT / first).exists()
    for place in rest:
        assert (ROOT / place).exists() or (ROOT / "src/warehouse" / place).exists(), place


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    listed = set(re.findall(r"\]\((.*?\.md)\)", (folder / "README.md").read_text()))
    assert listed == {path.name for path in folder.glob("*.md")} - {"README.md"}
