#!/bin/sh
# Kibana's password, the index template, and saved searches once Kibana is there. Repeatable.
set -eu
elastic="elastic:$(cat /run/secrets/elastic_password)"
kibana_password=$(cat /run/secrets/kibana_password)

call() { curl -fsS -u "$elastic" -H 'Content-Type: application/json' "$@" >/dev/null; }

call -X POST http://elasticsearch:9200/_security/user/kibana_system/_password -d "{\"password\": \"$kibana_password\"}"
call -X PUT http://elasticsearch:9200/_index_template/talkmeter -d @/setup/index-template.json

until curl -fs -u "$elastic" http://kibana:5601/api/status >/dev/null; do sleep 3; done
curl -fsS -u "$elastic" -H 'kbn-xsrf: setup' -F file=@/setup/saved-objects.ndjson \
	'http://kibana:5601/api/saved_objects/_import?overwrite=true' >/dev/null
