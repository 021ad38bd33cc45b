"""The stack that this service replaces: Flask, Flask-SQLAlchemy, Flask-Caching on Redis, gunicorn."""

import os
import uuid
from datetime import datetime
from typing import Any

from flask import Flask, Response, jsonify
from flask_caching import Cache
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["BENCH_DATABASE_URL"]
app.config["CACHE_TYPE"] = "RedisCache"
app.config["CACHE_REDIS_URL"] = os.environ["BENCH_REDIS_URL"]
app.config["CACHE_DEFAULT_TIMEOUT"] = 3600

db = SQLAlchemy(app)
cache = Cache(app)


class Product(db.Model):  # type: ignore[name-defined]
    __tablename__ = "products"

    id = db.Column(db.Uuid, primary_key=True)
    sku = db.Column(db.String(64), unique=True, nullable=False)
    name = db.Column(db.String(255), nullable=False)
    description = db.Column(db.Text)
    category = db.Column(db.String(128))
    unit = db.Column(db.String(16), nullable=False)
    barcodes = db.Column(db.JSON, nullable=False)
    reorder_point = db.Column(db.Integer)
    tracking = db.Column(db.String(16), nullable=False)
    negative_stock = db.Column(db.String(16), nullable=False)
    attributes = db.Column(db.JSON, nullable=False)
    status = db.Column(db.String(16), nullable=False)
    version = db.Column(db.Integer, nullable=False)
    created_at = db.Column(db.DateTime, nullable=False)
    updated_at = db.Column(db.DateTime, nullable=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "sku": self.sku,
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "unit": self.unit,
            "barcodes": self.barcodes,
            "reorder_point": self.reorder_point,
            "tracking": self.tracking,
            "negative_stock": self.negative_stock,
            "attributes": self.attributes,
            "status": self.status,
            "version": self.version,
            "created_at": _text(self.created_at),
            "updated_at": _text(self.updated_at),
        }


def _text(moment: datetime) -> str:
    return f"{moment.isoformat()}Z"


@app.get("/livez")
def live() -> Response:
    return jsonify({"status": "ok"})


@app.get("/products")
def products() -> Response:
    return jsonify({"data": [product.to_dict() for product in Product.query.all()]})


@app.get("/cached/products")
@cache.cached()
def cached_products() -> Response:
    return jsonify({"data": [product.to_dict() for product in Product.query.all()]})


@app.get("/products/<uuid:product_id>")
def product(product_id: uuid.UUID) -> Response:
    return jsonify(db.get_or_404(Product, product_id).to_dict())


@app.get("/cached/products/<uuid:product_id>")
@cache.cached()
def cached_product(product_id: uuid.UUID) -> Response:
    return jsonify(db.get_or_404(Product, product_id).to_dict())
