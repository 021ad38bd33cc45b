"""What anybody may read about the service says nothing of what is kept in it."""

from httpx import AsyncClient

from tests.api.calls import new_product
from tests.api.document import DOCUMENT


async def test_metrics_need_no_key_and_are_not_in_the_document(anonymous: AsyncClient) -> None:
    response = await anonymous.get("/metrics")

    assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "/metrics" not in DOCUMENT["paths"]


async def test_they_name_templates_and_nothing_that_was_asked_for(client: AsyncClient, anonymous: AsyncClient) -> None:
    product = await new_product(client)
    await client.get(f"/v1/products/{product['id']}")
    await client.head(f"/v1/products/{product['id']}")
    await client.get("/v1/products?q=hunter2")
    await client.get("/hunter2/hunter2")
    await anonymous.get(f"/v1/products/{product['id']}", headers={"Authorization": "Bearer hunter2"})
    metrics = (await anonymous.get("/metrics")).text

    assert 'method="GET",route="/v1/products/{product_id}",status="200"' in metrics
    assert 'method="HEAD",route="/v1/products/{product_id}",status="200"' in metrics
    assert 'method="GET",route="-",status="401"' in metrics
    for secret in ("hunter2", product["id"], product["sku"], "test admin"):
        assert secret not in metrics
