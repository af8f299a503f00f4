#!/usr/bin/env bash
# provision.sh kafka|cassandra|mina: fetches a service's jars with Maven, once, and prints their folder.
#
# They lie in the cache, outside the checkout, under the checksum of the pom that names them: a changed pom is fetched anew.
# A folder appears by a rename when it is whole, so one that was half fetched is never used; a lock lets one fetch at a time.
set -euo pipefail

name=${1:?usage: provision.sh kafka|cassandra|mina}
pom=$(cd "$(dirname "$0")" && pwd)/$name-pom.xml
[ -f "$pom" ] || {
    echo "provision.sh: nothing is called $name; it knows kafka, cassandra and mina" >&2
    exit 1
}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/trunkline/services
home=$cache/$name-$(sha256sum "$pom" | cut -c1-12)

if [ ! -d "$home" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/$name.lock"
    flock 9
    if [ ! -d "$home" ]; then
        echo "provision.sh: fetching $name into $home" >&2
        rm -rf "$home".new
        # A copy of the pom, because Maven makes a folder beside it.
        mkdir "$home".new
        cp "$pom" "$home".new/pom.xml
        mvn --batch-mode --quiet --file "$home".new/pom.xml \
            org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$home".new &>"$home".new/log || {
            cat "$home".new/log >&2
            exit 1
        }
        mv "$home".new "$home"
    fi
fi
printf '%s\n' "$home"
