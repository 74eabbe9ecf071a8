#!/usr/bin/env bash
# Runs the steps of deploy/Dockerfile without Docker: in a clean folder, from what git has, with nothing but Python.
#     deploy/build_check.sh
# It builds the environment of the first stage, and asks the server in it for a label, as the container would be.
set -euo pipefail
source=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
folder=$(mktemp --directory)
trap 'kill "${server:-0}" 2> /dev/null || true; rm -rf "$folder"' EXIT

git -C "$source" archive HEAD | tar --extract --directory "$folder"
cd "$folder"
# Each RUN of the Dockerfile, with its /opt/shufflenet in the folder.
sed --quiet '/^RUN /,/[^\\]$/p' deploy/Dockerfile | sed "s/^RUN //; s#/opt/shufflenet#$folder/opt#g" > steps.sh
grep --quiet 'pip .*install' steps.sh
bash -euo pipefail steps.sh
entry=$(sed --quiet 's/^ENTRYPOINT //p' deploy/Dockerfile | python3 -c 'import json, sys; print(*json.load(sys.stdin)[1:])')
du --summarize --human-readable opt

cd /
# shellcheck disable=SC2086
env --ignore-environment "$folder/opt/bin/shufflenet" $entry --port 0 > "$folder/address" 2> "$folder/messages" &
server=$!
until [ -s "$folder/address" ]; do
  kill -0 $server || { cat "$folder/messages"; exit 1; }
  sleep 0.1
done
port=$(sed 's/.*://' "$folder/address")
curl --silent --fail --data-binary "@$folder/photos/cat.jpg" "http://127.0.0.1:$port/predict?top_k=1"
echo
kill $server
wait $server
