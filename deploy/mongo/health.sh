#!/bin/bash
# Initiates the replica set the first time; healthy once this node is its primary or follows one.
set -euo pipefail
exec mongosh --quiet --norc --username root --authenticationDatabase admin \
	--password "$(cat /run/secrets/mongo_root_password)" --eval "
	try { rs.status() } catch (error) {
		if (error.codeName !== 'NotYetInitialized') throw error
		rs.initiate({_id: 'rs0', members: [{_id: 0, host: 'mongo:27017'}]})
	}
	const hello = db.hello()
	quit(hello.isWritablePrimary || hello.secondary ? 0 : 1)"
