#!/usr/bin/env bash
# tools.sh NAME ARGS…: runs a pinned checking tool, fetching it into the cache the first time.
set -euo pipefail
shopt -s inherit_errexit

cache=${XDG_CACHE_HOME:-$HOME/.cache}/trunkline/tools

# fetched FOLDER COMMAND…: runs the command, unless the folder is complete; one at a time, since tests run side by side.
fetched() {
    local home=$1
    shift
    [ ! -e "$home/complete" ] || return 0
    mkdir -p "$cache"
    (
        flock 9
        [ ! -e "$home/complete" ] || exit 0
        rm -rf "$home"
        "$@" >&2
        touch "$home/complete"
    ) 9>"$home.lock"
}

# python_tool NAME PACKAGE==VERSION…: a virtual environment of its own, since the tools' own pins conflict.
python_tool() {
    local home=$cache/${2//==/-} name=$1
    shift
    fetched "$home" python_environment "$home" "$@"
    printf '%s\n' "$home/bin/$name"
}

python_environment() {
    local home=$1 python
    shift
    python=$(command -v python3.11 || command -v python3) || {
        echo "tools.sh: $1 needs Python 3.11 with venv (Debian: apt-get install python3-venv)" >&2
        exit 1
    }
    "$python" -m venv "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# cargo_tool NAME VERSION
cargo_tool() {
    local home=$cache/$1-$2
    fetched "$home" cargo_install "$home" "$1" "$2"
    printf '%s\n' "$home/bin/$1"
}

cargo_install() {
    CARGO_TARGET_DIR=$1/target cargo install --quiet --locked --root "$1" --version "$3" "$2"
    rm -rf "$1/target"
}

# With it on PATH, `cargo lambda` is a command, which `sam build` calls. It brings the linker it needs (zig).
cargo_lambda() {
    python_tool cargo-lambda cargo-lambda==1.9.2
}

# The one that is installed, or one built from its source: the only use that is made of it here is to check a file.
docker_compose() {
    local version=v2.40.3 home
    home=$cache/docker-compose-$version
    if docker compose version >/dev/null 2>&1; then
        printf 'docker compose\n'
        return
    fi
    fetched "$home" compose_from_source "$home" "$version"
    printf '%s\n' "$home/docker-compose"
}

compose_from_source() {
    command -v go >/dev/null || {
        echo "tools.sh: docker-compose.yml is checked with Docker Compose: install its plugin, or Go 1.24 to build it" >&2
        exit 1
    }
    mkdir -p "$1"
    local source
    source=$(cd "$1" && go mod download -json "github.com/docker/compose/v2@$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    cp -r "$source" "$1/source"
    chmod -R u+w "$1/source"
    (cd "$1/source" && go build -tags fsnotify -o ../docker-compose ./cmd)
    rm -rf "$1/source"
}

# go_tool NAME FOLDER: a program of the folder's Go module.
go_tool() {
    local home
    home=$cache/$1-$(cat "$2"/*.go "$2"/go.* | sha256sum | cut -c1-12)
    fetched "$home" go_build "$home" "$1" "$2"
    printf '%s\n' "$home/$1"
}

go_build() {
    command -v go >/dev/null || {
        echo "tools.sh: $2 is built with Go: install Go 1.21 or newer, which fetches the version it needs" >&2
        exit 1
    }
    mkdir -p "$1"
    (cd "$3" && go build -o "$1/$2" .)
}

name=${1:?usage: tools.sh NAME ARGS…}
shift
case $name in
cargo-lambda)
    tool=$(cargo_lambda)
    export PATH=${tool%/*}:$PATH
    set -- lambda "$@"
    ;;
cfn-lint) tool=$(python_tool cfn-lint cfn-lint==1.51.0) ;;
sam)
    tool=$(python_tool sam aws-sam-cli==1.170.0)
    lambda=$(cargo_lambda)
    export PATH=${lambda%/*}:$PATH
    ;;
schemathesis) tool=$(python_tool schemathesis schemathesis==4.32.5) ;;
cargo-deny) tool=$(cargo_tool cargo-deny 0.20.2) ;;
# 1.11 is the last dbt-core that PyPI has whole: later ones fetch a part of themselves from elsewhere.
dbt) tool=$(python_tool dbt dbt-core==1.11.16 dbt-adapters==1.24.5 dbt-postgres==1.10.2) ;;
# tools.sh duckdb-python SCRIPT ARGS…: a Python that can `import duckdb`.
duckdb-python) tool=$(python_tool python duckdb==2.0.0) ;;
# tools.sh kafka-python SCRIPT ARGS…: a Python with two Kafka clients: the newest librdkafka's, and kafka-python.
kafka-python)
    tool=$(python_tool python confluent-kafka==2.16.1 kafka-python==3.0.12 lz4==4.4.5 python-snappy==0.7.3 zstandard==0.25.0)
    ;;
# tools.sh franz SERVERS SUFFIX: what franz-go sees of a broker.
franz) tool=$(go_tool franz "$(dirname "$0")/../tests/it/same_answers/clients/franz") ;;
# tools.sh asyncssh SCRIPT ARGS…: a Python with AsyncSSH, for an SFTP server.
asyncssh) tool=$(python_tool python asyncssh==2.24.1) ;;
# tools.sh go-sftp PORT FOLDER HOST_KEY USER PASSWORD: an SFTP server of Go's.
go-sftp) tool=$(go_tool gosftp "$(dirname "$0")/sftp/go") ;;
docker-compose)
    # Two words where it is a plugin.
    read -ra tool <<<"$(docker_compose)"
    exec "${tool[@]}" "$@"
    ;;
*)
    echo "tools.sh: no tool is called $name; it knows cargo-lambda, cfn-lint, sam, cargo-deny, dbt, duckdb-python, kafka-python, franz, schemathesis and docker-compose" >&2
    exit 1
    ;;
esac
exec "$tool" "$@"
