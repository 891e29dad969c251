#!/bin/sh
# Writes a backup into MONGODB_URI's database, which must be empty, and brings it up to this version. The service must not
# run meanwhile, and Redis must be empty when it starts: docs/operations.md has all steps.
#
#   deploy/restore.sh /var/backups/talkmeter/talkmeter-2026-11-21T031500Z.bson.gz
#
# CLI is how the service's commands are run.
set -eu
cd "$(dirname "$0")/.."

backup=${1:?"the backup's file"}
cli=${CLI:-docker compose run --rm --no-deps -T prepare python -m service.cli}

# Before anything is written: a damaged one writes nothing.
# shellcheck disable=SC2086
$cli check-backup <"$backup"
# shellcheck disable=SC2086
$cli restore <"$backup"
# shellcheck disable=SC2086
$cli prepare </dev/null
