#!/bin/sh
# Takes a backup while the service runs, checks it, and only then gives it its name. For cron:
#
#   15 3 * * * cd /srv/talkmeter && deploy/backup.sh /var/backups/talkmeter
#
# KEEP_DAYS forgets older ones (30; 0 keeps all). CLI is how the service's commands are run.
set -eu
cd "$(dirname "$0")/.."

directory=${1:?"where backups go, on another disk than the database's"}
cli=${CLI:-docker compose run --rm --no-deps -T prepare python -m service.cli}
umask 077
mkdir -p "$directory"
name=$directory/talkmeter-$(date -u +%Y-%m-%dT%H%M%SZ).bson.gz
trap 'rm -f "$name.part"' EXIT

# Words on purpose: it is a command with its arguments.
# shellcheck disable=SC2086
$cli backup >"$name.part"
# shellcheck disable=SC2086
$cli check-backup <"$name.part"
sync "$name.part"
mv "$name.part" "$name"
if [ "${KEEP_DAYS:-30}" -gt 0 ]; then
	find "$directory" -maxdepth 1 -name 'talkmeter-*.bson.gz' -mtime "+${KEEP_DAYS:-30}" -delete
fi
echo "$name"
