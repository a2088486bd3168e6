# The operator's image: /manager and /apiserver, static, run as a user that is not root. The local cluster packs the
# same image without this file (make deploy).

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS=linux
ARG TARGETARCH
WORKDIR /src
# The modules change seldom: a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
COPY api/ api/
COPY apiserver/ apiserver/
COPY cmd/ cmd/
COPY controllers/ controllers/
COPY exchange/ exchange/
COPY parameters/ parameters/
COPY runtimes/ runtimes/
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags '-s -w' -o /out/ ./cmd/manager ./cmd/apiserver

# Nothing else is needed: the programs are static, and trust only the cluster's own certificate authorities.
FROM scratch
COPY --from=build /out/manager /out/apiserver /
USER 65532:65532
ENTRYPOINT ["/manager"]
