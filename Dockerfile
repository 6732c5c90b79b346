# An image with nengo_dl and what its examples need:
#   docker build -t nengo_dl .
#   docker run --rm nengo_dl python examples/spiking_digits.py
#   docker run --rm -p 8888:8888 nengo_dl jupyter lab --ip=0.0.0.0 --allow-root
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 TF_CPP_MIN_LOG_LEVEL=2 MPLBACKEND=Agg
WORKDIR /nengo_dl
COPY pyproject.toml setup.py README.rst LICENSE ./
COPY nengo_dl nengo_dl
RUN pip install ".[examples]" jupyterlab
COPY examples examples
CMD ["python"]
