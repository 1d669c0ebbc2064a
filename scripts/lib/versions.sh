# shellcheck shell=bash
# The versions and checksums of the tools that the pipeline downloads. Sourced by pipeline.sh, never run.
# To upgrade one, change its version and the checksums that its project publishes.

tool_version() {
    case $1 in
        kind) printf 'v0.33.0' ;;
        kubectl) printf 'v1.36.4' ;;
        helm) printf 'v4.3.0' ;;
        doctl) printf '1.162.0' ;;
    esac
}

# tool_url NAME ARCHITECTURE
tool_url() {
    local version
    version=$(tool_version "$1")
    case $1 in
        kind) printf 'https://kind.sigs.k8s.io/dl/%s/kind-linux-%s' "$version" "$2" ;;
        kubectl) printf 'https://dl.k8s.io/release/%s/bin/linux/%s/kubectl' "$version" "$2" ;;
        helm) printf 'https://get.helm.sh/helm-%s-linux-%s.tar.gz' "$version" "$2" ;;
        doctl) printf 'https://github.com/digitalocean/doctl/releases/download/v%s/doctl-%s-linux-%s.tar.gz' "$version" "$version" "$2" ;;
    esac
}

# tool_sum NAME ARCHITECTURE: the SHA-256 of the download.
tool_sum() {
    case $1-$2 in
        kind-amd64) printf 'aee6151561422756b764a4ae28e7f44cda5af5a9eead3cc9985112b1de8d8e0d' ;;
        kind-arm64) printf '20022bee6cfcd5086cb7234d218e3454e6090022f2a8f55d1fa7fcf42c3867a2' ;;
        kubectl-amd64) printf '8b8f088da2dab964f853b38464033b1be15ede2839eca751482357c45abdd05a' ;;
        kubectl-arm64) printf '0ecf44450ee6063bf19dd166a103ee6df4a9034455c2abce626e6eea657d73fb' ;;
        helm-amd64) printf '86584a54def73570558f66f5111cc53dfed56689637ae32c1201205d494f54fb' ;;
        helm-arm64) printf '31c5794dd55c66a51e6b7d2e2ac7a114ae8b1de41ff1d9ba51748ac973b06a08' ;;
        # The pipeline deploys from amd64.
        doctl-amd64) printf '338ad0796fb7a7e20f2e833d88d6daa40d5d6372b39ca54d327e212ff20bc236' ;;
    esac
}

# The node of the throw-away cluster: the image that this version of kind supports, for kubectl's version of Kubernetes.
# shellcheck disable=SC2034 # integration-tests.sh uses it.
NODE_IMAGE=kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed
