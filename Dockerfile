# The operator's image: /manager and /apiserver, statically linked, run by a user that is not root. `make deploy` packs the same
# image for the local cluster without this file.
#
# VERSION_FLAGS are the linker flags that hack/ldflags.sh prints: the build context has no git. DEBUG=1 keeps symbols and turns
# optimizations off.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS=linux
ARG TARGETARCH
WORKDIR /src
# A layer of its own, because the modules seldom change.
COPY go.mod go.sum ./
RUN go mod download
COPY api/ api/
COPY apiserver/ apiserver/
COPY cmd/ cmd/
COPY controllers/ controllers/
COPY exchange/ exchange/
COPY parameters/ parameters/
COPY runtimes/ runtimes/
ARG VERSION_FLAGS=
ARG DEBUG=
RUN set -- -trimpath -ldflags "-s -w ${VERSION_FLAGS}"; \
    if [ -n "${DEBUG}" ]; then set -- -gcflags 'all=-N -l' -ldflags "${VERSION_FLAGS}"; fi; \
    CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -buildvcs=false "$@" -o /out/ ./cmd/manager ./cmd/apiserver

# The programs need nothing else: they are static, and trust only the cluster's own certificate authorities.
FROM scratch
COPY --from=build /out/manager /out/apiserver /
USER 65532:65532
ENTRYPOINT ["/manager"]
