# A saved model in service, by a user without rights:
#   docker build -t unseen .
#   docker run --user "$(id -u)" -p 8000:8000 -e UNSEEN_TOKEN -v "$PWD/run/model:/model:ro" unseen
FROM python:3.12-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
# Each step asks one index: what two have could come from either. The versions are those that are tested; what comes from
# PyPI has the digests that are written down.
COPY requirements/serve.txt requirements/torch-cpu.txt ./requirements/
RUN python -m pip install --index-url https://download.pytorch.org/whl/cpu --no-deps -r requirements/torch-cpu.txt
RUN python -m pip install --require-hashes --no-deps -r requirements/serve.txt
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m pip install --no-deps --no-build-isolation .

RUN useradd --uid 10001 --create-home unseen
USER 10001
ENV HOME=/tmp USER=unseen UNSEEN_CACHE=/tmp/unseen

EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

ENTRYPOINT ["unseen", "serve"]
CMD ["/model", "--host", "0.0.0.0", "--port", "8000"]
