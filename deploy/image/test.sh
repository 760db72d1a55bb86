#!/bin/sh
# Build the image, and test it: sh deploy/image/test.sh [FOLDER OR FILE OF TESTS...]. `make test-image` runs this script.
#
# Without a registry, a Debian root file system that mmdebstrap creates is the base. BASE=python:3.14-slim uses another
# base. The programs buildah and podman work without a daemon, and in a container themselves.
set -eu
cd "$(dirname "$0")/../.."
IMAGE=localhost/tickwire
TESTS=${*:-tests/wire}
# Where cgroups are version 1, podman needs these options.
ENGINE="podman --runtime runc --cgroup-manager cgroupfs"
RUN_OPTIONS="--network host --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --no-healthcheck --read-only --tmpfs /tmp"

missing=""
for program in buildah podman runc mmdebstrap; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
if [ -n "$missing" ]; then
    echo "installing packages for the image test:$missing"
    apt-get update -qq >/dev/null
    # shellcheck disable=SC2086  # $missing is a list of package names
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

# Create the base from Debian packages, with the CA certificates of this machine, so that pip and npm work behind a
# proxy that replaces certificates.
create_base() {
    archive=$(mktemp)
    mmdebstrap --format=tar --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$archive"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$archive" / >/dev/null
    buildah add --quiet "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt >/dev/null
    buildah config --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
        --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$container"
    buildah commit --quiet --rm "$container" "$1" >/dev/null
    rm "$archive"
}

size() { podman image inspect --format "{{.Size}}" "$1"; }

if [ -z "${BASE:-}" ]; then
    BASE=$IMAGE-base
    podman image exists "$BASE" || create_base "$BASE"
fi
buildah bud --quiet --isolation chroot --network host --format docker --build-arg "BASE=$BASE" -t "$IMAGE" . >/dev/null
buildah bud --quiet --isolation chroot --network host --format docker --build-arg "IMAGE=$IMAGE" \
    -f deploy/image/Dockerfile.test --ignorefile deploy/image/test.dockerignore -t "$IMAGE-test" . >/dev/null
echo "size: $((($(size "$IMAGE") - $(size "$BASE")) / 1000000)) MB over the base of $(($(size "$BASE") / 1000000)) MB"

# shellcheck disable=SC2086  # lists of options and of tests
{
    python3 deploy/image/check.py $ENGINE run --rm $RUN_OPTIONS
    $ENGINE run --rm $RUN_OPTIONS "$IMAGE-test" -p no:cacheprovider -n 2 $TESTS
}
