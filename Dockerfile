# vv-eval as a static program in an image with nothing else but git, which `gate` runs.
#
#   docker build -t vv-eval .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" -w /work vv-eval gate --base origin/main
#
# `-u`: reports are written into the checkout, as whoever owns it.
FROM rust:1-alpine AS build
RUN apk add --no-cache musl-dev gcc g++ make
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM alpine:3
RUN apk add --no-cache git bash ca-certificates \
    && git config --system --add safe.directory '*' \
    && adduser -D -u 10001 vv-eval
COPY --from=build /src/target/release/vv-eval /usr/local/bin/vv-eval
COPY --from=build /src/scripts/gate.sh /usr/local/bin/vv-eval-gate
# Any user may run it, also one without a home.
ENV VV_EVAL_CACHE=/tmp/vv-eval-cache
USER vv-eval
ENTRYPOINT ["vv-eval"]
