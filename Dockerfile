# Likeness in one image: page and API at port 8000, everything it keeps under /data.
#
#   docker build -t likeness .
#   docker run --init -p 127.0.0.1:8000:8000 -v likeness:/data -v ~/Pictures:/pictures:ro likeness
#
# Python 3.11, because constraints.txt was made and tested on it.
FROM python:3.11-slim-bookworm

# A package index that has another build of torch (a smaller one without CUDA, say). Empty: the one that pip is configured with.
ARG TORCH_INDEX=""

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /likeness

# The dependencies alone first: this layer is large, and a change to our own code does not touch it.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > /tmp/dependencies.txt \
    && pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --constraint constraints.txt --requirement /tmp/dependencies.txt \
    && rm /tmp/dependencies.txt

COPY README.md LICENSE ./
COPY model model
COPY indexer indexer
COPY app app
COPY ui ui
RUN pip install --no-deps --editable . \
    && useradd --uid 1000 --create-home likeness \
    && install -d -o likeness -g likeness /data

USER likeness
# Folders mounted at /pictures can be imported by name from the page; on an address that is not loopback nothing else can.
# Who reaches the port from outside is decided by `docker run -p`; with -e LIKENESS_API_KEY=... they also need the key.
ENV LIKENESS_HOME=/data \
    LIKENESS_OPEN=true \
    LIKENESS_IMPORT_ROOTS=/pictures
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v1/health', timeout=4)"]

# 0.0.0.0 is the inside of the container; who may reach it from outside is decided by `docker run -p`.
CMD ["likeness", "serve", "--host", "0.0.0.0", "--port", "8000"]
