# docker build -t tickwire .
# The base must contain Python 3.11 or newer as python3, with the module venv, and apt-get.
ARG BASE=docker.io/library/python:3.14-slim

FROM ${BASE} AS build
# The compiler builds the send loop. The build hook takes Node from a Python package.
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY locks locks
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-deps --require-hashes -r locks/run.txt \
 && /opt/build/bin/pip install --no-deps --require-hashes -r locks/node.txt
RUN python3 -m venv /opt/tickwire \
 && /opt/tickwire/bin/pip install --no-deps --require-hashes -r locks/image.txt
COPY . .
# The final image needs neither pip, nor the tests and sources of compiled packages, nor the 12 MB of uvloop's symbols.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/tickwire/bin/pip install --no-deps /wheels/*.whl \
 && find /opt/tickwire -depth \( -path '*/numpy/*' -name tests -o -path '*/numpy/f2py' \
    -o -path '*/numpy/_core/*' \( -name '_simd.*.so' -o -name '*_tests.*.so' \) \) -exec rm -r {} + \
 && find /opt/tickwire/lib -name '*.py[ixd]' -o -name '*.pxd' -o -name '*.[ach]' | xargs rm \
 && strip --strip-unneeded /opt/tickwire/lib/python3*/site-packages/uvloop/*.so \
 && { /opt/tickwire/bin/pip uninstall --yes setuptools; /opt/tickwire/bin/pip uninstall --yes pip; }

FROM ${BASE}
LABEL org.opencontainers.image.title="Tickwire" \
      org.opencontainers.image.description="A self-hosted market-data push server: prices in, Server-Sent Events out." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/tickwire /opt/tickwire
COPY deploy/image/health.py /opt/tickwire/health.py
# The data folder is the only folder that the server writes to, so the root file system may be read-only.
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/tickwire
ENV PATH=/opt/tickwire/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TICKWIRE_HOST=0.0.0.0 \
    TICKWIRE_PORT=8000 \
    TICKWIRE_DATA=/var/lib/tickwire
USER 10001:10001
WORKDIR /var/lib/tickwire
VOLUME /var/lib/tickwire
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "/opt/tickwire/health.py"]
ENTRYPOINT ["tickwire"]
CMD ["serve"]
