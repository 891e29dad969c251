#!/bin/bash
# mongod wants its key file for itself alone, which a secret that is mounted is not.
set -euo pipefail
install -m 400 -o mongodb -g mongodb /run/secrets/mongo_keyfile /tmp/keyfile
# An abandoned transaction must not block an account for a minute; a backup may read for up to an hour.
exec docker-entrypoint.sh mongod --replSet rs0 --bind_ip_all --keyFile /tmp/keyfile \
	--setParameter transactionLifetimeLimitSeconds=3 \
	--setParameter minSnapshotHistoryWindowInSeconds=3600 "$@"
