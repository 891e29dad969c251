#!/bin/bash
# mongod wants its key file for itself alone, which a secret that is mounted is not.
set -euo pipefail
install -m 400 -o mongodb -g mongodb /run/secrets/mongo_keyfile /tmp/keyfile
exec docker-entrypoint.sh mongod --replSet rs0 --bind_ip_all --keyFile /tmp/keyfile \
	--setParameter transactionLifetimeLimitSeconds=3 "$@"
