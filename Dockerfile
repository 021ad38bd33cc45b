FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/warehouse
COPY requirements-runtime.lock ./
RUN /opt/warehouse/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-runtime.lock
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir dist . \
    && /opt/warehouse/bin/pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.13-slim
RUN groupadd --gid 10001 warehouse \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/warehouse warehouse \
    && install --directory --owner=10001 --group=10001 /var/lib/warehouse
COPY --from=build /opt/warehouse /opt/warehouse
ENV PATH=/opt/warehouse/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WAREHOUSE_DATA_DIR=/var/lib/warehouse
USER 10001:10001
WORKDIR /var/lib/warehouse
VOLUME /var/lib/warehouse
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["warehouse"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
