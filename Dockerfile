# The server in a container: `docker compose up` gives it a PostgreSQL; alone it runs its own in /data.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python -m venv /opt/cdp
COPY requirements.txt requirements-build.txt ./
RUN /opt/cdp/bin/pip install --require-hashes -r requirements.txt -r requirements-build.txt
COPY pyproject.toml README.md ./
COPY cdp cdp
COPY schema schema
COPY connectors connectors
COPY migrations migrations
RUN /opt/cdp/bin/pip install --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data cdp \
    && install --directory --owner cdp --mode 0700 /data
COPY --from=build /opt/cdp /opt/cdp
ENV PATH=/opt/cdp/bin:$PATH CDP_HOME=/data PYTHONUNBUFFERED=1
WORKDIR /data
USER cdp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["cdp", "serve", "--host", "0.0.0.0", "--port", "8000"]
