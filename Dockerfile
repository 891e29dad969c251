# One image for web, workers, scheduler, exporter and Flower; docker-compose.yml says which command each runs.

# To the byte: `--build-arg PYTHON_IMAGE=python:3.11.15-slim-bookworm@sha256:…` (docs/operations.md).
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm
ARG NODE_IMAGE=node:24.19.0-bookworm-slim

FROM ${NODE_IMAGE} AS node-packages
WORKDIR /build/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build -- --outDir /build/ui

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt ./
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --require-hashes -r requirements.txt
COPY devstack ./devstack
COPY --from=node-packages /build/web/node_modules ./node_modules
RUN python -m devstack.docs_assets node_modules docs

FROM ${PYTHON_IMAGE}
RUN groupadd --system --gid 10001 talkmeter \
    && useradd --system --uid 10001 --gid 10001 --home-dir /app --shell /usr/sbin/nologin talkmeter \
    && install -d -o talkmeter /run/prometheus
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY wsgi.py celeryconfig.py gunicorn.conf.py ./
COPY service ./service
COPY workers ./workers
COPY --from=build /build/docs ./service/api/static/docs
COPY --from=node-packages /build/ui ./service/api/static/ui
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    APP_ENV=production \
    HOST=0.0.0.0 \
    PORT=8000 \
    PROMETHEUS_MULTIPROC_DIR=/run/prometheus
USER 10001
EXPOSE 8000
CMD ["gunicorn", "-c", "gunicorn.conf.py", "wsgi:application"]
