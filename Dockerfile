# Likeness in one image: page and API at port 8000, everything it keeps under /data.
#
#   docker build -t likeness .                                        torch as the index has it: on Linux with CUDA
#   docker build -t likeness --target cpu --build-arg TORCH_INDEX=URL .    a torch without CUDA from that index: smaller
#   docker run --init --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 -v likeness:/data -v ~/Pictures:/pictures:ro likeness
#   docker run --gpus all ...                                         with a GPU (and NVIDIA's container toolkit)
#
# `scripts/try_image` runs these steps without a container engine, in a fresh Debian.
FROM debian:bookworm-slim AS base

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Python 3.11, because constraints.txt was made and tested on it; libgomp is what FAISS and scikit-learn compute with.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates libgomp1 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /venv \
    && useradd --uid 1000 --create-home likeness \
    && install -d -o likeness -g likeness /data

WORKDIR /likeness

# Folders mounted at /pictures can be imported by name from the page; on an address that is not loopback nothing else can.
# Who reaches the port from outside is decided by `docker run -p`; with -e LIKENESS_API_KEY=... they also need the key.
ENV HOME=/data LIKENESS_HOME=/data LIKENESS_OPEN=true LIKENESS_IMPORT_ROOTS=/pictures XDG_CACHE_HOME=/data/cache HF_HOME=/data/cache/huggingface
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v1/health', timeout=4)"]
CMD ["likeness", "serve", "--host", "0.0.0.0", "--port", "8000"]

# The dependencies alone first: this layer is large, and a change to our own code does not touch it.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['postgresql'], sep='\n')" > /dependencies.txt

FROM base AS dependencies-cpu
ARG TORCH_INDEX=""
RUN test -n "$TORCH_INDEX" || { echo "the target cpu needs --build-arg TORCH_INDEX=URL, an index that has torch without CUDA"; exit 1; }
RUN pip install --index-url "$TORCH_INDEX" --no-deps $(grep -E '^(torch|torchvision)==' constraints.txt)
RUN pip install --constraint constraints.txt --requirement /dependencies.txt

FROM dependencies-cpu AS cpu
COPY README.md LICENSE ./
COPY model model
COPY indexer indexer
COPY app app
COPY ui ui
RUN pip install --no-deps --editable .
USER likeness

FROM base AS dependencies-cuda
RUN pip install --constraint constraints.txt --requirement /dependencies.txt

FROM dependencies-cuda AS cuda
COPY README.md LICENSE ./
COPY model model
COPY indexer indexer
COPY app app
COPY ui ui
RUN pip install --no-deps --editable .
USER likeness
