import base64
import hashlib
import re

import pytest
from httpx import AsyncClient

from tests.unit.http.asgi import application, client
from warehouse.http.access import PUBLIC
from warehouse.http.docs import MEDIA_TYPES, STATIC, install_docs

PAGES = ("/docs", "/redoc")


@pytest.fixture
def http() -> AsyncClient:
    app = application()
    install_docs(app)
    return client(app)


def policy(page: str) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in page.split("; "))


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_names_no_other_host(http: AsyncClient, page: str) -> None:
    response = await http.get(page)

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "//" not in response.text.replace("<!-- -->", "")


@pytest.mark.parametrize("page", PAGES)
async def test_everything_that_a_page_loads_is_in_the_package(http: AsyncClient, page: str) -> None:
    names = re.findall(r'(?:src|href)="([^"]+)"', (await http.get(page)).text)

    assert names
    for name in names:
        assert (await http.get(f"/{name}")).status_code == 200


@pytest.mark.parametrize("page", PAGES)
async def test_the_browser_is_told_to_ask_nobody_else(http: AsyncClient, page: str) -> None:
    rules = policy((await http.get(page)).headers["content-security-policy"])

    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert not re.search(r"https?:|\*|unsafe-eval", " ".join(rules.values()))


async def test_the_one_script_in_a_page_is_the_one_that_the_policy_allows(http: AsyncClient) -> None:
    response = await http.get("/docs")
    [script] = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert policy(response.headers["content-security-policy"])["script-src"] == f"'self' 'sha256-{digest}'"


async def test_swagger_keeps_the_key_and_asks_no_validator(http: AsyncClient) -> None:
    page = (await http.get("/docs")).text

    assert "persistAuthorization: true" in page
    assert "validatorUrl: null" in page


async def test_redoc_asks_its_maker_for_nothing(http: AsyncClient) -> None:
    script = (await http.get("/static/redoc-2.5.4/redoc.standalone.js")).text

    assert "cdn.redoc.ly" not in script
    assert "fonts.googleapis" not in script


@pytest.mark.parametrize("file", [file for file in STATIC.glob("*/*") if file.suffix in MEDIA_TYPES])
async def test_a_file_is_kept_for_a_year_under_a_name_with_its_version(http: AsyncClient, file: object) -> None:
    name = str(file).removeprefix(f"{STATIC}/")
    response = await http.get(f"/static/{name}")

    assert response.status_code == 200
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert re.match(r"[a-z-]+-\d+\.\d+\.\d+/", name)


@pytest.mark.parametrize(
    "name", ["README.md", "", "../docs.py", "%2e%2e/docs.py", "swagger-ui-5.35.0", "/etc/passwd", "a%00"]
)
async def test_nothing_but_those_files_can_be_reached(http: AsyncClient, name: str) -> None:
    response = await http.get(f"/static/{name}")

    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


async def test_the_root_leads_to_the_documentation(http: AsyncClient) -> None:
    response = await http.get("/")

    assert (response.status_code, response.headers["location"]) == (307, "docs")


def test_the_pages_are_public() -> None:
    assert all(PUBLIC.covers(path) for path in ("/", *PAGES, "/openapi.json", "/static/x/y.js"))


def test_the_licences_travel_with_the_files() -> None:
    assert all((folder / "LICENSE").is_file() for folder in STATIC.iterdir() if folder.is_dir())
